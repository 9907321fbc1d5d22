//! The configuration of the bridge. `weir-bridge.toml` is its documentation and its defaults.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_events::{EventTime, Schema, SchemaConfig, TopicNames};
use weir_kafka::KafkaConfig;
use weir_mqtt::{Connector, MqttConfig};
use weir_service::health::HealthConfig;
use weir_service::traces::TracesConfig;
use weir_service::{ConfigError, config};

use crate::ledger::Pace;
use crate::relay::Window;
use crate::route::{RouteConfig, Routes};
use crate::transform::Transform;

/// The embedded configuration: every setting, its default and what it is for.
pub const DEFAULTS: &str = include_str!("../weir-bridge.toml");

/// Everything that can be set.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BridgeConfig {
    /// The MQTT topic filters that are subscribed to.
    pub subscribe: Vec<String>,
    /// Whether another bridge may have the same client id: then one of them waits.
    pub standby: bool,
    /// The MQTT broker, or what the settings of several have in common. Its `receive-maximum` is the number of messages
    /// under way.
    pub mqtt: MqttConfig,
    /// Several MQTT brokers: what differs from `[mqtt]`, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub brokers: BTreeMap<String, toml::Table>,
    /// The Kafka brokers.
    pub kafka: KafkaConfig,
    /// Where the bridge tells how it is.
    pub health: HealthConfig,
    /// Where it sends traces of events.
    pub traces: TracesConfig,
    /// The fields of the payloads. No embedded layer: half of one line's schema and half of
    /// another's make no third.
    #[serde(default = "SchemaConfig::fish")]
    pub schema: SchemaConfig,
    /// Where MQTT topics lead; the first that fits counts.
    pub routes: Vec<RouteConfig>,
    /// The Kafka topics.
    pub topics: TopicNames,
    /// Sizes and times.
    pub limits: Limits,
    /// How agents are told what is in Kafka.
    pub acks: AcksConfig,
}

/// How agents are told what is in Kafka.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AcksConfig {
    /// The MQTT topic, with the names of levels in braces.
    pub topic: String,
    /// The pause between two confirmations to one sender.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// So many records more are worth a confirmation before the pause is over.
    pub records: u64,
}

/// Sizes and times.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// The largest payload that is read, in bytes.
    pub payload_bytes_max: usize,
    /// How far an event time may lie ahead of the clock.
    #[serde(with = "humantime_serde")]
    pub future_tolerance: Duration,
    /// What the clock must at least show to be believed. A program whose clock follows simulated
    /// events sets [`EventTime::MIN`].
    pub clock_not_before: EventTime,
    /// How long an orderly end waits for what is under way.
    #[serde(with = "humantime_serde")]
    pub drain_grace: Duration,
    /// The upper bound of the first pause after Kafka did not take a record.
    #[serde(with = "humantime_serde")]
    pub retry_min: Duration,
    /// The upper bound of every such pause.
    #[serde(with = "humantime_serde")]
    pub retry_max: Duration,
    /// How much may be under way to Kafka, in bytes of memory.
    pub in_flight_bytes: usize,
    /// How many senders are remembered.
    pub devices: usize,
}

/// A broker to read from.
#[derive(Clone, Debug)]
pub struct MqttBroker {
    /// Its name in the settings.
    pub name: Arc<str>,
    /// How to reach it.
    pub connector: Connector,
}

impl MqttBroker {
    /// The name of the only broker, which has none in the settings.
    pub const ONLY: &str = "mqtt";
}

/// Replaces what the other table has, table by table.
fn lay_over(table: &mut toml::Table, other: &toml::Table) {
    for (name, value) in other {
        match (table.get_mut(name), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay_over(below, above),
            _ => drop(table.insert(name.clone(), value.clone())),
        }
    }
}

impl Default for BridgeConfig {
    /// The embedded configuration, without file and environment.
    fn default() -> Self {
        toml::from_str(DEFAULTS).expect("a test reads the embedded configuration")
    }
}

impl BridgeConfig {
    /// Reads the embedded configuration, then the file, then the environment.
    ///
    /// # Errors
    /// If the file cannot be read, or a setting is unknown or has the wrong type.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        config::load(DEFAULTS, file)
    }

    /// Replaces the addresses of the brokers, where given.
    ///
    /// # Errors
    /// If `mqtt` is not `host:port`; an IPv6 address stands in brackets.
    pub fn with_addresses(
        mut self,
        mqtt: Option<&str>,
        kafka: Option<String>,
    ) -> Result<Self, ConfigError> {
        if let Some(address) = mqtt {
            let parts = address.rsplit_once(':').and_then(|(host, port)| {
                let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
                Some((host, port.parse().ok()?))
            });
            let Some((host, port)) = parts else {
                return Err(ConfigError::value(format!("--mqtt {address:?}: is not HOST:PORT")));
            };
            (self.mqtt.host, self.mqtt.port) = (host.to_owned(), port);
        }
        if let Some(brokers) = kafka {
            self.kafka.brokers = brokers;
        }
        Ok(self)
    }

    /// Replaces the first level of all MQTT topics, for runs that must not meet.
    pub fn set_root(&mut self, root: &str) {
        for route in &mut self.routes {
            if let Some((_, rest)) = route.topic.split_once('/') {
                route.topic = format!("{root}/{rest}");
            }
        }
        self.subscribe = vec![format!("{root}/#")];
        if let Some((_, rest)) = self.acks.topic.split_once('/') {
            self.acks.topic = format!("{root}-ack/{rest}");
        }
    }

    /// The MQTT brokers, with the secrets read.
    ///
    /// # Errors
    /// The first value or file of `[mqtt]` or `[brokers]` that cannot be used.
    pub fn mqtt_brokers(&self) -> Result<Vec<MqttBroker>, ConfigError> {
        if self.brokers.is_empty() {
            let connector = Connector::new(&self.mqtt)?;
            return Ok(vec![MqttBroker { name: MqttBroker::ONLY.into(), connector }]);
        }
        let common = toml::Table::try_from(&self.mqtt).map_err(ConfigError::value)?;
        let broker = |(name, differing): (&String, &toml::Table)| {
            let mut table = common.clone();
            lay_over(&mut table, differing);
            let connector = MqttConfig::deserialize(table)
                .map_err(ConfigError::value)
                .and_then(|config| Connector::new(&config));
            let named = |error| match error {
                ConfigError::Value(text) => ConfigError::Value(format!("brokers.{name}: {text}")),
                other => other,
            };
            Ok(MqttBroker { name: name.as_str().into(), connector: connector.map_err(named)? })
        };
        self.brokers.iter().map(broker).collect()
    }

    /// Whether every value can be used, the files of secrets included.
    ///
    /// # Errors
    /// The first one that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.health.check()?;
        self.traces.check()?;
        self.transform()?;
        self.mqtt_brokers()?;
        self.kafka.check()
    }

    pub(crate) fn pace(&self) -> Pace {
        let AcksConfig { interval, records, .. } = self.acks;
        Pace { interval, records, senders_max: self.limits.devices }
    }

    /// What may be under way from one broker. They share the memory.
    pub(crate) fn window(&self, broker: &MqttBroker) -> Window {
        let messages = usize::from(broker.connector.config().receive_maximum);
        Window { messages, bytes: self.limits.in_flight_bytes / self.brokers.len().max(1) }
    }

    /// The settings for Kafka. librdkafka's queue holds what is under way and no more, unless it is told otherwise.
    pub(crate) fn kafka(&self) -> KafkaConfig {
        let mut kafka = self.kafka.clone();
        let kibibytes = (self.limits.in_flight_bytes / 1024).clamp(1, 2_097_151);
        let bound = kafka.settings.entry("queue.buffering.max.kbytes".into());
        bound.or_insert_with(|| kibibytes.to_string());
        kafka
    }

    /// Checks the values, and makes the rules for messages out of them.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn transform(&self) -> Result<Transform, ConfigError> {
        if self.subscribe.is_empty() {
            return Err(ConfigError::value("subscribe: names no topic filter"));
        }
        if let Some(wrong) = self.subscribe.iter().find(|filter| !weir_mqtt::is_filter(filter)) {
            return Err(ConfigError::value(format!("subscribe: {wrong:?} is no topic filter")));
        }
        let limits = &self.limits;
        // Below it, librdkafka's own limit of a million bytes is out of reach of a normalised event.
        if limits.payload_bytes_max == 0 || limits.payload_bytes_max > 512 * 1024 {
            return Err(ConfigError::value("limits.payload-bytes-max: must lie in 1..=524288"));
        }
        if limits.retry_min.is_zero() || limits.retry_max < limits.retry_min {
            return Err(ConfigError::value(
                "limits.retry-min: must be above 0, and at most limits.retry-max",
            ));
        }
        // Below, one large message would hold up all others.
        if limits.in_flight_bytes < 2 * limits.payload_bytes_max || limits.devices == 0 {
            return Err(ConfigError::value(
                "limits.in-flight-bytes: must be at least twice limits.payload-bytes-max, and limits.devices above 0",
            ));
        }
        if self.acks.interval.is_zero() || self.acks.records == 0 {
            return Err(ConfigError::value("acks: interval and records must be above 0"));
        }
        let schema = Schema::try_from(&self.schema).map_err(ConfigError::value)?;
        let (size, ahead) = (limits.payload_bytes_max, limits.future_tolerance);
        let routes = Routes::new(&self.routes, &self.topics, &self.acks.topic);
        Ok(Transform::new(schema, routes.map_err(ConfigError::value)?, size, ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<BridgeConfig, ConfigError> {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), text).expect("written");
        BridgeConfig::load(Some(file.path()))
    }

    #[test]
    fn the_embedded_configuration_is_valid_and_shows_what_it_is() {
        let config = BridgeConfig::default();
        config.transform().expect("usable");
        assert_eq!(config.topics, TopicNames::default());
        let written = config.transform().expect("usable").routes().topics_written();
        assert_eq!(
            written,
            [
                "machine-measurement",
                "machine-measurement-dead-letter",
                "machine-weight",
                "machine-weight-dead-letter",
                "unrouted-dead-letter"
            ]
        );
        let shown = config::show(&config).expect("shown");
        assert_eq!(load(&shown).expect("reads back"), config);
    }

    /// The schema is commented out, so nothing but this test keeps it true.
    #[test]
    fn the_schema_in_the_comments_is_the_default() {
        let comments = DEFAULTS.lines().skip_while(|line| *line != "# [schema]");
        let lines: Vec<_> = comments.map_while(|line| line.strip_prefix("# ")).collect();
        let text = lines.join("\n");
        let config = load(&text).expect("valid");
        assert!(text.contains("[schema.range]") && config == BridgeConfig::default(), "{text}");
    }

    #[test]
    fn another_line_needs_no_part_of_the_default_schema() {
        let config = load(
            "[schema]\nformula = \"kWh ~ Load\"\nkey = [\"device\", \"Batch\"]\ntimestamp = \"At\"\n",
        );
        config.expect("read").transform().expect("usable");
    }

    #[test]
    fn brokers_differ_from_the_common_settings() {
        let text = "[mqtt]\nclient-id = \"b\"\n[mqtt.security]\nusername = \"u\"\npassword-file = \"\"\n\
                    [brokers.north]\nhost = \"n\"\n[brokers.south]\nhost = \"s\"\nport = 1\n\
                    [brokers.south.security]\nusername = \"\"\n[brokers.north.security]\nusername = \"\"\n";
        let config = load(text).expect("read");
        let brokers = config.mqtt_brokers().expect("usable");
        let shown: Vec<_> = brokers
            .iter()
            .map(|broker| {
                let mqtt = broker.connector.config();
                (&*broker.name, &*mqtt.host, mqtt.port, &*mqtt.client_id)
            })
            .collect();
        assert_eq!(shown, [("north", "n", 1883, "b"), ("south", "s", 1, "b")]);
        let shown = config::show(&config).expect("shown");
        assert_eq!(load(&shown).expect("reads back"), config);
        let named = |text: &str, part: &str| {
            let error = load(text).and_then(|config| config.check()).expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        };
        named("[brokers.north]\nport = 0\n", "brokers.north: mqtt.port");
        named("[brokers.north]\nprot = 1\n", "prot");
    }

    #[test]
    fn another_root_changes_all_topics() {
        let mut config = BridgeConfig::default();
        config.set_root("demo-1");
        let transform = config.transform().expect("usable");
        let levels = transform.routes().of("demo-1/l/d/gap").expect("known").levels;
        assert_eq!(transform.routes().answer_topic(&levels), "demo-1-ack/l/d");
        assert!(transform.routes().of("weir/l/d/gap").is_err());
    }

    #[test]
    fn addresses_given_as_arguments_win() {
        let with = |mqtt| BridgeConfig::default().with_addresses(Some(mqtt), Some("k:1".into()));
        let config = with("[::1]:1884").expect("an address");
        assert_eq!((config.mqtt.host.as_str(), config.mqtt.port), ("::1", 1884));
        assert_eq!(config.kafka.brokers, "k:1");
        for wrong in ["broker", "broker:", "broker:mqtt", "broker:65536"] {
            assert!(with(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let check = |text: &str, setting: &str| {
            let error = load(text).and_then(|config| config.check());
            let message = error.expect_err(text).to_string();
            assert!(message.contains(setting), "{message}");
        };
        check("[limits]\npayload-bytes = 1\n", "payload-bytes");
        check("[limits]\npayload-bytes-max = 0\n", "limits.payload-bytes-max");
        check("[limits]\nretry-max = \"1ms\"\n", "limits.retry-min");
        check("[limits]\ndrain-grace = \"soon\"\n", "drain-grace");
        check("[[routes]]\ntopic = \"a/+\"\nevent = \"target\"\n", "routes: topic of route 1");
        check("[[routes]]\ntopic = \"a\"\nevent = \"colour\"\n", "colour");
        check("[acks]\ntopic = \"weir-ack/{plant}\"\n", "acks.topic");
        check("[acks]\nrecords = 0\n", "acks: ");
        check("[mqtt]\nport = 0\n", "mqtt.port");
        check("subscribe = []\n", "subscribe");
        check("subscribe = [\"weir/#/measurement\"]\n", "weir/#/measurement");
        check("[schema]\nformula = \"Weight\"\nkey = [\"Id\"]\ntimestamp = \"At\"\n", "schema");
    }
}
