//! Joined rows to closed windows and triggers: the shell around the detectors.
//!
//! A window spans all partitions: of several processes with this role one reads them all, and the others stand by.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_kafka::{Assignment, Partition, Record, Resume};
use weir_service::crash_point;
use weir_stream::{Checkpoint, DetectorOutput, Detectors, TumblingMean, UnseenLevel};

use super::{Context, Input, Work, stands_by};
use crate::config::Role;
use crate::outputs::Outputs;

pub(crate) async fn run(context: &Context) -> anyhow::Result<()> {
    let mut watcher = Watcher::new(context);
    let topics = context.topics();
    let mut input = context.lead(Role::Drift, &topics.trigger, &[&topics.joined])?;
    while let Some(work) = input.next().await? {
        match work {
            Work::Records(records) => watcher.batch(&input, &records).await?,
            Work::Assignment(Assignment::Assigned(assigned)) => {
                if !stands_by(Role::Drift, &assigned) {
                    watcher.resume(&assigned);
                }
            }
            // Windows span partitions: what was seen of these cannot be taken out again.
            Work::Assignment(Assignment::Revoked(_)) => watcher = Watcher::new(context),
        }
    }
    input.consumer.close().await;
    Ok(())
}

struct Watcher<'a> {
    context: &'a Context,
    detectors: Detectors,
    /// The partitions of which rows were seen, and whether reading them is paused.
    partitions: BTreeMap<i32, (Arc<str>, bool)>,
}

impl<'a> Watcher<'a> {
    fn new(context: &'a Context) -> Self {
        let window = TumblingMean::new(context.config.window());
        let unseen_level = UnseenLevel::new(context.config.unseen_level());
        let detectors = Detectors::new(vec![Box::new(window), Box::new(unseen_level)]);
        Self { context, detectors, partitions: BTreeMap::new() }
    }

    fn resume(&mut self, assigned: &[(Partition, Option<Resume>)]) {
        for (partition, resume) in assigned {
            let (partition, Some(resume)) = (partition.partition, resume) else { continue };
            if let Err(error) = self.detectors.resume(partition, &resume.metadata) {
                tracing::warn!(%error, partition, "detectors start anew");
            }
        }
    }

    async fn batch(&mut self, input: &Input, records: &[Record]) -> anyhow::Result<()> {
        let mut outputs = Outputs::new(&self.context.producer);
        let mut nexts = BTreeMap::new();
        for record in records {
            let position = record.position;
            let topic = Arc::clone(&record.topic);
            self.partitions.entry(position.partition).or_insert((topic, false));
            nexts.insert(position.partition, position.offset + 1);
            // A row that cannot be read is the sink's dead letter: one is enough.
            let Ok(row) = self.context.schema.decode_joined(record.payload()) else { continue };
            for output in self.detectors.observe(position, &row) {
                write(self.context, &mut outputs, output).await?;
            }
        }
        crash_point("drift-written");
        outputs.settle().await?;
        crash_point("drift-delivered");
        for (partition, next) in nexts {
            let Checkpoint { offset, metadata } = self.detectors.checkpoint(partition, next);
            let topic = &self.partitions[&partition].0;
            input.consumer.done(topic, partition, next, Some(Resume { offset, metadata }));
        }
        self.pause(input);
        crash_point("drift-done");
        Ok(())
    }

    /// After a restart the new rows of a partition wait until the other partitions are reread.
    fn pause(&mut self, input: &Input) {
        for (&partition, (topic, paused)) in &mut self.partitions {
            let waiting = self.detectors.is_waiting(partition);
            if waiting != *paused {
                input.consumer.set_paused(topic, partition, waiting);
                *paused = waiting;
            }
        }
    }
}

async fn write(
    context: &Context,
    outputs: &mut Outputs<'_>,
    output: DetectorOutput,
) -> anyhow::Result<()> {
    match output {
        DetectorOutput::Window(window) => {
            tracing::info!(
                start = %window.start, rows = window.rows, mean_error = window.mean_error,
                triggered = window.triggered, "window closed"
            );
            let key = window.start.to_string();
            outputs.result(&context.topics().window, &key, &window.encode()).await
        }
        DetectorOutput::Trigger(trigger) => {
            tracing::info!(trigger = trigger.id, rows = trigger.rows, "retraining is asked for");
            let payload = context.schema.encode_trigger(&trigger);
            outputs.result(&context.topics().trigger, &trigger.id, &payload).await
        }
    }
}
