//! The agent's configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_events::{EventKind, EventTime, Schema, SchemaConfig};
use weir_mqtt::{Connector, MqttConfig};
use weir_service::ConfigError;
use weir_service::health::HealthConfig;
use weir_service::traces::TracesConfig;

use crate::courier::{CourierSettings, Until};
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
    /// How long a shutdown waits for the last confirmations.
    #[serde(with = "humantime_serde")]
    pub drain_grace: Duration,
    /// The last level of the MQTT topic, by kind of event.
    pub topics: TopicWords,
    /// What is refused.
    pub limits: Limits,
    /// Where events are kept until they are confirmed.
    pub spool: SpoolConfig,
    /// How they are delivered.
    pub delivery: DeliveryConfig,
    /// When a regular machine's events happen.
    pub schedule: ScheduleConfig,
    /// The broker.
    pub mqtt: MqttConfig,
    /// Where the agent tells how it is.
    pub health: HealthConfig,
    /// Where it sends traces of events.
    pub traces: TracesConfig,
    /// The fields of a payload.
    #[serde(default = "SchemaConfig::fish")]
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
    /// For what stands in the place of events that are missing.
    pub gap: String,
}

/// Bounds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// The largest payload that is taken, in bytes. Smaller than the bridge's limit, which is smaller than
    /// the broker's.
    pub sample_bytes_max: usize,
}

/// Where events are kept until they are confirmed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SpoolConfig {
    /// A folder of this agent alone. Empty: see [`AgentConfig::spool_directory`].
    pub directory: PathBuf,
    /// The most bytes that the spool may take.
    pub quota_bytes: u64,
    /// The size of one file.
    pub segment_bytes: u64,
    /// What happens when the quota, or the disk, is full.
    pub when_full: WhenFull,
}

/// What happens when the quota, or the disk, is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// The sampler waits.
    Block,
    /// The oldest events make room. They are counted, and a gap is sent in their place.
    DropOldest,
}

/// How events are delivered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeliveryConfig {
    /// Until when an event is kept.
    pub until: Until,
    /// The most events that may be sent and not confirmed.
    pub unconfirmed_max: u64,
    /// How long nothing may be confirmed, while something is awaited, before it is sent again.
    #[serde(with = "humantime_serde")]
    pub stall: Duration,
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
            ("topics.gap", &self.topics.gap),
        ];
        for (name, level) in levels {
            check_level(level).map_err(|reason| ConfigError::value(format!("{name}: {reason}")))?;
        }
        let TopicWords { measurement, target, gap, .. } = &self.topics;
        if measurement == target || measurement == gap || target == gap {
            return Err(ConfigError::value("topics: measurement, target and gap must differ"));
        }
        if self.schedule.interval.is_zero() {
            return Err(ConfigError::value("schedule.interval: is 0"));
        }
        Connector::new(&self.mqtt())?;
        self.health.check()?;
        self.traces.check()?;
        // The topic and the packet's header come on top of the payload.
        let room = (self.mqtt.outgoing_bytes_max as usize).saturating_sub(1_024);
        if self.limits.sample_bytes_max > room {
            return Err(ConfigError::value(format!(
                "limits.sample-bytes-max: must be at most {room}, 1024 below mqtt.outgoing-bytes-max"
            )));
        }
        self.check_spool()?;
        self.schema().map(|_| ())
    }

    fn check_spool(&self) -> Result<(), ConfigError> {
        let SpoolConfig { quota_bytes, segment_bytes, .. } = self.spool;
        let DeliveryConfig { unconfirmed_max, stall, .. } = self.delivery;
        let record = self.limits.sample_bytes_max as u64;
        let rules = [
            (
                // What the disk holds beside the payload comes on top of it.
                segment_bytes < 64 * 1024 || segment_bytes < 2 * (record + 1_024),
                "spool.segment-bytes: must be at least 65536, and at least 2048 above twice \
                 limits.sample-bytes-max",
            ),
            (segment_bytes > 1 << 30, "spool.segment-bytes: must be at most 1073741824"),
            (
                quota_bytes / 4 < segment_bytes,
                "spool.quota-bytes: must be at least four times spool.segment-bytes",
            ),
            (unconfirmed_max == 0, "delivery.unconfirmed-max: is 0"),
            (stall < Duration::from_millis(100), "delivery.stall: must be at least 100ms"),
        ];
        match rules.into_iter().find(|(broken, _)| *broken) {
            Some((_, message)) => Err(ConfigError::value(message)),
            None => Ok(()),
        }
    }

    /// The spool's folder. Where the settings name none, it is the one that systemd made for the service (`StateDirectory=`),
    /// or one in the user's state folder (XDG Base Directory Specification) that is named after line and device.
    ///
    /// # Errors
    /// If there is no such folder to be found.
    pub fn spool_directory(&self) -> Result<PathBuf, ConfigError> {
        if !self.spool.directory.as_os_str().is_empty() {
            return Ok(self.spool.directory.clone());
        }
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(directory) = variable("STATE_DIRECTORY") {
            return Ok(PathBuf::from(directory).join("spool"));
        }
        let state = variable("XDG_STATE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".local/state")));
        let state = state.ok_or_else(|| {
            ConfigError::value(
                "spool.directory: name a folder; neither STATE_DIRECTORY nor HOME is set",
            )
        })?;
        Ok(state.join("weir-agent").join(format!("{}-{}", self.line, self.device)))
    }

    /// The bounds of what is under way.
    pub fn courier(&self) -> CourierSettings {
        let DeliveryConfig { until, unconfirmed_max, stall } = self.delivery;
        let unconfirmed_min = u64::from(self.mqtt.inflight).min(unconfirmed_max);
        CourierSettings { until, unconfirmed_max, unconfirmed_min, stall }
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

    /// The MQTT topic of gaps.
    pub fn gap_topic(&self) -> String {
        format!("{}/{}/{}/{}", self.topics.root, self.line, self.device, self.topics.gap)
    }

    /// The MQTT topic on which a bridge confirms.
    pub fn ack_topic(&self) -> String {
        format!("{}-ack/{}/{}", self.topics.root, self.line, self.device)
    }

    /// The MQTT topic that tells whether this agent is there.
    pub fn status_topic(&self) -> String {
        format!("{}-status/{}/{}", self.topics.root, self.line, self.device)
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
    use crate::backlog::Backlog;

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
        check(|c| c.topics.gap = "weight".into(), "must differ");
        check(|c| c.spool.quota_bytes = 1 << 20, "spool.quota-bytes");
        check(|c| c.spool.segment_bytes = 65_535, "spool.segment-bytes");
        check(|c| c.delivery.unconfirmed_max = 0, "delivery.unconfirmed-max");
        check(|c| c.limits.sample_bytes_max = 1 << 30, "limits.sample-bytes-max: must be at most");
        check(|c| c.mqtt.port = 0, "mqtt.port");
        check(|c| c.schema.formula = "Weight ~".into(), "schema.formula");
    }

    #[test]
    fn a_spool_opens_with_the_smallest_files_that_are_allowed() {
        for sample_bytes_max in [1, 31_744, 32_768, 1_000_000] {
            let mut config = AgentConfig::embedded().expect("valid");
            config.limits.sample_bytes_max = sample_bytes_max;
            config.spool.quota_bytes = 1 << 30;
            let smallest = (2 * sample_bytes_max as u64 + 2_048).max(65_536);
            config.spool.segment_bytes = smallest - 1;
            config.check().expect_err("too small");
            config.spool.segment_bytes = smallest;
            config.check().expect("allowed");
            let folder = tempfile::tempdir().expect("a folder");
            let epoch = weir_events::Epoch::from_bytes([1; 16]);
            Backlog::open(folder.path(), &config.spool, sample_bytes_max, epoch).expect("opens");
        }
    }

    #[test]
    fn the_client_id_names_the_device() {
        let config = AgentConfig::embedded().expect("valid");
        assert_eq!(config.mqtt().client_id, "weir-agent-line-1-gate-1");
        assert_eq!(config.topic(EventKind::Target), "weir/line-1/gate-1/weight");
        assert_eq!(config.ack_topic(), "weir-ack/line-1/gate-1");
    }
}
