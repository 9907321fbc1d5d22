//! The agent's configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_events::{EventKind, EventTime, Schema, SchemaConfig};
use weir_mqtt::{Connector, MqttConfig};
use weir_service::ConfigError;

use crate::schedule::Timing;

/// The complete configuration with its comments: every setting and its default.
pub const DEFAULTS: &str = include_str!("../weir-agent.toml");

/// What `weir-agent.toml` holds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AgentConfig {
    /// The line, a level of the MQTT topic.
    pub line: String,
    /// The device, a level of the MQTT topic. No two agents have the same.
    pub device: String,
    /// How long a shutdown waits for the last acknowledgements.
    #[serde(with = "humantime_serde")]
    pub drain_grace: Duration,
    /// The last level of the MQTT topic, by kind of event.
    pub topics: TopicWords,
    /// What is refused, and when the sampler waits.
    pub limits: Limits,
    /// When a regular machine's events happen.
    pub schedule: ScheduleConfig,
    /// The broker.
    pub mqtt: MqttConfig,
    /// The fields of a payload.
    pub schema: SchemaConfig,
}

/// The first level of the MQTT topic, and the last, by kind of event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TopicWords {
    /// The first level.
    pub root: String,
    /// For measurements.
    pub measurement: String,
    /// For targets.
    pub target: String,
}

/// Bounds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// The largest payload that is taken, in bytes. Smaller than the bridge's limit, which is smaller than
    /// the broker's.
    pub sample_bytes_max: usize,
    /// How many events may await their acknowledgement before the sampler has to wait.
    pub outbox_records: usize,
}

/// When a regular machine's events happen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScheduleConfig {
    /// The time of the first measurement, where the source has no times of its own.
    pub start: EventTime,
    /// Between two measurements.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// By how many intervals a target lags behind its measurement.
    pub lead: u32,
}

impl AgentConfig {
    /// The embedded configuration.
    ///
    /// # Errors
    /// If an environment variable overrides a setting with something unusable.
    pub fn embedded() -> Result<Self, ConfigError> {
        weir_service::config::load(DEFAULTS, None)
    }

    /// Whether every value can be used, the files of secrets included.
    ///
    /// # Errors
    /// The first one that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        let levels = [
            ("line", &self.line),
            ("device", &self.device),
            ("topics.root", &self.topics.root),
            ("topics.measurement", &self.topics.measurement),
            ("topics.target", &self.topics.target),
        ];
        for (name, level) in levels {
            check_level(level).map_err(|reason| ConfigError::value(format!("{name}: {reason}")))?;
        }
        if self.topics.measurement == self.topics.target {
            return Err(ConfigError::value("topics: measurement and target must differ"));
        }
        if self.limits.outbox_records == 0 {
            return Err(ConfigError::value("limits.outbox-records: is 0"));
        }
        if self.schedule.interval.is_zero() {
            return Err(ConfigError::value("schedule.interval: is 0"));
        }
        Connector::new(&self.mqtt())?;
        // The topic and the packet's header come on top of the payload.
        let room = (self.mqtt.outgoing_bytes_max as usize).saturating_sub(1_024);
        if self.limits.sample_bytes_max > room {
            return Err(ConfigError::value(format!(
                "limits.sample-bytes-max: must be at most {room}, 1024 below mqtt.outgoing-bytes-max"
            )));
        }
        self.schema().map(|_| ())
    }

    /// The checked schema.
    ///
    /// # Errors
    /// If it contradicts itself.
    pub fn schema(&self) -> Result<Schema, ConfigError> {
        Schema::try_from(&self.schema).map_err(ConfigError::value)
    }

    /// The broker's settings, with the client id filled in where it is empty.
    pub fn mqtt(&self) -> MqttConfig {
        let mut mqtt = self.mqtt.clone();
        if mqtt.client_id.is_empty() {
            mqtt.client_id = format!("weir-agent-{}-{}", self.line, self.device);
        }
        mqtt
    }

    /// The MQTT topic of a kind of event.
    pub fn topic(&self, kind: EventKind) -> String {
        let word = match kind {
            EventKind::Measurement => &self.topics.measurement,
            EventKind::Target => &self.topics.target,
        };
        format!("{}/{}/{}/{word}", self.topics.root, self.line, self.device)
    }

    /// When a regular machine's events happen.
    pub fn timing(&self) -> Timing {
        let ScheduleConfig { start, interval, lead } = self.schedule;
        Timing { start, interval, lead }
    }
}

fn check_level(level: &str) -> Result<(), &'static str> {
    if level.is_empty() || level.len() > 64 {
        return Err("must have 1 to 64 bytes, since it is a level of the MQTT topic");
    }
    let forbidden = |c: char| matches!(c, '/' | '+' | '#') || c.is_control();
    if level.contains(forbidden) {
        return Err("must not contain '/', '+', '#' or control characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: fn(&mut AgentConfig), part: &str) {
        let mut config = AgentConfig::embedded().expect("the embedded configuration is valid");
        config.check().expect("its values too");
        change(&mut config);
        let error = config.check().expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        check(|c| c.line = "a/b".into(), "line: must not contain");
        check(|c| c.device.clear(), "device: must have");
        check(|c| c.topics.target = "measurement".into(), "must differ");
        check(|c| c.limits.sample_bytes_max = 1 << 30, "limits.sample-bytes-max: must be at most");
        check(|c| c.mqtt.port = 0, "mqtt.port");
        check(|c| c.schema.formula = "Weight ~".into(), "schema.formula");
    }

    #[test]
    fn the_client_id_names_the_device() {
        let config = AgentConfig::embedded().expect("valid");
        assert_eq!(config.mqtt().client_id, "weir-agent-line-1-gate-1");
        assert_eq!(config.topic(EventKind::Target), "weir/line-1/gate-1/weight");
    }
}
