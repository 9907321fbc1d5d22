//! A bridge as a whole: what is awaited at the start, a task for each MQTT broker, and how it ends.
//!
//! What is done with messages is in `session`. The tasks share nothing but settings and counters: each has its own
//! relay, ledger and producer, so a broker that is away holds nobody up.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinSet;
use weir_kafka::{Progress, await_topics};
use weir_service::traces::Tracer;
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
    let topics = config.transform()?.routes().topics_written();
    let config = Arc::new(config);
    let tracer = Tracer::new(&config.traces, "weir-bridge", &config.kafka.client_id)?;
    let mut bridges = JoinSet::new();
    for broker in config.mqtt_brokers()? {
        let shared = (Arc::clone(&clock), progress.clone(), Arc::clone(&counters));
        let mut bridge = Bridge::new(Arc::clone(&config), broker, shared, tracer.clone())?;
        let shutdown = shutdown.clone();
        bridges.spawn(async move { bridge.sessions(&shutdown).await });
    }
    // Meanwhile the MQTT brokers already keep for this client what is published.
    let refused = async {
        match await_topics(&config.kafka, topics).await {
            Ok(_) => std::future::pending().await,
            Err(error) => error,
        }
    };
    // Whoever fails ends them all; nothing is acknowledged for those that are cut off.
    let ended = async {
        while let Some(ended) = bridges.join_next().await {
            match ended {
                Ok(ended) => ended?,
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = ended => ended,
        error = refused => Err(error).context("find Kafka's topics"),
    }
}
