//! Predictions and targets to joined rows: the shell around one [`Join`] for each partition.
//!
//! State lives in memory and is rebuilt by rereading; what is committed is what the join names.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use weir_events::{EventKind, Rejection, Side, Source, UnjoinedReason};
use weir_kafka::{Assignment, Record};
use weir_service::crash_point;
use weir_stream::{Join, JoinCounts, JoinOutput};

use super::{Context, Input, Work, id_of};
use crate::config::Role;
use crate::control::Control;
use crate::counters::JoinTally;
use crate::outputs::Outputs;

pub(crate) async fn run(context: &Context, control: &Control) -> anyhow::Result<()> {
    let topics = [context.topics().prediction.as_str(), context.topics().target.as_str()];
    context.counters.count(|counts| counts.joins_given_up());
    let mut joiner = Joiner::new(context);
    let mut input = context.consume(Role::Join, &topics)?;
    loop {
        let work = tokio::select! {
            work = input.next() => work?,
            () = control.input_ended(), if !joiner.finished => {
                joiner.finish().await?;
                control.flushed();
                continue;
            }
        };
        match work {
            None => break,
            Some(Work::Assignment(assignment)) => joiner.assign(assignment),
            Some(Work::Records(records)) => joiner.batch(&input, &records).await?,
        }
    }
    input.consumer.close().await;
    Ok(())
}

/// One side of one partition pair.
struct Half {
    topic: Arc<str>,
    next: i64,
    paused: bool,
}

struct Partition {
    join: Join,
    halves: HashMap<Side, Half>,
}

struct Joiner<'a> {
    context: &'a Context,
    partitions: HashMap<i32, Partition>,
    /// What became of the events of partitions that are another's now.
    gone: JoinTally,
    finished: bool,
}

impl<'a> Joiner<'a> {
    fn new(context: &'a Context) -> Self {
        Self { context, partitions: HashMap::new(), gone: JoinTally::default(), finished: false }
    }

    fn assign(&mut self, assignment: Assignment) {
        match assignment {
            Assignment::Assigned(assigned) => {
                for (partition, resume) in assigned {
                    if resume.is_some() {
                        let side = self.side(&partition.topic);
                        self.partition(partition.partition).join.resume(side);
                    }
                }
            }
            Assignment::Revoked(revoked) => {
                for partition in revoked {
                    if let Some(Partition { join, .. }) =
                        self.partitions.remove(&partition.partition)
                    {
                        self.gone = self.gone.plus(tally([join.counts()]).given_up());
                    }
                }
                self.context.counters.count(|counts| counts.joins(self.tally()));
            }
        }
    }

    fn side(&self, topic: &str) -> Side {
        if topic == self.context.topics().prediction { Side::Prediction } else { Side::Target }
    }

    fn partition(&mut self, partition: i32) -> &mut Partition {
        let config = self.context.config.join();
        let new = || Partition { join: Join::new(config), halves: HashMap::new() };
        self.partitions.entry(partition).or_insert_with(new)
    }

    async fn batch(&mut self, input: &Input, records: &[Record]) -> anyhow::Result<()> {
        let mut outputs = Outputs::new(&self.context.producer);
        let mut touched = BTreeSet::new();
        for record in records {
            touched.insert(record.position.partition);
            match self.push(record) {
                Ok(joined) => write(self.context, &mut outputs, joined).await?,
                Err(rejection) => outputs.dead_letter(record, &rejection).await?,
            }
        }
        crash_point("join-written");
        let letters = outputs.settle().await?;
        crash_point("join-delivered");
        for partition in touched {
            self.mark(input, partition);
        }
        self.context.counters.count(|counts| {
            counts.done(Role::Join, records, &letters);
            counts.joins(self.tally());
        });
        crash_point("join-done");
        Ok(())
    }

    fn push(&mut self, record: &Record) -> Result<Vec<JoinOutput>, Rejection> {
        let side = self.side(&record.topic);
        let (partition, offset) = (record.position.partition, record.position.offset);
        let half = || Half { topic: Arc::clone(&record.topic), next: 0, paused: false };
        self.partition(partition).halves.entry(side).or_insert_with(half).next = offset + 1;
        let (schema, id) = (&self.context.schema, id_of(record));
        match side {
            Side::Prediction => {
                let prediction = schema.decode_prediction(record.payload(), id)?;
                Ok(self.partition(partition).join.push_prediction(offset, prediction))
            }
            Side::Target => {
                let source = Source::record(record.timestamp);
                let target =
                    schema.decode(EventKind::Target, record.payload(), &source)?.into_target(id);
                Ok(self.partition(partition).join.push_target(offset, target))
            }
        }
    }

    /// After the outputs are delivered: what is done, where to resume, what to pause.
    fn mark(&mut self, input: &Input, number: i32) {
        let Some(Partition { join, halves }) = self.partitions.get_mut(&number) else { return };
        for (&side, half) in halves {
            // An event of one side may free older ones of the other: both are looked at.
            let resume = join.hold_back(side).map(Into::into);
            input.consumer.done(&half.topic, number, half.next, resume);
            let full = join.is_full(side);
            if full != half.paused {
                input.consumer.set_paused(&half.topic, number, full);
                half.paused = full;
            }
        }
    }

    /// Reports everything that waits as unmatched: nothing more will come.
    async fn finish(&mut self) -> anyhow::Result<()> {
        self.finished = true;
        let mut outputs = Outputs::new(&self.context.producer);
        for partition in self.partitions.values_mut() {
            write(self.context, &mut outputs, partition.join.finish()).await?;
        }
        outputs.settle().await?;
        self.context.counters.count(|counts| counts.joins(self.tally()));
        Ok(())
    }

    /// What became of all events.
    fn tally(&self) -> JoinTally {
        self.gone.plus(tally(self.partitions.values().map(|partition| partition.join.counts())))
    }
}

fn tally(joins: impl IntoIterator<Item = JoinCounts>) -> JoinTally {
    let mut tally = JoinTally::default();
    joins.into_iter().for_each(|join| tally.add(join));
    tally
}

async fn write(
    context: &Context,
    outputs: &mut Outputs<'_>,
    joined: Vec<JoinOutput>,
) -> anyhow::Result<()> {
    for output in joined {
        match output {
            JoinOutput::Joined(row) => {
                let measurement = &row.prediction.measurement;
                let payload = context.schema.encode_joined(&row);
                outputs
                    .event(
                        &context.topics().joined,
                        &measurement.key,
                        measurement.id,
                        &payload,
                        None,
                    )
                    .await?;
            }
            JoinOutput::Unjoined(event) => {
                if event.reason != UnjoinedReason::Unmatched {
                    tracing::debug!(key = %event.key, reason = event.reason.as_str(), "event is not joined");
                }
                outputs
                    .event(&context.topics().unjoined, &event.key, event.id, &event.encode(), None)
                    .await?;
            }
        }
    }
    Ok(())
}
