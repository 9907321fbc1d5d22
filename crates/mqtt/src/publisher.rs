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
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Packet, PubAck, PubAckReason, PublishProperties, SubAck, SubscribeReasonCode,
};

use crate::connection::Connection;
use crate::connector::{Connector, Session};
use crate::error::LinkError;
use crate::in_flight::InFlight;
use crate::presence::Presence;

/// What happens to a publisher.
#[derive(Debug)]
pub enum PublisherEvent {
    /// The broker has accepted the connection, and the subscription if there is one: messages may be published.
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
    /// A message on the topic that was listened to.
    Heard(Bytes),
    /// The connection is over, or did not come about. Nothing follows.
    Lost(LinkError),
}

/// What a publisher does beside publishing.
#[derive(Clone, Default, Debug)]
pub struct Opening {
    /// How others learn whether it is there.
    pub presence: Option<Presence>,
    /// A topic to listen to, at most once (QoS 0): for answers that are repeated until they are heard. In rumqttc
    /// a full window of published messages would hold back acknowledgements, so there must be none to give.
    pub listen: Option<String>,
}

/// What is published.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The payload.
    pub payload: Bytes,
    /// MQTT 5 user properties.
    pub properties: Vec<(String, String)>,
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
    opening: Opening,
    /// None before CONNACK and SUBACK, and after the end.
    window: Option<usize>,
    window_max: usize,
    bytes_max: usize,
}

impl Publisher {
    /// Starts to connect; [`Publisher::next`] tells how it went.
    pub fn connect(connector: &Connector, opening: &Opening) -> Self {
        let config = connector.config();
        let window_max = usize::from(config.inflight);
        // Each message causes two events, and few others come; so the polling task never has to wait.
        let events = 2 * window_max + 8;
        Self {
            // More than the window: SUBSCRIBE, both messages of the presence, and DISCONNECT.
            connection: Connection::open(
                connector,
                Session::Clean,
                opening.presence.as_ref(),
                window_max + 4,
                events,
            ),
            opening: opening.clone(),
            in_flight: InFlight::default(),
            window: None,
            window_max,
            bytes_max: config.outgoing_bytes_max as usize,
        }
    }

    /// Whether the broker has accepted the connection, and it has not ended.
    pub fn is_connected(&self) -> bool {
        self.window.is_some()
    }

    /// Whether [`Publisher::publish`] would take a message.
    pub fn is_ready(&self) -> bool {
        self.window.is_some_and(|window| self.in_flight.len() < window)
    }

    /// Sends a message under a number of the caller's choice, which the answer will name. Never blocks.
    ///
    /// # Errors
    /// If the message cannot be sent now, or not at all.
    pub fn publish(&mut self, seq: u64, message: Message<'_>) -> Result<(), PublishError> {
        if self.window.is_none() {
            return Err(PublishError::NotConnected);
        }
        if !self.is_ready() {
            return Err(PublishError::WindowFull);
        }
        let bytes = packet_bytes(&message);
        if bytes > self.bytes_max {
            return Err(PublishError::TooLarge { bytes, limit: self.bytes_max });
        }
        let Message { topic, payload, properties: user_properties } = message;
        if !rumqttc::valid_topic(topic) || topic.len() > usize::from(u16::MAX) {
            return Err(PublishError::TopicInvalid);
        }
        let properties = PublishProperties { user_properties, ..PublishProperties::default() };
        // The channel is as long as the window, so only an ended event loop refuses; its error is
        // on the way.
        let client = &self.connection.client;
        let qos = QoS::AtLeastOnce;
        let sent = client.try_publish_with_properties(topic, qos, false, payload, properties);
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

    /// Sends what was published and ends the connection, within `grace`. PUBACKs are not waited for. Whoever
    /// watches the presence sees it end.
    pub async fn close(self, grace: Duration) {
        if let (Some(presence), Some(_)) = (&self.opening.presence, self.window) {
            presence.leave(&self.connection.client);
        }
        self.connection.close(grace).await;
    }

    fn apply(&mut self, event: Event) -> Result<Option<PublisherEvent>, LinkError> {
        match event {
            Event::Incoming(Packet::ConnAck(connack)) => self.connected(&connack),
            Event::Incoming(Packet::SubAck(suback)) => self.subscribed(&suback).map(Some),
            Event::Incoming(Packet::Publish(heard)) => {
                Ok(Some(PublisherEvent::Heard(heard.payload)))
            }
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

    fn connected(&mut self, connack: &ConnAck) -> Result<Option<PublisherEvent>, LinkError> {
        if let Some(properties) = &connack.properties {
            if properties.max_qos == Some(0) {
                return Err(LinkError::Protocol(
                    "it does not acknowledge messages (maximum QoS 0)",
                ));
            }
            let broker = properties.receive_max.map_or(usize::MAX, usize::from);
            self.window_max = self.window_max.min(broker).max(1);
            let bytes = properties.max_packet_size.map_or(usize::MAX, |bytes| bytes as usize);
            self.bytes_max = self.bytes_max.min(bytes);
        }
        let client = &self.connection.client;
        if let Some(presence) = &self.opening.presence {
            presence.enter(client);
        }
        let Some(topic) = &self.opening.listen else { return Ok(Some(self.open())) };
        client.try_subscribe(topic, QoS::AtMostOnce).map_err(|_| LinkError::Subscription {
            filter: topic.clone(),
            reason: "not a valid topic".into(),
        })?;
        Ok(None)
    }

    /// Only now may messages go: an answer to the first of them is heard.
    fn subscribed(&mut self, suback: &SubAck) -> Result<PublisherEvent, LinkError> {
        let refused =
            |code: &&SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
        match suback.return_codes.iter().find(refused) {
            None => Ok(self.open()),
            Some(code) => Err(LinkError::Subscription {
                filter: self.opening.listen.clone().unwrap_or_default(),
                reason: format!("{code:?}"),
            }),
        }
    }

    fn open(&mut self) -> PublisherEvent {
        self.window = Some(self.window_max);
        PublisherEvent::Connected { window: self.window_max }
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

/// The size of a PUBLISH packet with QoS 1 (MQTT 5, 3.3).
fn packet_bytes(message: &Message<'_>) -> usize {
    // The property's identifier, and a length before each of its texts (2.2.2.2).
    let properties: usize =
        message.properties.iter().map(|(name, text)| 1 + 2 + name.len() + 2 + text.len()).sum();
    // Length of the topic, topic, packet id, length of the properties, properties, payload.
    let body = 2 + message.topic.len() + 2 + properties + message.payload.len();
    let remaining = varint_bytes(properties) + body;
    1 + varint_bytes(remaining) + remaining
}

/// The size of a variable byte integer: seven bits to a byte (1.5.5).
fn varint_bytes(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::v5::mqttbytes::v5::Publish;

    #[test]
    fn packet_sizes_are_the_librarys() {
        for payload in [0, 1, 77, 121, 122, 123, 16_377, 16_378, 16_379, 3_000_000] {
            for properties in [vec![], vec![("name".to_owned(), "x".repeat(payload % 200))]] {
                let user_properties = properties.clone();
                let library = PublishProperties { user_properties, ..PublishProperties::default() };
                let library = (!properties.is_empty()).then_some(library);
                let bytes = vec![0; payload];
                let mut publish = Publish::new("a/b", QoS::AtLeastOnce, bytes.clone(), library);
                publish.pkid = 1;
                let message = Message { topic: "a/b", payload: bytes.into(), properties };
                assert_eq!(packet_bytes(&message), publish.size(), "{payload}");
            }
        }
    }
}
