//! The `[kafka]` section, and the settings that no configuration may forget.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

/// How to reach Kafka.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// The name under which the broker logs this client.
    pub client_id: String,
    /// Further settings of librdkafka, passed on as they are; they win over Weir's own.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

impl KafkaConfig {
    /// A producer that neither loses nor reorders: idempotent, acknowledged by all in-sync replicas.
    pub(crate) fn producer(&self) -> ClientConfig {
        self.client(&[
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("linger.ms", "5"),
            ("compression.type", "lz4"),
            // Finite, so that a partition that is stuck shows; the caller decides what follows.
            ("message.timeout.ms", "120000"),
            ("queue.buffering.max.messages", "20000"),
            ("queue.buffering.max.kbytes", "65536"),
            // A topic that a broker makes by itself has its default of partitions, not ours.
            ("allow.auto.create.topics", "false"),
            // The Java client's: another producer of the same topics then agrees about partitions.
            ("partitioner", "murmur2_random"),
        ])
    }

    /// A consumer that starts at the oldest record and commits only what it is told.
    pub(crate) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client(&[
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "earliest"),
            // Joining two topics in one group needs the same partitions of both in one member.
            ("partition.assignment.strategy", "range"),
            ("session.timeout.ms", "15000"),
            ("max.poll.interval.ms", "60000"),
            ("queued.max.messages.kbytes", "16384"),
            ("queued.min.messages", "10000"),
            ("check.crcs", "true"),
        ]);
        config.set("group.id", group);
        config
    }

    /// A client that asks about topics and makes them.
    pub(crate) fn admin(&self) -> ClientConfig {
        self.client(&[("allow.auto.create.topics", "false")])
    }

    fn client(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", &self.client_id);
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
    }
}
