//! Where a run takes place: on brokers inside this process, or on real servers that a file names.
//!
//! A file that names no server only changes settings, such as the schema, and the brokers stay embedded.
//! A run on real servers has names of its own, which begin with `demo-`: topics, consumer groups, the root of
//! the MQTT topics, a database. So it meets neither the plant that uses the servers nor another run.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};

use weir_agent::AgentConfig;
use weir_bridge::BridgeConfig;
use weir_events::EventTime;
use weir_host::HostConfig;
use weir_kafka::KafkaConfig;
use weir_service::ConfigError;

use crate::composed::{self, Composed};

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

/// Reads where a run takes place, and how the services are set there.
///
/// # Errors
/// If the file cannot be read or a setting cannot be used.
pub(crate) fn read(file: Option<&Path>) -> Result<(Place, Settings), ConfigError> {
    let Some(path) = file else {
        return Ok((Place::Embedded, Settings::new(&Composed::default())?));
    };
    let file = Composed::parse(path, &composed::read(path)?)?;
    if !file.names_servers() {
        let settings = Settings::new(&file)?;
        settings.check()?;
        return Ok((Place::Embedded, settings));
    }
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
    settings.check()?;
    settings.host.check_store()?;
    Ok((Place::Servers(Run { name, stays }), settings))
}

impl Settings {
    fn new(file: &Composed) -> Result<Self, ConfigError> {
        let (mut agent, mut bridge, mut host) = (file.agent()?, file.bridge()?, file.host()?);
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
        host.http.listen = String::new();
        // The demo tells itself how they are.
        host.health.listen = String::new();
        if !file.host.contains_key("promotion") {
            host.always_promote();
        }
        Ok(Self { agent, bridge, host })
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.agent.check()?;
        self.bridge.check()?;
        self.host.check()
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

    #[test]
    fn only_a_file_that_names_a_server_leaves_the_process() {
        let check = |text: &str, servers: bool| {
            let file = Composed::parse(Path::new("a.toml"), text).expect(text);
            assert_eq!(file.names_servers(), servers, "{text}");
        };
        check("", false);
        check("[schema]\nformula = 'y ~ x'\n[host.window]\nlength = '1h'", false);
        check("[host.store]\nrows-max = 5", false);
        check("run = 'one'", true);
        check("[agent.mqtt]\nport = 1884", true);
        check("[bridge.brokers.hall]\nhost = 'hall'", true);
        check("[host.kafka]\nbrokers = 'kafka:9092'", true);
        check("[host.store]\nuri = 'mongodb://a'", true);
    }

    #[test]
    fn one_schema_reaches_every_service() {
        let text = "schema = { formula = 'y ~ x', key = ['Run'], timestamp = 'At' }";
        let file = Composed::parse(Path::new("a.toml"), text).expect("valid");
        let Settings { agent, bridge, host } = Settings::new(&file).expect("valid");
        for schema in [agent.schema, bridge.schema, host.schema] {
            assert_eq!((schema.formula.as_str(), schema.factor.as_str()), ("y ~ x", ""));
        }
        let twice = format!("{text}\n[bridge.schema]\nformula = 'y ~ x'");
        assert!(Composed::parse(Path::new("a.toml"), &twice).is_err(), "given twice");
    }

    /// The defaults of the services meet in MQTT's topics, and those of a run as well.
    #[test]
    fn the_bridge_knows_the_agents_topics() {
        let mut settings = Settings::new(&Composed::default()).expect("valid");
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
