//! How much waits for this host: asks the brokers from time to time where partitions end.
//!
//! That is asked by a client of its own: a consumer knows the end only of what it fetches, and fetches nothing while it is
//! held back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::MissedTickBehavior;
use weir_kafka::{KafkaError, Watermarks};

use crate::counters::Ends;
use crate::roles::{Context, reads};

const LOOK: Duration = Duration::from_secs(10);

/// Looks until shutdown.
pub(crate) async fn run(context: &Context) -> anyhow::Result<()> {
    let watermarks = Arc::new(Watermarks::new(&context.kafka())?);
    let topics = reads(&context.config).into_iter().map(|reading| reading.topic);
    let topics: Arc<BTreeSet<String>> = Arc::new(topics.collect());
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let asked = async {
            look.tick().await;
            let (watermarks, topics) = (Arc::clone(&watermarks), Arc::clone(&topics));
            tokio::task::spawn_blocking(move || ends(&watermarks, &topics)).await
        };
        let ends = tokio::select! {
            ends = asked => ends.context("ask where topics end")?,
            () = context.shutdown.cancelled() => return Ok(()),
        };
        if let Err(error) = &ends {
            tracing::debug!(%error, "Kafka does not say where topics end");
        }
        context.counters.count(|counts| counts.ends = ends.ok().map(Arc::new));
    }
}

fn ends(watermarks: &Watermarks, topics: &BTreeSet<String>) -> Result<Ends, KafkaError> {
    topics.iter().map(|topic| Ok((topic.clone(), watermarks.of(topic)?))).collect()
}
