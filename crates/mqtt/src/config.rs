//! The `[mqtt]` section of a service's configuration.
//!
//! Every limit is finite and has no default in the code: the services embed a complete TOML that
//! names each of them. [`MqttConfig::new`] serves programs that compose the services themselves.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_service::Security;

/// How to reach a broker, and what to hold it to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MqttConfig {
    /// The broker's host name or address.
    pub host: String,
    /// The broker's TCP port.
    pub port: u16,
    /// The client id. The broker disconnects the older of two clients with the same one.
    pub client_id: String,
    /// How often the broker is asked whether it is there; twice this is when it counts as gone.
    /// 5 s to 65535 s, the latter being what MQTT can express.
    #[serde(with = "humantime_serde")]
    pub keep_alive: Duration,
    /// How long connecting may take, until the broker's CONNACK. Whole seconds, at least 1.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// The largest packet accepted from the broker, in bytes; it is told so and keeps back larger ones.
    pub incoming_bytes_max: u32,
    /// The largest packet sent, in bytes. A broker may ask for less.
    pub outgoing_bytes_max: u32,
    /// How many published messages may await their PUBACK. A broker may ask for less.
    pub inflight: u16,
    /// How many received messages may await our PUBACK.
    pub receive_maximum: u16,
    /// How long the broker keeps a subscriber's session and queue after it has gone. At most 2^32-2 s.
    #[serde(with = "humantime_serde")]
    pub session_expiry: Duration,
    /// The upper bound of the first pause before connecting again.
    #[serde(with = "humantime_serde")]
    pub reconnect_min: Duration,
    /// The upper bound of every pause before connecting again.
    #[serde(with = "humantime_serde")]
    pub reconnect_max: Duration,
    /// Who this client is to the broker, and whom it trusts.
    #[serde(default)]
    pub security: Security,
}

/// Why a configuration is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("mqtt.{field}: {reason}")]
pub struct MqttConfigError {
    field: &'static str,
    reason: &'static str,
}

/// The largest packet MQTT can express, in bytes.
const PACKET_BYTES_MAX: u32 = 268_435_460;
/// Less would not even hold the longest topic and its headers.
const PACKET_BYTES_MIN: u32 = 1_024;

impl MqttConfig {
    /// For programs that compose the services: the limits of the services' embedded configurations.
    pub fn new(host: &str, port: u16, client_id: &str) -> Self {
        Self {
            host: host.into(),
            port,
            client_id: client_id.into(),
            keep_alive: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            incoming_bytes_max: 1024 * 1024,
            outgoing_bytes_max: 1024 * 1024,
            inflight: 100,
            receive_maximum: 100,
            session_expiry: Duration::from_secs(7 * 24 * 60 * 60),
            reconnect_min: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(10),
            security: Security::default(),
        }
    }

    /// Whether every value can be used. The files of secrets are read by [`Connector::new`].
    ///
    /// [`Connector::new`]: crate::Connector::new
    ///
    /// # Errors
    /// The first field that cannot, and why.
    pub fn check(&self) -> Result<(), MqttConfigError> {
        let packet = PACKET_BYTES_MIN..=PACKET_BYTES_MAX;
        let rules = [
            ("host", self.host.is_empty(), "is empty"),
            ("port", self.port == 0, "is 0"),
            ("client-id", self.client_id.is_empty(), "is empty"),
            ("client-id", self.client_id.len() > 256, "is longer than 256 bytes"),
            (
                "keep-alive",
                !(5..=u64::from(u16::MAX)).contains(&self.keep_alive.as_secs()),
                "must lie between 5s and 65535s",
            ),
            ("connect-timeout", self.connect_timeout.as_secs() == 0, "must be at least 1s"),
            (
                "incoming-bytes-max",
                !packet.contains(&self.incoming_bytes_max),
                "must lie between 1024 and 268435460",
            ),
            (
                "outgoing-bytes-max",
                !packet.contains(&self.outgoing_bytes_max),
                "must lie between 1024 and 268435460",
            ),
            ("inflight", self.inflight == 0, "is 0"),
            ("receive-maximum", self.receive_maximum == 0, "is 0"),
            (
                "session-expiry",
                self.session_expiry.as_secs() >= u64::from(u32::MAX),
                "must be below 4294967295s, which means for ever",
            ),
            ("reconnect-min", self.reconnect_min.is_zero(), "is 0"),
            (
                "reconnect-max",
                self.reconnect_max < self.reconnect_min,
                "is smaller than reconnect-min",
            ),
        ];
        match rules.into_iter().find(|(_, broken, _)| *broken) {
            Some((field, _, reason)) => Err(MqttConfigError { field, reason }),
            None => Ok(()),
        }
    }
}

/// Whether a text can be subscribed to.
pub fn is_filter(text: &str) -> bool {
    text.len() <= usize::from(u16::MAX) && !text.contains('\0') && rumqttc::valid_filter(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: fn(&mut MqttConfig), expected: &str) {
        let mut config = MqttConfig::new("localhost", 1883, "test");
        assert_eq!(config.check(), Ok(()));
        change(&mut config);
        assert_eq!(config.check().expect_err("refused").to_string(), expected);
    }

    #[test]
    fn names_the_field_that_cannot_be_used() {
        check(|c| c.host.clear(), "mqtt.host: is empty");
        check(|c| c.client_id = "x".repeat(257), "mqtt.client-id: is longer than 256 bytes");
        check(
            |c| c.keep_alive = Duration::from_millis(4_999),
            "mqtt.keep-alive: must lie between 5s and 65535s",
        );
        check(|c| c.inflight = 0, "mqtt.inflight: is 0");
        check(
            |c| c.reconnect_max = Duration::from_millis(1),
            "mqtt.reconnect-max: is smaller than reconnect-min",
        );
        check(
            |c| c.session_expiry = Duration::from_secs(u64::from(u32::MAX)),
            "mqtt.session-expiry: must be below 4294967295s, which means for ever",
        );
    }
}
