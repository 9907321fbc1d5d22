//! An embedded Kafka broker: librdkafka's mock cluster, reached by the real client over loopback.
//!
//! It keeps at most 5 MiB a partition and no transactions, compacts nothing, and forgets everything when
//! it is dropped. Clients should ask it often: it answers a fetch that finds nothing only after the
//! client's `fetch.wait.max.ms`, so [`EmbeddedKafka::settings`] sets that to 10 ms.

use std::collections::BTreeMap;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A mock cluster of one broker that runs until it is dropped.
pub struct EmbeddedKafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

/// Why the embedded broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedKafkaError {
    /// It did not start.
    #[error("start the embedded Kafka broker")]
    Start(#[source] Box<rdkafka::error::KafkaError>),
    /// It refused a topic.
    #[error("create the topic {topic:?} in the embedded Kafka broker")]
    Topic {
        /// The topic.
        topic: String,
        /// Why.
        #[source]
        source: Box<rdkafka::error::KafkaError>,
    },
    /// It did not do as told.
    #[error("control the embedded Kafka broker")]
    Control(#[source] Box<rdkafka::error::KafkaError>),
}

impl std::fmt::Debug for EmbeddedKafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedKafka").field("brokers", &self.brokers()).finish()
    }
}

impl EmbeddedKafka {
    /// The identity of the only broker.
    const BROKER: i32 = 1;

    /// Starts a broker on a free port of loopback.
    ///
    /// # Errors
    /// If librdkafka refuses.
    pub fn start() -> Result<Self, EmbeddedKafkaError> {
        let cluster = MockCluster::new(1).map_err(|e| EmbeddedKafkaError::Start(Box::new(e)))?;
        Ok(Self { cluster })
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// If it exists already.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), EmbeddedKafkaError> {
        self.cluster.create_topic(topic, partitions, 1).map_err(|source| {
            EmbeddedKafkaError::Topic { topic: topic.to_owned(), source: Box::new(source) }
        })
    }

    /// The address for `kafka.brokers`.
    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// What clients of this broker should set beyond the defaults.
    pub fn settings() -> BTreeMap<String, String> {
        let settings = [("fetch.wait.max.ms", "10"), ("linger.ms", "0")];
        settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Cuts all connections and refuses new ones, or accepts them again. For tests.
    ///
    /// # Errors
    /// If librdkafka refuses.
    pub fn set_reachable(&self, reachable: bool) -> Result<(), EmbeddedKafkaError> {
        let result = if reachable {
            self.cluster.broker_up(Self::BROKER)
        } else {
            self.cluster.broker_down(Self::BROKER)
        };
        result.map_err(|source| EmbeddedKafkaError::Control(Box::new(source)))
    }
}
