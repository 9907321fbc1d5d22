//! The connection to the broker, if there is one, and the courier that decides what goes over it.
//!
//! A connection is never used on after an error: the courier goes back to the lowest unconfirmed number, and after a
//! pause a new client sends everything from there on again.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use weir_events::{Confirmation, EventKind, Gap, GapReason, Stamp, TraceContext, headers};
use weir_mqtt::{
    Backoff, Connector, LinkError, Message, Opening, Presence, PublishError, Publisher,
    PublisherEvent,
};
use weir_service::{ConfigError, crash_point};

use crate::backlog::{Backlog, Parcel};
use crate::config::AgentConfig;
use crate::courier::{Courier, Until};
use crate::progress::Progress;
use crate::traced::Traced;

/// The topics of one agent.
#[derive(Debug)]
struct Topics {
    measurement: String,
    target: String,
    gap: String,
}

impl Topics {
    fn of(&self, kind: EventKind) -> &str {
        match kind {
            EventKind::Measurement => &self.measurement,
            EventKind::Target => &self.target,
        }
    }
}

/// Sends what the backlog holds.
#[derive(Debug)]
pub(crate) struct Link {
    connector: Connector,
    opening: Opening,
    topics: Topics,
    courier: Courier,
    traced: Traced,
    publisher: Option<Publisher>,
    started: Instant,
    retry_at: Instant,
    backoff: Backoff,
    progress: Progress,
    /// Whether the broker has ever accepted this process.
    accepted: bool,
    /// The highest number ever sent.
    sent: u64,
}

impl Link {
    pub(crate) fn new(
        config: &AgentConfig,
        connector: Connector,
        backlog: &Backlog,
        traced: Traced,
        progress: Progress,
        seed: u64,
    ) -> Self {
        let mqtt = connector.config();
        let backoff = Backoff::new(mqtt.reconnect_min, mqtt.reconnect_max, seed);
        let started = Instant::now();
        Self {
            opening: opening(config),
            topics: Topics {
                measurement: config.topic(EventKind::Measurement),
                target: config.topic(EventKind::Target),
                gap: config.gap_topic(),
            },
            courier: Courier::new(config.courier(), backlog.spans()),
            traced,
            publisher: None,
            started,
            retry_at: started,
            backoff,
            progress,
            accepted: false,
            sent: 0,
            connector,
        }
    }

    /// The backlog has more on disk.
    pub(crate) fn stored(&mut self, backlog: &Backlog) {
        let (epoch, first, last) = backlog.stored();
        self.courier.stored(epoch, first, last);
    }

    /// Whether everything on disk is confirmed.
    pub(crate) fn is_done(&self) -> bool {
        self.courier.is_done()
    }

    /// How many numbers are sent and not confirmed.
    pub(crate) fn unconfirmed(&self) -> u64 {
        self.courier.unconfirmed()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.publisher.as_ref().is_some_and(Publisher::is_connected)
    }

    /// Hands over as much as the connection takes.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub(crate) fn transmit(&mut self, backlog: &mut Backlog) -> std::io::Result<()> {
        while let Some(publisher) = &mut self.publisher
            && publisher.is_ready()
            && let Some(seq) = self.courier.next_unsent()
        {
            let Some(parcel) = backlog.parcel(seq)? else { return Ok(()) };
            let traced = self.traced.begin(&self.courier.stamp(), &parcel);
            let context = traced.and_then(|(_, step)| step.context());
            let (message, count) = message(&self.topics, &self.courier, parcel, context);
            match publisher.publish(seq, message) {
                Ok(()) => {
                    match traced {
                        Some((kind, step)) => self.traced.sent(seq, kind, step),
                        None => self.traced.lost(seq, count),
                    }
                    self.note_sent(seq, count);
                    crash_point("agent-sent");
                }
                Err(error @ (PublishError::TooLarge { .. } | PublishError::TopicInvalid)) => {
                    tracing::error!(seq, %error, "an event cannot be sent to this broker");
                    // A gap goes in its place, in the next round. It is smaller than any limit of MQTT.
                    if !backlog.give_up(seq, GapReason::TooLarge) {
                        return Ok(());
                    }
                }
                // The connection has just ended, and will say so.
                Err(PublishError::NotConnected | PublishError::WindowFull) => return Ok(()),
            }
        }
        Ok(())
    }

    fn note_sent(&mut self, seq: u64, count: u64) {
        self.courier.sent(count, self.started.elapsed());
        let repeated = u64::from(seq <= self.sent);
        self.sent = self.sent.max(seq);
        self.progress.update(|counts| {
            counts.published += 1;
            counts.resent += repeated;
        });
    }

    /// The next event of the connection; connects if there is none. Gives up a connection on which nothing is confirmed.
    /// Cancel-safe.
    pub(crate) async fn next(&mut self) -> PublisherEvent {
        loop {
            if self.publisher.is_none() {
                sleep_until(self.retry_at).await;
                self.publisher = Some(Publisher::connect(&self.connector, &self.opening));
            }
            let stall_at = self.courier.stall_at().map(|at| self.started + at);
            let Some(publisher) = &mut self.publisher else { continue };
            tokio::select! {
                event = publisher.next() => match event {
                    Some(event) => return event,
                    None => self.publisher = None,
                },
                () = until(stall_at) => self.stall(),
            }
        }
    }

    fn stall(&mut self) {
        if self.courier.stall(self.started.elapsed()) {
            tracing::warn!(
                unconfirmed = self.courier.unconfirmed(),
                "nothing is confirmed; sending again over a new connection. Is a bridge running? \
                 Without one, set delivery.until to \"broker\""
            );
            self.progress.update(|counts| counts.stalls += 1);
            self.disconnect();
        }
    }

    /// Notes what happened. Fails if the broker and this client do not accept each other and never have:
    /// then a setting is wrong. Later it may be the broker's that was changed, and is changed back.
    pub(crate) fn apply(
        &mut self,
        event: PublisherEvent,
        backlog: &mut Backlog,
    ) -> Result<(), ConfigError> {
        match event {
            PublisherEvent::Connected { window } => {
                tracing::info!(
                    window,
                    unconfirmed = self.courier.unconfirmed(),
                    "connected to the broker"
                );
                self.accepted = true;
                self.progress.update(|counts| counts.connections += 1);
            }
            PublisherEvent::Acked(seq) => {
                self.backoff.reset();
                self.progress.update(|counts| counts.pubacks += 1);
                crash_point("agent-puback");
                let released = self.courier.acked(seq, self.started.elapsed());
                self.release(backlog, released);
            }
            PublisherEvent::Heard(payload) => self.heard(&payload, backlog),
            PublisherEvent::Refused { seq, refusal } if refusal.is_permanent() => {
                tracing::error!(seq, error = %refusal, "the broker refused an event for good");
                backlog.give_up(seq, GapReason::Refused);
                // The gap in its place is sent with everything from the lowest unconfirmed on.
                self.disconnect();
            }
            PublisherEvent::Refused { seq, refusal } => {
                tracing::warn!(seq, error = %refusal, "the broker refused an event, sending it again");
                self.disconnect();
            }
            PublisherEvent::Lost(LinkError::Denied(denial)) if !self.accepted => {
                return Err(ConfigError::value(denial));
            }
            PublisherEvent::Lost(error) => {
                tracing::warn!(%error, "no connection to the broker");
                self.disconnect();
            }
        }
        Ok(())
    }

    fn heard(&mut self, payload: &Bytes, backlog: &mut Backlog) {
        match Confirmation::parse(payload) {
            Ok(confirmation) => {
                let released = self.courier.confirmed(&confirmation, self.started.elapsed());
                self.release(backlog, released);
            }
            Err(error) => tracing::warn!(%error, "not understood on the acknowledgement topic"),
        }
    }

    fn release(&mut self, backlog: &mut Backlog, through: Option<u64>) {
        let Some(through) = through else { return };
        self.traced.confirmed(through, |kind| self.topics.of(kind));
        if let Err(error) = backlog.release(through) {
            // It stays on disk, is sent again after a restart, and known as a repetition there.
            tracing::error!(%error, through, "delete confirmed events from the spool");
        }
    }

    fn disconnect(&mut self) {
        self.publisher = None;
        self.courier.lost();
        self.retry_at = Instant::now() + self.backoff.next_pause();
    }

    pub(crate) async fn close(self, grace: Duration) {
        if let Some(publisher) = self.publisher {
            publisher.close(grace).await;
        }
    }
}

fn opening(config: &AgentConfig) -> Opening {
    let text = |state: &str| Bytes::from(format!("{{\"state\":\"{state}\"}}"));
    let (here, gone) = (text("online"), text("offline"));
    let presence = Presence { topic: config.status_topic(), here, gone };
    let listen = (config.delivery.until == Until::Kafka).then(|| config.ack_topic());
    Opening { presence: Some(presence), listen }
}

/// The message for the next number, and for how many numbers it stands.
fn message<'a>(
    topics: &'a Topics,
    courier: &Courier,
    parcel: Parcel,
    trace: Option<TraceContext>,
) -> (Message<'a>, u64) {
    let mut properties = vec![(Stamp::PROPERTY.to_owned(), courier.stamp().to_string())];
    match parcel {
        Parcel::Event { kind, payload, .. } => {
            properties.extend(trace.map(|trace| (headers::TRACE.to_owned(), trace.to_string())));
            (Message { topic: topics.of(kind), payload, properties }, 1)
        }
        Parcel::Gap { count, reason } => {
            let count = courier.clip(count);
            let payload = Gap { count, reason }.to_bytes().into();
            (Message { topic: &topics.gap, payload, properties }, count)
        }
    }
}

/// Waits until then; for ever if there is no such time.
pub(crate) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
