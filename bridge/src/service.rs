//! A bridge as a whole: what is awaited at the start, and how it ends.
//!
//! What it does with messages is in `session`.

use std::sync::Arc;

use anyhow::Context as _;
use weir_kafka::{Progress, await_topics};
use weir_service::{Clock, Shutdown};

use crate::config::BridgeConfig;
use crate::counters::BridgeCounters;
use crate::session::Bridge;

/// Runs a bridge until `shutdown`.
///
/// Brokers that are away, and topics that are not there yet, are waited for without limit. `clock` tells when a message is received, and so
/// which event times lie in the future. Whoever waits on `progress` is woken when a counter changes.
///
/// # Errors
/// If a setting cannot be used (a [`weir_service::ConfigError`]; that a broker refuses this client from the
/// start counts as one), if Kafka refuses the client later, or if it refuses a dead letter. Nothing that is not in Kafka has been acknowledged.
pub async fn run(
    config: BridgeConfig,
    clock: Arc<dyn Clock>,
    progress: Progress,
    counters: Arc<BridgeCounters>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    config.check()?;
    let topics = config.topics_written();
    let mut bridge = Bridge::new(&config, clock, progress, counters)?;
    // Meanwhile the MQTT broker already keeps for this client what is published.
    let refused = async {
        match await_topics(&config.kafka, topics).await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    };
    tokio::select! {
        ended = bridge.sessions(&shutdown) => ended,
        error = refused => Err(error).context("find Kafka's topics"),
    }
}
