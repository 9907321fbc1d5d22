//! Triggers and requests to model versions, one at a time.
//!
//! A trigger names the row whose arrival caused it. Training waits until the store has that row, and takes the newest rows up
//! to and including it. What was answered before, by a run that crashed before it could say so, is passed over. The topics
//! of triggers and requests have one partition: of several processes with this role one trains, and the others stand by.
//! Only this role signs; what others want done with versions they ask for.

use std::sync::Arc;
use std::time::Duration;

use weir_events::{EventTime, RowPosition, Trigger};
use weir_kafka::{Assignment, Record};
use weir_registry::{Action, Answer, Cause, CauseKind, Decision, Manifest, Request, Stage};
use weir_service::crash_point;

use super::{Context, Input, Work, stands_by};
use crate::config::Role;
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
            let mut outputs = Outputs::new(&context.producer);
            let done = async {
                self.catalog.refresh().await?;
                if *record.topic == *context.topics().request {
                    return self.requested(record, &mut outputs).await;
                }
                match context.schema.decode_trigger(record.payload()) {
                    Ok(trigger) => self.triggered(&trigger).await,
                    Err(rejection) => outputs.dead_letter(record, &rejection).await,
                }
            };
            tokio::select! {
                done = done => done?,
                () = context.shutdown.cancelled() => return Ok(false),
            }
            outputs.settle().await?;
            crash_point("train-published");
            input.done(std::slice::from_ref::<Record>(record));
        }
        Ok(true)
    }

    async fn triggered(&mut self, trigger: &Trigger) -> anyhow::Result<()> {
        if self.catalog.answer_to(&trigger.id).is_some() {
            tracing::info!(trigger = trigger.id, "retraining was done before");
            return Ok(());
        }
        if !stored(self.store, trigger, self.context.config.train.row_timeout).await? {
            let (trigger, row) = (&trigger.id, trigger.closed_by);
            tracing::error!(trigger, %row, "row was not stored in time; no retraining");
            return Ok(());
        }
        let last = RowOrder { time: trigger.closed_at, position: trigger.position };
        if let Err(error) = self.retrain(last, Cause::trigger(&trigger.id)).await? {
            tracing::error!(trigger = trigger.id, error, "retraining failed; the model stays");
        }
        Ok(())
    }

    async fn requested(
        &mut self,
        record: &Record,
        outputs: &mut Outputs<'_>,
    ) -> anyhow::Result<()> {
        let request = match Request::decode(record.payload()) {
            Ok(request) => request,
            Err(rejection) => return outputs.dead_letter(record, &rejection).await,
        };
        if request.model != self.context.config.train.model {
            return Ok(());
        }
        let (version, refused) = match self.answer(&request).await? {
            Ok(manifest) => (manifest.map(|manifest| manifest.version), None),
            Err(reason) => {
                tracing::warn!(request = request.id, by = request.by, reason, "request is refused");
                (None, Some(reason))
            }
        };
        self.catalog.answer(&Answer { id: request.id, version, refused }).await
    }

    /// The version that comes of a request, or why there is none.
    async fn answer(
        &mut self,
        request: &Request,
    ) -> anyhow::Result<Result<Option<Arc<Manifest>>, String>> {
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
            return Ok(self.retrain(last, cause).await?.map(Some));
        }
        let decision = self.context.config.rules().decide(self.catalog.log(), request);
        match decision {
            Decision::Nothing => Ok(Ok(None)),
            Decision::Refuse(reason) => Ok(Err(reason)),
            Decision::Publish { stage, source, cause } => {
                let Some(found) = self.catalog.log().get(source).cloned() else {
                    return Ok(Err(format!("{source} is not there any more")));
                };
                let Some(bytes) = found.bytes else {
                    return Ok(Err(format!("the component of {source} is not there any more")));
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

    /// Trains with the newest rows up to this one. The inner error says why that is not possible.
    async fn retrain(
        &mut self,
        last: RowOrder,
        cause: Cause,
    ) -> anyhow::Result<Result<Arc<Manifest>, String>> {
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
            Err(error) => return Ok(Err(format!("{error:#}"))),
        };
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
        self.publish(trained.model.bytes(), manifest).await.map(Ok)
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

/// Waits for the row that caused a trigger.
async fn stored(
    store: &Arc<dyn TrainingStore>,
    trigger: &Trigger,
    timeout: Duration,
) -> anyhow::Result<bool> {
    /// The row usually is there already; a wait that grows spares a store that is slow.
    const PAUSE_MAX: Duration = Duration::from_millis(500);
    let mut pause = Duration::from_millis(2);
    let mut waited = Duration::ZERO;
    while !store.contains(trigger.closed_by).await? {
        if waited >= timeout {
            return Ok(false);
        }
        tokio::time::sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    Ok(true)
}
