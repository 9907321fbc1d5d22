//! Joined rows to closed windows and triggers: the shell around the detectors.
//!
//! A window spans all partitions: of several processes with this role one reads them all, and the others stand by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use weir_kafka::{Assignment, Consumer, KafkaError, Partition, Record, Resume};
use weir_registry::{Action, Request};
use weir_service::crash_point;
use weir_stream::{
    Checkpoint, Comparison, DetectorOutput, Detectors, IdleWatch, TumblingMean, UnseenLevel,
};

use super::{Context, Input, Work, stands_by};
use crate::config::Role;
use crate::counters::Verdicts;
use crate::outputs::Outputs;

pub(crate) async fn run(context: &Context) -> anyhow::Result<()> {
    let topics = context.topics();
    let mut input = context.lead(Role::Drift, &topics.trigger, &[&topics.joined])?;
    let mut watcher: Option<Watcher<'_>> = None;
    // One partition may be idle while others are busy: the time does not begin anew with their records.
    let mut look = tokio::time::interval(context.config.idle_look());
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Kafka may take long to answer, and the rows go on meanwhile.
    let mut asked: Option<JoinHandle<Result<Ends, KafkaError>>> = None;
    loop {
        let work = tokio::select! {
            work = input.next() => work?,
            _ = look.tick(), if watcher.is_some() && asked.is_none() => {
                let (kafka, topic) = (context.kafka(), topics.joined.clone());
                asked = Some(tokio::task::spawn_blocking(move || Consumer::ends(&kafka, &topic)));
                continue;
            }
            answer = async { asked.as_mut().expect("checked").await }, if asked.is_some() => {
                asked = None;
                if let Some(watcher) = &mut watcher {
                    watcher.look(&input, answer?).await?;
                }
                continue;
            }
        };
        match (work, &mut watcher) {
            (None, _) => break,
            (Some(Work::Records(records)), Some(watcher)) => {
                watcher.batch(&input, &records).await?
            }
            (Some(Work::Records(_)), None) => bail!("records came before an assignment"),
            (Some(Work::Assignment(Assignment::Assigned(assigned))), _) => {
                watcher =
                    (!stands_by(Role::Drift, &assigned)).then(|| Watcher::new(context, &assigned));
            }
            // Windows span partitions: what was seen of these cannot be taken out again.
            (Some(Work::Assignment(Assignment::Revoked(_))), _) => watcher = None,
        }
    }
    input.consumer.close().await;
    Ok(())
}

/// Where partitions end.
type Ends = Vec<(i32, i64)>;

struct Watcher<'a> {
    context: &'a Context,
    detectors: Detectors,
    partitions: BTreeMap<i32, Read>,
    idle: IdleWatch,
    began: Instant,
}

/// How far a partition was read.
struct Read {
    topic: Arc<str>,
    next: i64,
    paused: bool,
}

impl<'a> Watcher<'a> {
    /// Goes on where the group's commits left off.
    fn new(context: &'a Context, assigned: &[(Partition, Option<Resume>)]) -> Self {
        let window = TumblingMean::new(context.config.window(assigned.len()));
        let unseen_level = UnseenLevel::new(context.config.unseen_level());
        let comparison = Comparison::new(context.config.comparison());
        let mut detectors =
            Detectors::new(vec![Box::new(window), Box::new(unseen_level), Box::new(comparison)]);
        let numbers: Vec<i32> = assigned.iter().map(|(partition, _)| partition.partition).collect();
        detectors.assign(&numbers);
        let mut partitions = BTreeMap::new();
        for (Partition { topic, partition }, resume) in assigned {
            let next = resume.as_ref().map_or(0, |resume| resume.offset);
            let topic = Arc::clone(topic);
            partitions.insert(*partition, Read { topic, next, paused: false });
            let Some(resume) = resume else { continue };
            if let Err(error) = detectors.resume(*partition, &resume.metadata) {
                tracing::warn!(%error, partition, "detectors start anew");
            }
        }
        let idle = IdleWatch::new(Some(context.config.window.idle_after));
        Self { context, detectors, partitions, idle, began: Instant::now() }
    }

    async fn batch(&mut self, input: &Input, records: &[Record]) -> anyhow::Result<()> {
        let mut outputs = Outputs::new(&self.context.producer);
        let (mut touched, now) = (BTreeSet::new(), self.began.elapsed());
        let mut verdicts = Verdicts::default();
        for record in records {
            let position = record.position;
            let Some(read) = self.partitions.get_mut(&position.partition) else { continue };
            read.next = position.offset + 1;
            touched.insert(position.partition);
            self.idle.record(position.partition, now);
            // A row that cannot be read is the sink's dead letter: one is enough.
            let Ok(row) = self.context.schema.decode_joined(record.payload()) else { continue };
            for output in self.detectors.observe(position, &row) {
                write(self.context, &mut outputs, &mut verdicts, output).await?;
            }
        }
        crash_point("drift-written");
        outputs.settle().await?;
        crash_point("drift-delivered");
        for partition in touched {
            self.mark(input, partition);
        }
        self.pause(input);
        self.context.counters.count(|counts| {
            counts.done(Role::Drift, records, &[]);
            counts.advised(verdicts);
        });
        crash_point("drift-done");
        Ok(())
    }

    fn mark(&self, input: &Input, partition: i32) {
        let Some(Read { topic, next, .. }) = self.partitions.get(&partition) else { return };
        let Checkpoint { offset, metadata } = self.detectors.checkpoint(partition, *next);
        input.consumer.done(topic, partition, *next, Some(Resume { offset, metadata }));
    }

    /// New rows of a partition may have to wait: until the other partitions are reread, or have come as far.
    fn pause(&mut self, input: &Input) {
        let now = self.began.elapsed();
        for (&partition, read) in &mut self.partitions {
            let waiting = self.detectors.is_waiting(partition);
            if waiting != read.paused {
                input.consumer.set_paused(&read.topic, partition, waiting);
                read.paused = waiting;
            }
            self.idle.paused(partition, waiting, now);
        }
    }

    /// Tells the detectors which partitions need not be waited for, by where Kafka says that they end. While it does
    /// not say it none is idle: nobody knows what is there.
    async fn look(
        &mut self,
        input: &Input,
        answer: Result<Ends, KafkaError>,
    ) -> anyhow::Result<()> {
        let ends: BTreeMap<i32, i64> = answer.unwrap_or_default().into_iter().collect();
        if let Some(partition) =
            ends.keys().find(|partition| !self.partitions.contains_key(partition))
        {
            bail!(
                "partition {partition} of the joined rows is new: the windows begin anew with it"
            );
        }
        let now = self.began.elapsed();
        for (&partition, read) in &self.partitions {
            let caught_up = ends.get(&partition).is_some_and(|end| read.next >= *end);
            self.idle.caught_up(partition, caught_up, now);
        }
        let mut outputs = Outputs::new(&self.context.producer);
        let mut verdicts = Verdicts::default();
        for (partition, is_idle) in self.idle.changes(now) {
            if is_idle {
                tracing::info!(
                    partition,
                    "no rows for long: windows do not wait for this partition"
                );
            }
            for output in self.detectors.set_idle(partition, is_idle) {
                write(self.context, &mut outputs, &mut verdicts, output).await?;
            }
        }
        outputs.settle().await?;
        self.context.counters.count(|counts| counts.advised(verdicts));
        // A window that closes holds no offset any more. And Kafka forgets what was committed for a partition that has no
        // rows for long, since this group does not subscribe to its topic.
        for &partition in self.partitions.keys() {
            self.mark(input, partition);
        }
        self.pause(input);
        Ok(())
    }
}

async fn write(
    context: &Context,
    outputs: &mut Outputs<'_>,
    verdicts: &mut Verdicts,
    output: DetectorOutput,
) -> anyhow::Result<()> {
    match output {
        DetectorOutput::Window(window) => {
            tracing::info!(
                start = %window.start, rows = window.rows, mean_error = window.mean_error,
                triggered = window.triggered, "window closed"
            );
            verdicts.windows[usize::from(window.triggered)] += 1;
            verdicts.window_error = Some(window.mean_error);
            let key = window.start.to_string();
            outputs.result(&context.topics().window, &key, &window.encode()).await
        }
        DetectorOutput::Trigger(trigger) => {
            tracing::info!(trigger = trigger.id, rows = trigger.rows, "retraining is asked for");
            *verdicts.triggers.entry(trigger.detector.clone()).or_default() += 1;
            let payload = context.schema.encode_trigger(&trigger);
            outputs.result(&context.topics().trigger, &trigger.id, &payload).await
        }
        DetectorOutput::Compared(compared) => {
            let (served, shadow) = (compared.served, compared.shadow);
            tracing::info!(
                %served, compared.served_error, %shadow, compared.shadow_error, compared.rows,
                "versions are compared"
            );
            verdicts.comparisons += 1;
            let request = Request {
                // The same when the rows are read again.
                id: format!("{}/{served}/{shadow}", Comparison::NAME),
                model: context.config.train.model.clone(),
                action: Action::Compared(compared),
                by: Role::Drift.name().to_owned(),
                reason: String::new(),
                timestamp: context.clock.now(),
            };
            outputs.result(&context.topics().request, &request.id, &request.encode()).await
        }
    }
}
