//! Why a connection ended, or did not come about.

use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::DisconnectReasonCode;
use rumqttc::v5::{ConnectionError, StateError};

use crate::denial::Denial;

/// Why a connection ended, or did not come about. All of them are worth trying again: the broker, the
/// network or an operator may have changed its mind.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// One side does not accept the other. Waiting does not help; somebody has to change a setting, here or
    /// at the broker.
    #[error(transparent)]
    Denied(Denial),
    /// The broker's CONNACK was a refusal; the text is MQTT's reason code.
    #[error("the broker refused the connection: {0}")]
    Refused(String),
    /// Another client has come with this client's id, and the broker has given it the session.
    #[error("another client has taken the session over")]
    TakenOver,
    /// The broker sent DISCONNECT.
    #[error("the broker ended the connection: {0}")]
    Ended(String),
    /// The broker refused a subscription, or granted it without acknowledgements.
    #[error("the broker refused the subscription to {filter:?}: {reason}")]
    Subscription {
        /// The topic filter.
        filter: String,
        /// MQTT's reason code, or what was granted.
        reason: String,
    },
    /// Nothing moved for this long, not even the answer to a ping.
    #[error("the broker has been silent for {0:?}")]
    Silent(Duration),
    /// The broker breaks a rule of MQTT that we rely on.
    #[error("the broker broke the protocol: {0}")]
    Protocol(&'static str),
    /// The client library panicked. A bug in it, but not a reason to stop.
    #[error("the MQTT client panicked")]
    Panicked,
    /// Anything else: name resolution, TCP, malformed packets.
    #[error("the connection failed: {0}")]
    Transport(String),
}

impl From<ConnectionError> for LinkError {
    fn from(error: ConnectionError) -> Self {
        if let Some(denial) = Denial::of(&error) {
            return Self::Denied(denial);
        }
        match error {
            ConnectionError::ConnectionRefused(code) => Self::Refused(format!("{code:?}")),
            ConnectionError::MqttState(StateError::ServerDisconnect {
                reason_code: DisconnectReasonCode::SessionTakenOver,
                ..
            }) => Self::TakenOver,
            ConnectionError::MqttState(StateError::ServerDisconnect {
                reason_code,
                reason_string,
            }) => Self::Ended(disconnect_text(reason_code, reason_string)),
            // A broker that speaks no TLS here, and one that goes away during the handshake, look the same.
            ConnectionError::Tls(other) => {
                Self::Transport(format!("{other}; does the broker speak TLS on mqtt.port?"))
            }
            // The library's types stay inside this crate, so its error travels as text.
            other => Self::Transport(other.to_string()),
        }
    }
}

fn disconnect_text(code: DisconnectReasonCode, text: Option<String>) -> String {
    match text {
        Some(text) => format!("{code:?} ({text})"),
        None => format!("{code:?}"),
    }
}
