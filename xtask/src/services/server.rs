//! The servers there are: what each is called, how tests learn where it is, and what it takes to start it.

use anyhow::{Context as _, Result};

use super::folder::Folder;
use super::home::Home;
use super::mosquitto::Entry;
use super::{kafka, mongo, mosquitto};
use crate::tools::{self, Tool};

/// A server that tests need.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Server {
    /// Apache Kafka, one node, plain.
    Kafka,
    /// Apache Kafka, three nodes, plain.
    KafkaCluster,
    /// Apache Kafka, one node, with TLS, users and ACLs.
    KafkaSecure,
    /// Mosquitto, plain, for everybody.
    Mqtt,
    /// Mosquitto over TLS, with client certificates and ACLs.
    MqttSecure,
    /// Mosquitto over TLS, with passwords and ACLs.
    MqttUsers,
    /// A server with MongoDB's protocol, plain and over TLS.
    Mongodb,
}

impl Server {
    /// All there are. The slowest to start come first.
    pub(crate) const ALL: [Self; 7] = [
        Self::KafkaSecure,
        Self::KafkaCluster,
        Self::Kafka,
        Self::Mongodb,
        Self::Mqtt,
        Self::MqttSecure,
        Self::MqttUsers,
    ];

    /// What starts when nobody says more: a cluster is too much for everyday.
    pub(super) fn usual() -> Vec<Self> {
        Self::ALL.into_iter().filter(|server| *server != Self::KafkaCluster).collect()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::KafkaCluster => "kafka-cluster",
            Self::KafkaSecure => "kafka-secure",
            Self::Mqtt => "mqtt",
            Self::MqttSecure => "mqtt-secure",
            Self::MqttUsers => "mqtt-users",
            Self::Mongodb => "mongodb",
        }
    }

    /// The variables that say where it is; e2e/src/servers.rs reads them. The first is its address.
    pub(super) fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Kafka => &["WEIR_TEST_KAFKA"],
            Self::KafkaCluster => &["WEIR_TEST_KAFKA_CLUSTER"],
            Self::KafkaSecure => &["WEIR_TEST_KAFKA_SECURE", "WEIR_TEST_KAFKA_ACLS"],
            Self::Mqtt => &["WEIR_TEST_MQTT"],
            Self::MqttSecure => &["WEIR_TEST_MQTT_SECURE"],
            Self::MqttUsers => &["WEIR_TEST_MQTT_USERS"],
            Self::Mongodb => &["WEIR_TEST_MONGODB", "WEIR_TEST_MONGODB_TLS"],
        }
    }

    /// Whether it, or one of its listeners, has a certificate.
    pub(super) fn is_secured(self) -> bool {
        !matches!(self, Self::Kafka | Self::KafkaCluster | Self::Mqtt)
    }

    /// What must be installed to start it.
    pub(crate) fn tools(self) -> &'static [&'static Tool] {
        match self {
            Self::Kafka | Self::KafkaCluster => &[&tools::JAVA, &tools::MAVEN, &tools::KCAT],
            Self::KafkaSecure => &[&tools::JAVA, &tools::MAVEN, &tools::OPENSSL],
            Self::Mqtt => &[&tools::MOSQUITTO, &tools::MOSQUITTO_CLIENTS],
            Self::MqttSecure | Self::MqttUsers => {
                &[&tools::MOSQUITTO, &tools::MOSQUITTO_CLIENTS, &tools::OPENSSL]
            }
            Self::Mongodb if mongo::has_mongod() => &[&tools::OPENSSL],
            Self::Mongodb => &[&tools::GO, &tools::OPENSSL],
        }
    }

    /// Fetches or builds what is kept between runs.
    pub(super) fn prepare(self, home: &Home) -> Result<()> {
        if self.is_secured() {
            home.secrets.make()?;
        }
        match self {
            Self::Kafka | Self::KafkaCluster | Self::KafkaSecure => kafka::prepare(home),
            Self::Mongodb => mongo::prepare(home),
            Self::Mqtt | Self::MqttSecure | Self::MqttUsers => Ok(()),
        }
    }

    pub(super) fn folder(self, home: &Home) -> Folder {
        Folder::new(&home.state, self.name())
    }

    /// Starts it from nothing and waits until it answers. If that fails, nothing of it goes on running.
    pub(super) fn start(self, home: &Home) -> Result<()> {
        let folder = self.folder(home);
        folder.stop()?;
        folder.renew()?;
        let started = self.start_in(home, &folder).and_then(|values| {
            let names = self.variables().iter().map(|name| (*name).to_owned());
            folder.is_up(&names.zip(values).collect::<Vec<_>>())
        });
        if started.is_err() {
            folder.stop()?;
        }
        started.with_context(|| format!("start {}", self.name()))
    }

    /// Returns the values of its variables.
    fn start_in(self, home: &Home, folder: &Folder) -> Result<Vec<String>> {
        match self {
            Self::Kafka => kafka::start_plain(home, folder),
            Self::KafkaCluster => kafka::start_cluster(home, folder),
            Self::KafkaSecure => kafka::start_secure(home, folder),
            Self::Mqtt => mosquitto::start(home, folder, Entry::Anonymous),
            Self::MqttSecure => mosquitto::start(home, folder, Entry::Certificate),
            Self::MqttUsers => mosquitto::start(home, folder, Entry::Password),
            Self::Mongodb => mongo::start(home, folder),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_server_is_listed_once_under_the_name_that_is_typed() {
        let listed: BTreeSet<_> = Server::ALL.iter().map(|server| server.name()).collect();
        let typed: Vec<_> = Server::value_variants()
            .iter()
            .filter_map(|server| server.to_possible_value())
            .collect();
        let typed: BTreeSet<_> = typed.iter().map(|value| value.get_name()).collect();
        assert_eq!(listed, typed);
        assert_eq!(listed.len(), Server::ALL.len());
    }

    #[test]
    fn tests_know_every_variable() {
        let read = include_str!("../../../e2e/src/servers.rs");
        for variable in Server::ALL.iter().flat_map(|server| server.variables()) {
            assert!(read.contains(&format!("\"{variable}\"")), "{variable}");
        }
        assert!(read.contains(&format!("\"{}\"", crate::services::SECRETS)));
    }
}
