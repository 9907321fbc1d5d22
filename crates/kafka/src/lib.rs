//! Kafka, as Weir uses it: an idempotent producer that reports every delivery, a consumer on its own
//! thread with offsets committed by hand, bounded scans, topics, and the ledger that tells when nothing
//! is in flight.
//!
//! This is the only crate that names rdkafka (the embedded broker for demos and tests excepted). It
//! knows topics, records and offsets, and nothing of what they mean.
//!
//! Invariants:
//! - Nothing is committed but what the caller marked as done.
//! - A record handed to the producer ends in exactly one delivery report.
//! - Every queue is bounded, and full queues hold back their source instead of dropping.

mod admin;
mod assignment;
mod config;
mod consumer;
mod context;
mod lags;
mod poll;
mod producer;
mod progress;
mod reach;
mod record;
mod scan;
mod topics;
mod watermarks;

pub use admin::{Admin, ClusterState, Creation, NewTopicSpec, TopicState};
pub use assignment::{Assignment, ConsumerEvent, Resume};
pub use config::KafkaConfig;
pub use consumer::Consumer;
pub use lags::{Lag, Lags};
pub use producer::{Class, Delivery, DeliveryError, Producer, SendError};
pub use progress::{Position, Progress};
pub use record::{NewRecord, Partition, Record};
pub use scan::{Scan, Start};
pub use topics::{Partitions, await_topics};
pub use watermarks::{Span, Watermarks};

/// Why a client could not be made or asked.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// The settings contradict each other or name something unknown.
    #[error("configure the Kafka client; check the [kafka] section")]
    Config(#[source] Box<rdkafka::error::KafkaError>),
    /// The brokers did not answer.
    #[error("reach Kafka at {brokers} ({reason}); is it running, and is kafka.brokers right?")]
    Unreachable {
        /// The addresses that were tried.
        brokers: String,
        /// What librdkafka last said about them.
        reason: String,
        /// How the request failed.
        #[source]
        source: rdkafka::error::RDKafkaErrorCode,
    },
    /// The brokers and this client do not accept each other.
    #[error("reach Kafka at {brokers}")]
    Denied {
        /// The addresses that were tried.
        brokers: String,
        /// What is wrong, and the settings to look at.
        #[source]
        source: weir_service::ConfigError,
    },
    /// The section of secrets cannot be used.
    #[error("configure the Kafka client")]
    Secrets(#[from] weir_service::ConfigError),
    /// A topic that should be read does not exist.
    #[error("find the topic {0:?} in Kafka; make it with: weir topics create --kafka ADDRESS")]
    NoSuchTopic(String),
    /// This client may not know of a topic.
    #[error(
        "use the topic {0:?}: the broker does not permit it to this user; check its access rules"
    )]
    TopicForbidden(String),
    /// This client may not be a member of a group.
    #[error(
        "use the group {0:?}: the broker does not permit it to this user; check its access rules"
    )]
    GroupForbidden(String),
    /// The brokers refused a request about topics.
    #[error("{operation}")]
    Admin {
        /// What was asked.
        operation: &'static str,
        /// What they said.
        #[source]
        source: Box<rdkafka::error::KafkaError>,
    },
    /// The operating system refused a thread.
    #[error("start the consumer's thread")]
    Thread(#[source] std::io::Error),
}

impl From<rdkafka::error::KafkaError> for KafkaError {
    fn from(cause: rdkafka::error::KafkaError) -> Self {
        Self::Config(Box::new(cause))
    }
}
