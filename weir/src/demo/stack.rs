//! The services and brokers of a run, in this process.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::task::JoinSet;
use weir_agent::AgentConfig;
use weir_bridge::{BridgeConfig, BridgeCounters};
use weir_embedded::kafka::EmbeddedKafka;
use weir_embedded::mqtt::EmbeddedMqtt;
use weir_events::EventTime;
use weir_host::{Control, HostConfig};
use weir_kafka::{KafkaConfig, Progress};
use weir_service::{EventClock, Shutdown};

/// Payloads up to this size leave the machines, so that larger ones than the bridge takes become dead
/// letters. The embedded MQTT broker takes 4 MiB.
const SAMPLE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Brokers and services.
pub(crate) struct Stack {
    pub(crate) agent: AgentConfig,
    pub(crate) host: HostConfig,
    pub(crate) clock: EventClock,
    pub(crate) progress: Progress,
    pub(crate) bridge: Arc<BridgeCounters>,
    pub(crate) control: Control,
    pub(crate) shutdown: Shutdown,
    bridge_config: BridgeConfig,
    services: JoinSet<anyhow::Result<()>>,
    _kafka: EmbeddedKafka,
    _mqtt: EmbeddedMqtt,
}

impl Stack {
    /// Starts the brokers and makes the topics.
    pub(crate) async fn start(partitions: i32, start: EventTime) -> anyhow::Result<Self> {
        let mqtt = EmbeddedMqtt::start().await.context("start the embedded MQTT broker")?;
        let kafka = EmbeddedKafka::start()?;
        let mut host = HostConfig::load(None)?;
        for topic in host.topics.partitioned() {
            kafka.create_topic(topic, partitions)?;
        }
        for topic in host.topics.single() {
            kafka.create_topic(topic, 1)?;
        }
        for topic in host.topics.dead_letters() {
            kafka.create_topic(&topic, 1)?;
        }
        host.kafka.brokers = kafka.brokers();
        host.kafka.settings = EmbeddedKafka::settings();
        host.store.path = std::path::PathBuf::new();
        let mut agent = AgentConfig::embedded()?;
        (agent.mqtt.host, agent.mqtt.port) =
            (mqtt.address().ip().to_string(), mqtt.address().port());
        agent.limits.sample_bytes_max = SAMPLE_BYTES_MAX;
        agent.mqtt.outgoing_bytes_max = 3 * 1024 * 1024;
        let mut bridge = BridgeConfig::default();
        (bridge.mqtt.host, bridge.mqtt.port) = (agent.mqtt.host.clone(), agent.mqtt.port);
        bridge.kafka = KafkaConfig { client_id: "weir-bridge".into(), ..host.kafka() };
        // The clock of a run shows the time of the events, which may lie anywhere.
        bridge.limits.clock_not_before = EventTime::MIN;
        Ok(Self {
            agent,
            host,
            clock: EventClock::new(start),
            progress: Progress::default(),
            bridge: Arc::new(BridgeCounters::default()),
            control: Control::default(),
            shutdown: Shutdown::new(),
            bridge_config: bridge,
            services: JoinSet::new(),
            _kafka: kafka,
            _mqtt: mqtt,
        })
    }

    /// Starts bridge and host.
    pub(crate) fn start_services(&mut self) {
        let clock = Arc::new(self.clock.clone());
        self.services.spawn(weir_bridge::run(
            self.bridge_config.clone(),
            clock.clone(),
            self.progress.clone(),
            Arc::clone(&self.bridge),
            self.shutdown.clone(),
        ));
        self.services.spawn(weir_host::run(
            self.host.clone(),
            clock,
            self.progress.clone(),
            self.control.clone(),
            self.shutdown.clone(),
        ));
    }

    /// Waits until the bridge has subscribed and every role has its partitions.
    pub(crate) fn waiting(&self) -> impl Future<Output = ()> + use<> {
        let (readers, bridge) = (self.host.readers(), Arc::clone(&self.bridge));
        let progress = self.progress.clone();
        async move {
            let ready = |progress: &Progress| {
                bridge.subscriptions() > 0 && readers.iter().all(|reader| progress.is_ready(reader))
            };
            progress.wait_until(ready).await;
        }
    }

    /// Returns only when a service ends that should not.
    pub(crate) async fn failure(&mut self) -> anyhow::Error {
        match self.services.join_next().await {
            Some(Ok(Ok(()))) => anyhow::anyhow!("run the demo: a service ended early"),
            Some(Ok(Err(error))) => error.context("run a service of the demo"),
            Some(Err(panicked)) => {
                anyhow::Error::from(panicked).context("run a service of the demo")
            }
            None => std::future::pending().await,
        }
    }

    /// Ends the services in order.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        while let Some(ended) = self.services.join_next().await {
            if let Err(error) = ended? {
                bail!("stop the demo: {error:#}");
            }
        }
        Ok(())
    }
}
