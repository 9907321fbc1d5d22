//! Triggers and requests to model versions, one at a time.
//!
//! A trigger names the row whose arrival caused it. Training waits until the store has that row, and takes the newest rows up
//! to and including it. What was answered before, by a run that crashed before it could say so, is passed over. The topics
//! of triggers and requests have one partition: of several processes with this role one trains, and the others stand by.
//! One whose partitions are asked back, or are another's already, leaves what it has not begun to publish: the next owner does it.
//! Only this role signs; what others want done with versions they ask for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_events::{EventTime, RowPosition, Trigger};
use weir_kafka::{Assignment, Record};
use weir_registry::{Action, Answer, Cause, CauseKind, Decision, Manifest, Request, Stage};
use weir_runtime::FitError;
use weir_service::crash_point;

use super::{Context, Input, Work, stands_by};
use crate::config::Role;
use crate::counters::{self, Training};
use crate::model::{Catalog, Division, Trainer, compare};
use crate::outputs::Outputs;
use crate::store::{RowOrder, TrainingStore};

pub(crate) async fn run(
    context: &Context,
    store: &Arc<dyn TrainingStore>,
    trainer: &Trainer,
) -> anyhow::Result<()> {
    let topics = context.topics();
    let mut input = context.consume(Role::Train, &[&topics.trigger, &topics.request])?;
    let mut work = Trains { context, store, trainer, catalog: open(context).await? };
    while let Some(next) = input.next().await? {
        match next {
            Work::Records(records) => {
                if !work.batch(&input, &records).await? {
                    break;
                }
            }
            Work::Assignment(Assignment::Assigned(assigned)) => {
                if !stands_by(Role::Train, &assigned) {
                    // Another process may have published meanwhile.
                    work.catalog = open(context).await?;
                }
            }
            Work::Assignment(Assignment::Revoked(_)) => {}
        }
    }
    input.consumer.close().await;
    Ok(())
}

async fn open(context: &Context) -> anyhow::Result<Catalog> {
    let (kafka, producer) = (context.kafka(), context.producer.clone());
    let (topic, model) = (&context.topics().models, &context.config.train.model);
    let key = context.config.signing_key()?.map(Arc::new);
    Catalog::open(&kafka, producer, topic, model, context.config.trust()?, key).await
}

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Here,
    /// It is left to whoever reads the topic next.
    ByTheNext,
}

/// Why a trigger or a request has no version.
enum NoVersion {
    Refused(String),
    /// The topic is asked back, or another's already.
    AskedBack,
}

/// Whether the row that caused a trigger is in the store.
enum Waited {
    Stored,
    TooLong,
    AskedBack,
}

struct Trains<'a> {
    context: &'a Context,
    store: &'a Arc<dyn TrainingStore>,
    trainer: &'a Trainer,
    catalog: Catalog,
}

impl Trains<'_> {
    /// Does what the records ask for, one after the other. False when the host shuts down: what is cut off comes again.
    async fn batch(&mut self, input: &Input, records: &[Record]) -> anyhow::Result<bool> {
        let context = self.context;
        for record in records {
            if input.is_asked_back() {
                break;
            }
            let mut outputs = Outputs::new(&context.producer);
            let done = async {
                self.catalog.refresh().await?;
                if *record.topic == *context.topics().request {
                    return self.requested(input, record, &mut outputs).await;
                }
                match context.schema.decode_trigger(record.payload()) {
                    Ok(trigger) => self.triggered(input, &trigger).await,
                    Err(rejection) => {
                        outputs.dead_letter(record, &rejection).await.map(|()| Done::Here)
                    }
                }
            };
            let done = tokio::select! {
                done = done => done?,
                () = context.shutdown.cancelled() => return Ok(false),
            };
            let letters = outputs.settle().await?;
            if done == Done::ByTheNext {
                break;
            }
            crash_point("train-published");
            let records = std::slice::from_ref::<Record>(record);
            input.done(records);
            context.counters.count(|counts| counts.done(Role::Train, records, &letters));
        }
        Ok(true)
    }

    async fn triggered(&mut self, input: &Input, trigger: &Trigger) -> anyhow::Result<Done> {
        if self.catalog.answer_to(&trigger.id).is_some() {
            tracing::info!(trigger = trigger.id, "retraining was done before");
            return Ok(Done::Here);
        }
        let rules = self.context.config.rules();
        if let Some(challenger) = rules.awaits(self.catalog.log(), trigger.closed_at) {
            let challenger = challenger.0;
            tracing::info!(
                trigger = trigger.id,
                challenger,
                "a challenger is compared; no retraining"
            );
            self.trained(Training::Awaited);
            return Ok(Done::Here);
        }
        match self.stored(input, trigger).await? {
            Waited::Stored => {}
            Waited::AskedBack => return Ok(Done::ByTheNext),
            Waited::TooLong => {
                let (trigger, row) = (&trigger.id, trigger.closed_by);
                tracing::error!(trigger, %row, "row was not stored in time; no retraining");
                self.trained(Training::RowNotStored);
                return Ok(Done::Here);
            }
        }
        let last = RowOrder { time: trigger.closed_at, position: trigger.position };
        match self.retrain(input, last, Cause::trigger(&trigger.id)).await? {
            Ok(_) => {}
            Err(NoVersion::AskedBack) => return Ok(Done::ByTheNext),
            Err(NoVersion::Refused(error)) => {
                tracing::error!(trigger = trigger.id, error, "retraining failed; the model stays");
            }
        }
        Ok(Done::Here)
    }

    /// Waits for the row that caused a trigger.
    async fn stored(&self, input: &Input, trigger: &Trigger) -> anyhow::Result<Waited> {
        /// The row usually is there already; a wait that grows spares a store that is slow.
        const PAUSE_MAX: Duration = Duration::from_millis(500);
        let mut pause = Duration::from_millis(2);
        let mut waited = Duration::ZERO;
        while !self.store.contains(trigger.closed_by).await? {
            if input.is_asked_back() {
                return Ok(Waited::AskedBack);
            }
            if waited >= self.context.config.train.row_timeout {
                return Ok(Waited::TooLong);
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(Waited::Stored)
    }

    async fn requested(
        &mut self,
        input: &Input,
        record: &Record,
        outputs: &mut Outputs<'_>,
    ) -> anyhow::Result<Done> {
        let request = match Request::decode(record.payload()) {
            Ok(request) => request,
            Err(rejection) => {
                return outputs.dead_letter(record, &rejection).await.map(|()| Done::Here);
            }
        };
        if request.model != self.context.config.train.model {
            return Ok(Done::Here);
        }
        let (version, refused) = match self.answer(input, &request).await? {
            Ok(manifest) => (manifest.map(|manifest| manifest.version), None),
            Err(NoVersion::AskedBack) => return Ok(Done::ByTheNext),
            Err(NoVersion::Refused(reason)) => {
                tracing::warn!(request = request.id, by = request.by, reason, "request is refused");
                (None, Some(reason))
            }
        };
        let result = match (version, &refused) {
            (_, Some(_)) => counters::Request::Refused,
            (Some(_), None) => counters::Request::Published,
            (None, None) => counters::Request::Nothing,
        };
        let answer = Answer { id: request.id, version, refused };
        self.catalog.answer(&answer).await?;
        self.context.counters.count(|counts| counts.answered(result));
        Ok(Done::Here)
    }

    fn trained(&self, result: Training) {
        self.context.counters.count(|counts| counts.trained(result));
    }

    /// The version that comes of a request, or why there is none.
    async fn answer(
        &mut self,
        input: &Input,
        request: &Request,
    ) -> anyhow::Result<Result<Option<Arc<Manifest>>, NoVersion>> {
        if let Some(answered) = self.catalog.answer_to(&request.id) {
            return Ok(Ok(Some(answered)));
        }
        if request.action == Action::Retrain {
            let newest = RowPosition { partition: i32::MAX, offset: i64::MAX };
            let cause = Cause {
                kind: CauseKind::Retrain,
                id: Some(request.id.clone()),
                by: Some(request.by.clone()),
                reason: Some(request.reason.clone()).filter(|reason| !reason.is_empty()),
            };
            let last = RowOrder { time: EventTime::MAX, position: newest };
            return Ok(self.retrain(input, last, cause).await?.map(Some));
        }
        let decision = self.context.config.rules().decide(self.catalog.log(), request);
        match decision {
            Decision::Nothing => Ok(Ok(None)),
            Decision::Refuse(reason) => Ok(Err(NoVersion::Refused(reason))),
            Decision::Publish { stage, source, cause } => {
                let Some(found) = self.catalog.log().get(source).cloned() else {
                    let reason = format!("{source} is not there any more");
                    return Ok(Err(NoVersion::Refused(reason)));
                };
                let Some(bytes) = found.bytes else {
                    let reason = format!("the component of {source} is not there any more");
                    return Ok(Err(NoVersion::Refused(reason)));
                };
                let manifest = Manifest {
                    stage,
                    source: Some(source),
                    created: self.context.clock.now(),
                    cause,
                    ..(*found.manifest).clone()
                };
                self.publish(&bytes, manifest).await.map(|manifest| Ok(Some(manifest)))
            }
        }
    }

    /// Trains with the newest rows up to this one. The inner error says why there is no version of it.
    async fn retrain(
        &mut self,
        input: &Input,
        last: RowOrder,
        cause: Cause,
    ) -> anyhow::Result<Result<Arc<Manifest>, NoVersion>> {
        let began = Instant::now();
        let rows = Division::of(&self.context.config).read(&**self.store, last).await?;
        let champion = self.catalog.log().champion().cloned();
        let (trainer, config) = (self.trainer.clone(), Arc::clone(&self.context.config));
        let fit = tokio::task::spawn_blocking(move || {
            let trained = trainer.train(&rows.training, rows.left_out)?;
            let hold_out = compare(&trainer, &trained, champion.as_ref(), &rows.held_out)?;
            anyhow::Ok((trained, rows, hold_out))
        });
        let (trained, rows, hold_out) = match fit.await? {
            Ok(fitted) => fitted,
            Err(error) => {
                self.trained(failure(&error));
                return Ok(Err(NoVersion::Refused(format!("{error:#}"))));
            }
        };
        if input.is_asked_back() {
            return Ok(Err(NoVersion::AskedBack));
        }
        let has_champion = self.catalog.champion().is_some();
        let (stage, reason) = config.rules().gate(has_champion, hold_out.as_ref());
        if let Some(reason) = &reason {
            tracing::warn!(reason, "the retrained model is not good enough and does not serve");
        }
        let now = self.context.clock.now();
        let cause = Cause { reason: reason.or(cause.reason), ..cause };
        let mut manifest = self.trainer.manifest(&trained, &config.train.model, now, cause);
        manifest.stage = stage;
        manifest.hold_out = hold_out;
        manifest.rows.times = rows.times;
        manifest.rows.selection = Some(rows.selection);
        crash_point("train-fitted");
        let published = self.publish(trained.model.bytes(), manifest).await?;
        self.context.counters.count(|counts| {
            counts.trained(Training::Published(published.stage));
            counts.training_took = Some(began.elapsed());
        });
        Ok(Ok(published))
    }

    async fn publish(
        &mut self,
        bytes: &[u8],
        mut manifest: Manifest,
    ) -> anyhow::Result<Arc<Manifest>> {
        let train = &self.context.config.train;
        let valid_for = i64::try_from(train.valid_for.as_micros()).unwrap_or(i64::MAX);
        manifest.expires = (valid_for > 0).then(|| {
            EventTime::from_micros(manifest.created.as_micros().saturating_add(valid_for))
        });
        let (probation, before) =
            (self.context.config.promotion.probation_rows, self.catalog.champion());
        manifest.probation = before
            .filter(|_| probation > 0 && manifest.stage == Stage::Champion)
            .map(|before| before.version);
        let published = self.catalog.publish(bytes, manifest).await?.manifest;
        tracing::info!(
            cause = published.cause.kind.as_str(), id = published.cause.id,
            model.version = published.version.0, model.digest = %published.digest,
            stage = published.stage.as_str(), rows = published.rows.n,
            retrain_ms = published.retrain_ms, "model version published"
        );
        self.catalog.forget(train.keep_versions).await?;
        Ok(published)
    }
}

/// Whether it is the rows' fault that there is no version.
fn failure(error: &anyhow::Error) -> Training {
    match error.chain().find_map(|cause| cause.downcast_ref::<FitError>()) {
        Some(FitError::Refused(_) | FitError::TooManyRows { .. }) => Training::Unfittable,
        _ => Training::Failed,
    }
}
