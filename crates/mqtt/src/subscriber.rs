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
    ConnAck, Filter, Packet, PubAckReason, Publish, RetainForwardRule, SubAck, SubscribeReasonCode,
};
use tokio::time::Instant;

use crate::acks::{AckToken, Acks, UNACKED_MAX};
use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::connector::{Connector, Session};
use crate::error::LinkError;
use crate::presence::{self, Presence};
use crate::pulse::{Pulse, Step};

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
    /// Where it says something to itself, and whether that is heard.
    pulse: Option<(String, Pulse)>,
    began: Instant,
    /// When somebody last waited for messages.
    read_at: Instant,
    acks: Acks,
    backoff: Backoff,
    generation: u64,
    /// Whether the broker has accepted the present connection.
    accepted: bool,
    /// How many SUBACKs have come on it.
    answers: u32,
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
            pulse: None,
            began: Instant::now(),
            read_at: Instant::now(),
            acks: Acks::default(),
            backoff: Backoff::new(config.reconnect_min, config.reconnect_max, seed),
            generation: 0,
            accepted: false,
            answers: 0,
            link: Link::Down { until: Instant::now() },
        }
    }

    /// Tells others whether it is there.
    #[must_use]
    pub fn with_presence(mut self, presence: Presence) -> Self {
        self.presence = Some(presence);
        self
    }

    /// Finds out, whenever nothing has come for a keep-alive, whether the broker still delivers: by a message to itself on
    /// this topic. One that does not is left, and connected to anew. A broker that allows no such message is believed.
    #[must_use]
    pub fn with_pulse(mut self, topic: &str) -> Self {
        let interval = self.connector.config().keep_alive;
        self.pulse = Some((topic.to_owned(), Pulse::new(interval)));
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
            self.reads();
            let due = self.pulse.as_ref().and_then(|(_, pulse)| pulse.due());
            let due = due.map(|due| self.began + due).filter(|_| self.accepted);
            match &mut self.link {
                Link::Down { until } => {
                    tokio::time::sleep_until(*until).await;
                    self.connect();
                }
                Link::Up { connection, .. } => tokio::select! {
                    biased;
                    event = connection.next() => {
                        let ended = || Err(LinkError::Ended("without a reason".into()));
                        match event.unwrap_or_else(ended).and_then(|event| self.apply(event)) {
                            Ok(Some(event)) => return event,
                            Ok(None) => {}
                            Err(error) => return self.disconnect(error),
                        }
                    }
                    () = tokio::time::sleep_until(due.unwrap_or(self.began)), if due.is_some() => {
                        if let Some(error) = self.beat() {
                            return self.disconnect(error);
                        }
                    }
                },
            }
        }
    }

    /// Somebody reads. What could not come because nobody did proves nothing.
    fn reads(&mut self) {
        let (now, pause) = (Instant::now(), self.connector.config().keep_alive / 2);
        if now.duration_since(self.read_at) > pause {
            self.heard();
        }
        self.read_at = now;
    }

    fn heard(&mut self) {
        let now = self.began.elapsed();
        if let Some((_, pulse)) = &mut self.pulse {
            pulse.heard(now);
        }
    }

    /// It is time for the pulse. Returns why the connection is to be given up.
    fn beat(&mut self) -> Option<LinkError> {
        let now = self.began.elapsed();
        let (topic, pulse) = self.pulse.as_mut()?;
        if self.acks.outstanding() > 0 {
            // The broker may be waiting for us.
            pulse.heard(now);
            return None;
        }
        match pulse.step(now) {
            Step::Nothing => None,
            Step::Deaf => Some(LinkError::Deaf),
            Step::Beat => {
                if let Link::Up { connection, .. } = &self.link {
                    let (client, payload) = (&connection.client, Bytes::from_static(b"pulse"));
                    // If there is no room it does not come back, and the connection is given up: as well.
                    drop(client.try_publish(topic.as_str(), QoS::AtLeastOnce, false, payload));
                }
                None
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
            Event::Incoming(Packet::SubAck(suback)) => self.subscribed(&suback),
            Event::Incoming(Packet::Publish(publish)) => self.received(publish),
            Event::Incoming(Packet::PubAck(puback)) => {
                // The only message of ours that is acknowledged is the pulse.
                if puback.reason == PubAckReason::NotAuthorized {
                    self.deny_pulse();
                }
                Ok(None)
            }
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
        if let Some((topic, _)) = &self.pulse {
            // Its answer is the second one.
            drop(client.try_subscribe(topic.as_str(), QoS::AtLeastOnce));
        }
        (self.answers, self.read_at) = (0, Instant::now());
        self.heard();
        let session_present = connack.session_present;
        Ok(SubscriberEvent::Connected { generation: self.generation, session_present })
    }

    fn deny_pulse(&mut self) {
        if let Some((topic, pulse)) = &mut self.pulse {
            tracing::warn!(
                topic,
                "the broker does not allow the pulse; it is believed that it delivers"
            );
            pulse.deny();
        }
    }

    fn subscribed(&mut self, suback: &SubAck) -> Result<Option<SubscriberEvent>, LinkError> {
        self.answers += 1;
        if self.answers > 1 {
            if !matches!(suback.return_codes[..], [SubscribeReasonCode::Success(_)]) {
                self.deny_pulse();
            }
            return Ok(None);
        }
        for (filter, code) in self.filters.iter().zip(&suback.return_codes) {
            // At most once would mean messages that nobody holds while we do not.
            if !matches!(code, SubscribeReasonCode::Success(qos) if *qos != QoS::AtMostOnce) {
                let (filter, reason) = (filter.clone(), format!("{code:?}"));
                return Err(LinkError::Subscription { filter, reason });
            }
        }
        Ok(Some(SubscriberEvent::Subscribed { generation: self.generation }))
    }

    fn received(&mut self, publish: Publish) -> Result<Option<SubscriberEvent>, LinkError> {
        self.heard();
        let token = self.acks.received(&publish);
        let token = token.ok_or(LinkError::Protocol("more messages than packet ids"))?;
        if self.pulse.as_ref().is_some_and(|(topic, _)| publish.topic == topic.as_bytes()) {
            self.acks.ack(token);
            return Ok(None);
        }
        Ok(Some(SubscriberEvent::Message(Incoming {
            generation: self.generation,
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload,
            properties: publish.properties.map_or_else(Vec::new, |all| all.user_properties),
            token,
        })))
    }
}
