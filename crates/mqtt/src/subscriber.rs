//! Receiving messages for good: a persistent session, manual acknowledgements, and no end.
//!
//! The session is kept by the broker under a fixed client id (`clean_start` false, finite expiry), so that
//! messages of an outage wait there. The broker may have forgotten it, and filters may have been added:
//! so they are subscribed after every CONNACK, which changes nothing where they are still known. A filter that
//! was taken out stays subscribed as long as the session lives. A refused
//! subscription is an error like a lost connection: reported, and tried again.
//!
//! MQTT resends an unacknowledged message only on a new connection. Messages that were received before
//! and not acknowledged therefore come again, with a new generation; consumers must tolerate that.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::Event;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Filter, Packet, Publish, RetainForwardRule, SubAck, SubscribeReasonCode,
};
use tokio::time::Instant;

use crate::acks::{AckToken, Acks, UNACKED_MAX};
use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::connector::{Connector, Session};
use crate::error::LinkError;
use crate::presence::{self, Presence};

/// A received message.
#[derive(Debug)]
pub struct Incoming {
    /// The connection it came on, counted from 1.
    pub generation: u64,
    /// The topic it was published to. Bytes that are no UTF-8, which MQTT forbids, are replaced.
    pub topic: String,
    /// The payload, as published.
    pub payload: Bytes,
    /// MQTT 5 user properties: names and texts, in the order of the message.
    pub properties: Vec<(String, String)>,
    /// What to give to [`Acks::ack`].
    pub token: AckToken,
}

/// What happens to a subscriber.
#[derive(Debug)]
pub enum SubscriberEvent {
    /// The broker has accepted a connection.
    Connected {
        /// Its number, counted from 1.
        generation: u64,
        /// Whether the broker still knew this client.
        session_present: bool,
    },
    /// The broker holds the subscriptions: from now on nothing that is published is missed.
    Subscribed {
        /// The connection's number.
        generation: u64,
    },
    /// The connection is over, or an attempt has failed. Another follows by itself after a pause.
    Disconnected {
        /// The last connection that was accepted; 0 if there was none.
        generation: u64,
        /// Why.
        error: LinkError,
    },
    /// A message.
    Message(Incoming),
}

/// Receives messages. Dropping it closes the connection; the broker keeps the session.
#[derive(Debug)]
pub struct Subscriber {
    connector: Connector,
    filters: Vec<String>,
    presence: Option<Presence>,
    acks: Acks,
    backoff: Backoff,
    generation: u64,
    /// Whether the broker has accepted the present connection.
    accepted: bool,
    link: Link,
}

#[derive(Debug)]
enum Link {
    Down { until: Instant },
    Up { connection: Connection, since: Instant },
}

impl Subscriber {
    /// A subscriber that connects on the first call of [`Subscriber::next`]. `seed` decides the jitter of
    /// the pauses between attempts: give each process another one.
    pub fn new(connector: &Connector, filters: &[&str], seed: u64) -> Self {
        let config = connector.config();
        Self {
            connector: connector.clone(),
            filters: filters.iter().map(|&filter| filter.to_owned()).collect(),
            presence: None,
            acks: Acks::default(),
            backoff: Backoff::new(config.reconnect_min, config.reconnect_max, seed),
            generation: 0,
            accepted: false,
            link: Link::Down { until: Instant::now() },
        }
    }

    /// Tells others whether it is there.
    #[must_use]
    pub fn with_presence(mut self, presence: Presence) -> Self {
        self.presence = Some(presence);
        self
    }

    /// Publishes on the present connection, at most once (QoS 0): for what is said again until it is heard. A message
    /// that waits for its acknowledgement would hold back those of received ones. Never blocks; false if there is no
    /// connection, or no room.
    pub fn publish(&self, topic: &str, payload: Bytes) -> bool {
        match &self.link {
            Link::Up { connection, .. } if self.accepted => {
                presence::publish(&connection.client, topic, payload, false)
            }
            _ => false,
        }
    }

    /// Tells its presence again: a broker that was restarted may have forgotten it. False as [`Subscriber::publish`].
    pub fn tell_presence(&self) -> bool {
        match (&self.link, &self.presence) {
            (Link::Up { connection, .. }, Some(presence)) if self.accepted => {
                presence.enter(&connection.client);
                true
            }
            _ => false,
        }
    }

    /// The handle that acknowledges messages. It may be used from any task.
    pub fn acks(&self) -> Acks {
        self.acks.clone()
    }

    /// The next event. Never ends, and is cancel-safe. The connection goes on answering pings and sending
    /// acknowledgements while nobody waits here, as long as no more messages come than
    /// `receive-maximum`; connecting again happens only in here.
    pub async fn next(&mut self) -> SubscriberEvent {
        loop {
            match &mut self.link {
                Link::Down { until } => {
                    tokio::time::sleep_until(*until).await;
                    self.connect();
                }
                Link::Up { connection, .. } => {
                    let event = connection.next().await;
                    let ended = || Err(LinkError::Ended("without a reason".into()));
                    match event.unwrap_or_else(ended).and_then(|event| self.apply(event)) {
                        Ok(Some(event)) => return event,
                        Ok(None) => {}
                        Err(error) => return self.disconnect(error),
                    }
                }
            }
        }
    }

    /// The next event, if it has come already.
    pub fn ready(&mut self) -> Option<SubscriberEvent> {
        loop {
            let Link::Up { connection, .. } = &mut self.link else { return None };
            match connection.ready()?.and_then(|event| self.apply(event)) {
                Ok(Some(event)) => return Some(event),
                Ok(None) => {}
                Err(error) => return Some(self.disconnect(error)),
            }
        }
    }

    /// Sends the acknowledgements given so far and ends the connection, within `grace`. The broker keeps
    /// the session.
    pub async fn close(self, grace: Duration) {
        if let Link::Up { connection, .. } = self.link {
            if let (Some(presence), true) = (&self.presence, self.accepted) {
                presence.leave(&connection.client);
            }
            connection.close(grace).await;
        }
    }

    fn connect(&mut self) {
        // Room for all that the broker may send without an acknowledgement, and a few packets more.
        let events = usize::from(self.connector.config().receive_maximum) + 8;
        let presence = self.presence.as_ref();
        let connection =
            Connection::open(&self.connector, Session::Kept, presence, UNACKED_MAX, events);
        self.link = Link::Up { connection, since: Instant::now() };
    }

    fn disconnect(&mut self, error: LinkError) -> SubscriberEvent {
        self.acks.disconnected();
        self.accepted = false;
        if let Link::Up { since, .. } = self.link
            && since.elapsed() > self.backoff.max()
        {
            self.backoff.reset();
        }
        self.link = Link::Down { until: Instant::now() + self.backoff.next_pause() };
        SubscriberEvent::Disconnected { generation: self.generation, error }
    }

    fn apply(&mut self, event: Event) -> Result<Option<SubscriberEvent>, LinkError> {
        match event {
            Event::Incoming(Packet::ConnAck(connack)) => self.connected(&connack).map(Some),
            Event::Incoming(Packet::SubAck(suback)) => self.subscribed(&suback).map(Some),
            Event::Incoming(Packet::Publish(publish)) => self.received(publish).map(Some),
            _ => Ok(None),
        }
    }

    fn connected(&mut self, connack: &ConnAck) -> Result<SubscriberEvent, LinkError> {
        let Link::Up { connection, .. } = &self.link else {
            return Err(LinkError::Protocol("CONNACK without a connection"));
        };
        let client = connection.client.clone();
        self.generation = self.acks.connected(client.clone());
        self.accepted = true;
        if let Some(presence) = &self.presence {
            presence.enter(&client);
        }
        let filters = self.filters.iter().map(|filter| Filter {
            retain_forward_rule: RetainForwardRule::OnNewSubscribe,
            ..Filter::new(filter, QoS::AtLeastOnce)
        });
        // The request channel of a new connection is empty, so only the filters can be wrong.
        client.try_subscribe_many(filters).map_err(|_| LinkError::Subscription {
            filter: self.filters.join(" "),
            reason: "not a valid topic filter".into(),
        })?;
        let session_present = connack.session_present;
        Ok(SubscriberEvent::Connected { generation: self.generation, session_present })
    }

    fn subscribed(&self, suback: &SubAck) -> Result<SubscriberEvent, LinkError> {
        for (filter, code) in self.filters.iter().zip(&suback.return_codes) {
            // At most once would mean messages that nobody holds while we do not.
            if !matches!(code, SubscribeReasonCode::Success(qos) if *qos != QoS::AtMostOnce) {
                let (filter, reason) = (filter.clone(), format!("{code:?}"));
                return Err(LinkError::Subscription { filter, reason });
            }
        }
        Ok(SubscriberEvent::Subscribed { generation: self.generation })
    }

    fn received(&self, publish: Publish) -> Result<SubscriberEvent, LinkError> {
        let token = self.acks.received(&publish);
        let token = token.ok_or(LinkError::Protocol("more messages than packet ids"))?;
        Ok(SubscriberEvent::Message(Incoming {
            generation: self.generation,
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload,
            properties: publish.properties.map_or_else(Vec::new, |all| all.user_properties),
            token,
        }))
    }
}
