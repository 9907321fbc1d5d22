//! Publishing with acknowledgements over one connection.
//!
//! A publisher is a single connection attempt: a clean session, and the end with the first error. It does
//! not keep what it sends. Whoever must not lose messages keeps them until [`PublisherEvent::Acked`] and
//! after [`PublisherEvent::Lost`] sends everything from the oldest unacknowledged one again through a new
//! publisher: the only way that loses nothing with rumqttc 0.25.1.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::Outgoing;
use rumqttc::v5::Event;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Packet, PubAck, PubAckReason};

use crate::connection::Connection;
use crate::connector::{Connector, Session};
use crate::error::LinkError;
use crate::in_flight::InFlight;

/// What happens to a publisher.
#[derive(Debug)]
pub enum PublisherEvent {
    /// The broker has accepted the connection: messages may be published.
    Connected {
        /// How many messages may be unacknowledged, counted from the oldest.
        window: usize,
    },
    /// The broker has taken the message over.
    Acked(u64),
    /// The broker has answered the message, but not taken it over. The connection goes on.
    Refused {
        /// The message.
        seq: u64,
        /// Why.
        refusal: Refusal,
    },
    /// The connection is over, or did not come about. Nothing follows.
    Lost(LinkError),
}

/// Why a broker did not take a message over, as its PUBACK tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// Nobody subscribes to the topic, so the broker has dropped the message.
    #[error("nobody subscribes to the topic")]
    NoSubscriber,
    /// The broker's access rules forbid the topic.
    #[error("not authorized")]
    NotAuthorized,
    /// The broker's quota is used up.
    #[error("quota exceeded")]
    QuotaExceeded,
    /// The broker does not accept the topic.
    #[error("topic name invalid")]
    TopicInvalid,
    /// The broker does not accept the payload.
    #[error("payload format invalid")]
    PayloadInvalid,
    /// Any other reason.
    #[error("refused without a particular reason")]
    Unspecified,
}

impl Refusal {
    /// Whether the same message would be refused whenever it is sent again. The other reasons lie
    /// outside the message and may go away.
    pub fn is_permanent(self) -> bool {
        self == Self::PayloadInvalid
    }

    fn of(reason: PubAckReason) -> Option<Self> {
        match reason {
            PubAckReason::Success => None,
            PubAckReason::NoMatchingSubscribers => Some(Self::NoSubscriber),
            PubAckReason::NotAuthorized => Some(Self::NotAuthorized),
            PubAckReason::QuotaExceeded => Some(Self::QuotaExceeded),
            PubAckReason::TopicNameInvalid => Some(Self::TopicInvalid),
            PubAckReason::PayloadFormatInvalid => Some(Self::PayloadInvalid),
            PubAckReason::UnspecifiedError
            | PubAckReason::ImplementationSpecificError
            | PubAckReason::PacketIdentifierInUse => Some(Self::Unspecified),
        }
    }
}

/// Why a message was not even sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no connection (yet).
    #[error("there is no connection")]
    NotConnected,
    /// As many messages are unacknowledged as may be.
    #[error("the window is full")]
    WindowFull,
    /// The packet is larger than this side or the broker allows: it can never be sent to this broker.
    #[error("a packet of {bytes} bytes is larger than the {limit} allowed")]
    TooLarge {
        /// The packet's size.
        bytes: usize,
        /// The smaller of the two limits.
        limit: usize,
    },
    /// No topic may read like this.
    #[error("the topic is not valid")]
    TopicInvalid,
}

/// One connection that publishes at least once (QoS 1).
#[derive(Debug)]
pub struct Publisher {
    connection: Connection,
    in_flight: InFlight,
    /// None before CONNACK and after the end.
    window: Option<usize>,
    window_max: usize,
    bytes_max: usize,
}

impl Publisher {
    /// Starts to connect; [`Publisher::next`] tells how it went.
    pub fn connect(connector: &Connector) -> Self {
        let config = connector.config();
        let window_max = usize::from(config.inflight);
        // Each message causes two events, and few others come; so the polling task never has to wait.
        let events = 2 * window_max + 8;
        Self {
            // One more than the window: the DISCONNECT.
            connection: Connection::open(connector, Session::Clean, window_max + 1, events),
            in_flight: InFlight::default(),
            window: None,
            window_max,
            bytes_max: config.outgoing_bytes_max as usize,
        }
    }

    /// Whether [`Publisher::publish`] would take a message.
    pub fn is_ready(&self) -> bool {
        self.window.is_some_and(|window| self.in_flight.len() < window)
    }

    /// Sends a message under a number of the caller's choice, which the answer will name. Never blocks.
    ///
    /// # Errors
    /// If the message cannot be sent now, or not at all.
    pub fn publish(&mut self, seq: u64, topic: &str, payload: Bytes) -> Result<(), PublishError> {
        if self.window.is_none() {
            return Err(PublishError::NotConnected);
        }
        if !self.is_ready() {
            return Err(PublishError::WindowFull);
        }
        let bytes = packet_bytes(topic.len(), payload.len());
        if bytes > self.bytes_max {
            return Err(PublishError::TooLarge { bytes, limit: self.bytes_max });
        }
        if !rumqttc::valid_topic(topic) || topic.len() > usize::from(u16::MAX) {
            return Err(PublishError::TopicInvalid);
        }
        // The channel is as long as the window, so only an ended event loop refuses; its error is
        // on the way.
        let client = &self.connection.client;
        let sent = client.try_publish(topic, QoS::AtLeastOnce, false, payload);
        sent.map_err(|_| PublishError::NotConnected)?;
        self.in_flight.published(seq);
        Ok(())
    }

    /// The next event; `None` after [`PublisherEvent::Lost`]. Cancel-safe. The connection lives on while
    /// nobody waits here.
    pub async fn next(&mut self) -> Option<PublisherEvent> {
        loop {
            let event = self.connection.next().await?;
            match event.and_then(|event| self.apply(event)) {
                Ok(None) => {}
                Ok(Some(event)) => return Some(event),
                Err(error) => {
                    self.window = None;
                    return Some(PublisherEvent::Lost(error));
                }
            }
        }
    }

    /// Sends what was published and ends the connection, within `grace`. PUBACKs are not waited for.
    pub async fn close(self, grace: Duration) {
        self.connection.close(grace).await;
    }

    fn apply(&mut self, event: Event) -> Result<Option<PublisherEvent>, LinkError> {
        match event {
            Event::Incoming(Packet::ConnAck(connack)) => self.connected(&connack).map(Some),
            Event::Outgoing(Outgoing::Publish(packet_id)) if self.in_flight.sent(packet_id) => {
                Ok(None)
            }
            Event::Outgoing(Outgoing::Publish(_) | Outgoing::AwaitAck(_)) => {
                Err(LinkError::Protocol("the client's packet ids are out of step"))
            }
            Event::Incoming(Packet::PubAck(puback)) => self.answered(&puback).map(Some),
            _ => Ok(None),
        }
    }

    fn connected(&mut self, connack: &ConnAck) -> Result<PublisherEvent, LinkError> {
        let mut window = self.window_max;
        if let Some(properties) = &connack.properties {
            if properties.max_qos == Some(0) {
                return Err(LinkError::Protocol(
                    "it does not acknowledge messages (maximum QoS 0)",
                ));
            }
            let broker = properties.receive_max.map_or(usize::MAX, usize::from);
            window = window.min(broker).max(1);
            let bytes = properties.max_packet_size.map_or(usize::MAX, |bytes| bytes as usize);
            self.bytes_max = self.bytes_max.min(bytes);
        }
        self.window = Some(window);
        Ok(PublisherEvent::Connected { window })
    }

    fn answered(&mut self, puback: &PubAck) -> Result<PublisherEvent, LinkError> {
        let seq = self.in_flight.answered(puback.pkid);
        let seq = seq.ok_or(LinkError::Protocol("PUBACK for a message that was not sent"))?;
        Ok(match Refusal::of(puback.reason) {
            None => PublisherEvent::Acked(seq),
            Some(refusal) => PublisherEvent::Refused { seq, refusal },
        })
    }
}

/// The size of a PUBLISH packet with QoS 1 and no properties (MQTT 5, 3.3).
fn packet_bytes(topic: usize, payload: usize) -> usize {
    // Length of the topic, topic, packet id, length of the properties, payload.
    let remaining = 2 + topic + 2 + 1 + payload;
    // The remaining length is written with seven bits to a byte.
    let length = match remaining {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    };
    1 + length + remaining
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::v5::mqttbytes::v5::Publish;

    #[test]
    fn packet_sizes_are_the_librarys() {
        for payload in [0, 1, 121, 122, 123, 16_377, 16_378, 16_379, 3_000_000] {
            let mut publish = Publish::new("a/b", QoS::AtLeastOnce, vec![0; payload], None);
            publish.pkid = 1;
            assert_eq!(packet_bytes(3, payload), publish.size(), "{payload}");
        }
    }
}
