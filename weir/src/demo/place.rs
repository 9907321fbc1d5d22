//! Where a run takes place: on brokers inside this process, or on real servers that a file names.
//!
//! A run on real servers has names of its own, which begin with `demo-`: topics, consumer groups, the root of
//! the MQTT topics, a database. So it meets neither the plant that uses the servers nor another run.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use weir_agent::AgentConfig;
use weir_bridge::BridgeConfig;
use weir_events::EventTime;
use weir_host::HostConfig;
use weir_kafka::KafkaConfig;
use weir_service::ConfigError;
use weir_service::config::overlay;

/// Payloads up to this size leave the machines, so that larger ones than the bridge takes become dead
/// letters. The embedded MQTT broker takes 4 MiB.
const SAMPLE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The longest name of a run: topics and client ids carry it.
const NAME_CHARS_MAX: usize = 40;

/// Where a run takes place.
#[derive(Debug)]
pub(crate) enum Place {
    /// On brokers inside this process.
    Embedded,
    /// On real servers.
    Servers(Run),
}

impl Place {
    /// What a run leaves behind, for people.
    pub(crate) fn what_stays(&self) -> String {
        match self {
            Self::Embedded => {
                "The embedded brokers have forgotten everything. The same loop runs on Mosquitto, Apache \
                 Kafka and\nMongoDB with --config FILE; in production it is weir-agent, weir-bridge and \
                 weir-host (--help)."
                    .to_owned()
            }
            Self::Servers(Run { name, stays: true }) => format!(
                "The topics {name}-* and, with MongoDB, the database {name} stay for you to look at."
            ),
            Self::Servers(Run { name, stays: false }) => format!(
                "The topics {name}-* and, with MongoDB, the database {name} have been removed. With `run = \
                 \"NAME\"`\nin the file they stay."
            ),
        }
    }
}

/// A run on real servers.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// What its topics, groups and database are called.
    pub(crate) name: String,
    /// Whether what it wrote stays when it ends: it does if the name was given.
    pub(crate) stays: bool,
}

/// The settings of the three services.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) agent: AgentConfig,
    pub(crate) bridge: BridgeConfig,
    pub(crate) host: HostConfig,
}

/// The file of `--config`: the settings of each service that differ from its defaults.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    run: String,
    agent: toml::Table,
    bridge: toml::Table,
    host: toml::Table,
}

/// Reads where a run takes place, and how the services are set there.
///
/// # Errors
/// If the file cannot be read or a setting cannot be used.
pub(crate) fn read(file: Option<&Path>) -> Result<(Place, Settings), ConfigError> {
    let Some(path) = file else { return Ok((Place::Embedded, Settings::new(&File::default())?)) };
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
    let file: File = toml::from_str(&text)
        .map_err(|error| ConfigError::value(format!("{}: {error}", path.display())))?;
    let (name, stays) = match &*file.run {
        "" => (format!("demo-{:08x}", RandomState::new().build_hasher().finish() >> 32), false),
        name => (format!("demo-{name}"), true),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if name.len() > NAME_CHARS_MAX || !name.chars().all(plain) {
        return Err(ConfigError::value(format!(
            "run: {:?} must have at most {} letters, digits, '-' and '_'",
            file.run,
            NAME_CHARS_MAX - "demo-".len()
        )));
    }
    let mut settings = Settings::new(&file)?;
    settings.separate(&name, stays);
    settings.bridge.check()?;
    settings.agent.check()?;
    settings.host.check()?;
    settings.host.check_store()?;
    Ok((Place::Servers(Run { name, stays }), settings))
}

impl Settings {
    fn new(file: &File) -> Result<Self, ConfigError> {
        fn service<T: serde::de::DeserializeOwned>(
            name: &str,
            defaults: &str,
            settings: &toml::Table,
        ) -> Result<T, ConfigError> {
            overlay(defaults, &settings.to_string())
                .map_err(|error| ConfigError::value(format!("[{name}]: {error}")))
        }
        let mut agent: AgentConfig = service("agent", weir_agent::DEFAULTS, &file.agent)?;
        let mut bridge: BridgeConfig =
            service("bridge", weir_bridge::config::DEFAULTS, &file.bridge)?;
        let mut host: HostConfig = service("host", weir_host::DEFAULTS, &file.host)?;
        agent.limits.sample_bytes_max = SAMPLE_BYTES_MAX;
        agent.mqtt.outgoing_bytes_max = 3 * 1024 * 1024;
        agent.spool.segment_bytes = 8 * 1024 * 1024;
        // The clock of a run shows the time of the events, which may lie anywhere.
        bridge.limits.clock_not_before = EventTime::MIN;
        // In lockstep each event waits for its confirmation.
        bridge.acks.interval = std::time::Duration::from_millis(5);
        // Training rows in a file would outlive the run, and mix with those of the next.
        host.store.path = PathBuf::new();
        host.models.path = PathBuf::new();
        // The demo tells itself how they are.
        host.health.listen = String::new();
        if !file.host.contains_key("promotion") {
            host.always_promote();
        }
        Ok(Self { agent, bridge, host })
    }

    /// Gives the run names of its own.
    fn separate(&mut self, name: &str, stays: bool) {
        let Self { agent, bridge, host } = self;
        agent.topics.root = name.to_owned();
        bridge.set_root(name);
        agent.mqtt.client_id = format!("{name}-agent");
        bridge.mqtt.client_id = format!("{name}-bridge");
        if !stays {
            // What the MQTT broker keeps of the bridge, it shall not keep for long.
            bridge.mqtt.session_expiry = std::time::Duration::from_secs(300);
        }
        bridge.topics = bridge.topics.prefixed(&format!("{name}-"));
        host.topics = host.topics.prefixed(&format!("{name}-"));
        host.kafka.group_prefix = name.to_owned();
        host.store.database = name.to_owned();
    }

    /// Points the services at brokers of this process.
    pub(crate) fn use_embedded(&mut self, mqtt: std::net::SocketAddr, kafka: KafkaConfig) {
        let Self { agent, bridge, host } = self;
        for link in [&mut agent.mqtt, &mut bridge.mqtt] {
            (link.host, link.port) = (mqtt.ip().to_string(), mqtt.port());
        }
        host.kafka.brokers.clone_from(&kafka.brokers);
        host.kafka.settings.clone_from(&kafka.settings);
        bridge.kafka = KafkaConfig { client_id: bridge.kafka.client_id.clone(), ..kafka };
    }
}

#[cfg(test)]
mod tests {
    use weir_events::EventKind;

    use super::*;

    /// The defaults of the services meet in MQTT's topics, and those of a run as well.
    #[test]
    fn the_bridge_knows_the_agents_topics() {
        let mut settings = Settings::new(&File::default()).expect("valid");
        for root in ["weir", "demo-1"] {
            settings.separate(root, true);
            let transform = settings.bridge.transform().expect("valid");
            assert!(transform.routes().of(&settings.agent.gap_topic()).is_ok());
            for kind in [EventKind::Measurement, EventKind::Target] {
                let topic = settings.agent.topic(kind);
                let route = transform.routes().of(&topic).expect("known");
                assert_eq!(route.announced().kind(), Some(kind), "{topic}");
                let (line, device) = (&settings.agent.line, &settings.agent.device);
                let answer_to = transform.routes().answer_topic(&route.levels);
                assert_eq!(answer_to, format!("{root}-ack/{line}/{device}"));
            }
        }
    }
}
