//! Joined rows to training rows. A row is done when the store has made it durable.
//!
//! While the store is away the rows are held, and no more are read: they wait in Kafka. Processes that share a store
//! share the partitions; who keeps the rows in a file of its own must have them all.

use std::sync::Arc;

use anyhow::bail;
use weir_kafka::{Assignment, Consumer};

use weir_service::crash_point;

use super::{Context, Work};
use crate::config::Role;
use crate::outputs::Outputs;
use crate::store::{TrainingRow, TrainingStore, until_done};

pub(crate) async fn run(context: &Context, store: &Arc<dyn TrainingStore>) -> anyhow::Result<()> {
    let mut input = context.consume(Role::Sink, &[&context.topics().joined])?;
    while let Some(work) = input.next().await? {
        let records = match work {
            Work::Records(records) => records,
            Work::Assignment(Assignment::Assigned(assigned)) => {
                if !context.config.store.is_shared() {
                    require_whole(context, assigned.len()).await?;
                }
                continue;
            }
            Work::Assignment(Assignment::Revoked(_)) => continue,
        };
        let mut outputs = Outputs::new(&context.producer);
        let mut rows = Vec::with_capacity(records.len());
        for record in &records {
            match context.schema.decode_joined(record.payload()) {
                Ok(joined) => rows.push(TrainingRow { joined, position: record.position }),
                Err(rejection) => outputs.dead_letter(record, &rejection).await?,
            }
        }
        crash_point("sink-read");
        let read = rows.len() as u64;
        let insert = || store.insert(rows.clone());
        let Some(new) = until_done(&context.shutdown, insert).await? else { break };
        if new < read {
            tracing::debug!(repeated = read - new, "rows were stored before");
        }
        crash_point("sink-stored");
        let letters = outputs.settle().await?;
        input.done(&records);
        context.counters.count(|counts| {
            counts.done(Role::Sink, &records, &letters);
            counts.rows_stored += new;
            counts.rows_repeated += read - new;
        });
        crash_point("sink-done");
    }
    input.consumer.close().await;
    Ok(())
}

/// Checks that this member was given every partition.
async fn require_whole(context: &Context, assigned: usize) -> anyhow::Result<()> {
    let (kafka, topic) = (context.kafka(), context.topics().joined.clone());
    let asked = tokio::task::spawn_blocking(move || Consumer::partitions(&kafka, &topic));
    if assigned < asked.await?? {
        bail!(
            "read the topic {:?} whole: another process has the role sink too; give it to one process only, \
             or let them share a store (store.uri)",
            context.topics().joined
        );
    }
    Ok(())
}
