//! The `[kafka]` section, and the settings that no configuration may forget.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};
use weir_service::{ConfigError, Security, locate_secret};

use crate::KafkaError;

/// The section of secrets, as messages name it.
const SECTION: &str = "kafka.security";

/// Settings of librdkafka that must not stand where `--check-config` would print them.
const SECRETS: [&str; 5] = [
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.client.secret",
];

/// How long a broker may take to answer a question.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach Kafka.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// The name under which the broker logs this client.
    pub client_id: String,
    /// Who this client is to Kafka, and whom it trusts.
    #[serde(default)]
    pub security: Security,
    /// The name under which the members of this process are known to their groups, also after a restart; empty
    /// for none. A member with a name may be away for `session.timeout.ms` without losing its partitions.
    #[serde(skip)]
    pub instance: String,
    /// Further settings of librdkafka, passed on as they are; they win over Weir's own.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

impl KafkaConfig {
    /// An open link without further settings.
    pub fn new(brokers: &str, client_id: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            client_id: client_id.to_owned(),
            security: Security::default(),
            instance: String::new(),
            settings: BTreeMap::new(),
        }
    }

    /// Whether the section of secrets can be used by this program, and its files can be read. What else is
    /// wrong shows when a client is made.
    ///
    /// # Errors
    /// The first setting that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some(secret) = SECRETS.iter().find(|&&name| self.settings.contains_key(name)) {
            return Err(ConfigError::value(format!(
                "kafka.settings.{secret:?}: is a secret, and settings are shown; use the files of {SECTION}"
            )));
        }
        self.secrets().map(drop)
    }

    /// A producer that neither loses nor reorders: idempotent, acknowledged by all in-sync replicas.
    pub(crate) fn producer(&self) -> Result<ClientConfig, KafkaError> {
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
    pub(crate) fn consumer(&self, group: &str) -> Result<ClientConfig, KafkaError> {
        let mut config = self.client(&[
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "earliest"),
            // Joining two topics in one group needs the same partitions of both in one member.
            ("partition.assignment.strategy", "range"),
            ("session.timeout.ms", "15000"),
            // A member hears of a rebalance with the answer to its next heartbeat.
            ("heartbeat.interval.ms", "1000"),
            ("max.poll.interval.ms", "60000"),
            ("queued.max.messages.kbytes", "16384"),
            ("queued.min.messages", "10000"),
            // A queue that is full is looked at again after this; librdkafka's second would let a reader that empties it
            // in less wait for the rest, and so read 30,000 records a second whatever the machine can do.
            ("fetch.queue.backoff.ms", "10"),
            ("check.crcs", "true"),
        ])?;
        config.set("group.id", group);
        Ok(config)
    }

    /// A client that asks about topics and makes them.
    pub(crate) fn admin(&self) -> Result<ClientConfig, KafkaError> {
        self.client(&[("allow.auto.create.topics", "false")])
    }

    fn client(&self, defaults: &[(&str, &str)]) -> Result<ClientConfig, KafkaError> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", &self.client_id);
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in self.secrets()? {
            config.set(name, value);
        }
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        Ok(config)
    }

    /// The settings of librdkafka that say who we are and whom we trust.
    fn secrets(&self) -> Result<Vec<(&'static str, String)>, ConfigError> {
        let security = &self.security;
        let credentials = security.credentials(SECTION)?;
        // librdkafka reads the files itself; here they are only looked at.
        let tls = security.tls(SECTION)?;
        let protocol = match (&credentials, &tls) {
            (None, None) => return Ok(Vec::new()),
            _ if cfg!(not(feature = "tls")) => {
                return Err(ConfigError::value(format!(
                    "{SECTION}: this program was built without TLS and SASL to Kafka; build it with \
                     `--features kafka-tls`, which needs OpenSSL's headers (libssl-dev)"
                )));
            }
            (None, Some(_)) => "ssl",
            (Some(_), None) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        let mut settings = vec![("security.protocol", protocol.to_owned())];
        if let Some(credentials) = credentials {
            settings.push(("sasl.mechanism", "SCRAM-SHA-512".to_owned()));
            settings.push(("sasl.username", credentials.username));
            settings.push(("sasl.password", credentials.password));
        }
        let mut file = |name: &'static str, setting: &str, path: &Path| {
            let path = locate_secret(&format!("{SECTION}.{setting}"), path)?;
            settings.push((name, path.to_string_lossy().into_owned()));
            Ok(())
        };
        if let Some(tls) = tls {
            file("ssl.ca.location", "ca-file", &security.ca_file)?;
            if tls.client.is_some() {
                file("ssl.certificate.location", "cert-file", &security.cert_file)?;
                file("ssl.key.location", "key-file", &security.key_file)?;
            }
        }
        Ok(settings)
    }
}
