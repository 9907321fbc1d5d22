//! The shell: one task that moves messages from MQTT to Kafka, and acknowledgements and confirmations back.
//!
//! Reading never waits for Kafka: it stops when the relay has no room, and the MQTT broker, told the
//! same bound as its receive maximum, stops sending. The connection goes on answering pings
//! meanwhile, in its own task.
//!
//! A session is one producer and one subscriber. It ends when the process shall end, with what is under
//! way delivered and acknowledged as far as the grace period allows, or when Kafka did not take a
//! record in time; then another session begins after a pause, and the broker hands out again what was
//! not acknowledged. A producer is never used on after such a failure: an idempotent one has a gap then.
//!
//! Messages and reports are taken in batches, as many as have come: counters and wakers are touched once for each.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use tokio::time::Instant;
use weir_events::{EventTime, Rejection, Stamp};
use weir_kafka::{Class, Progress};
use weir_mqtt::{AckToken, Acks, Backoff, Incoming, LinkError, Subscriber, SubscriberEvent};
use weir_service::{Clock, ConfigError, Shutdown};

use crate::config::{BridgeConfig, MqttBroker};
use crate::counters::{BridgeCounters, Snapshot};
use crate::kafka::{Outlet, Parcel, Report};
use crate::ledger::{Answer, Ledger, Verdict};
use crate::relay::{Effect, Event, Passed, Receipt, Relay};
use crate::transform::{Message, Transform};

/// How often a clock that is wrong is looked at again.
const CLOCK_PAUSE: Duration = Duration::from_millis(500);

/// How long the acknowledgements and the DISCONNECT may take. With `limits.drain-grace` before it, an end
/// stays below 10 s.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// How many messages, or reports, are handled before something else has its turn.
const BATCH: usize = 256;

/// What a message takes beside its bytes: entries of queues, and librdkafka's.
const MESSAGE_BYTES: usize = 512;

/// How often a conflict is told while it lasts.
const ALARM_PAUSE: Duration = Duration::from_secs(10);

/// Differs from process to process, so that bridges cut off together do not return together.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// How a session, or a step of it, ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Shutdown,
    Reset,
}

/// What outlives a session.
pub(crate) struct Bridge {
    config: Arc<BridgeConfig>,
    broker: MqttBroker,
    clock: Arc<dyn Clock>,
    progress: Progress,
    counters: Arc<BridgeCounters>,
    transform: Transform,
    relay: Relay<AckToken>,
    ledger: Ledger,
    /// What neither relay nor ledger counts.
    counts: Snapshot,
    /// Since when all times are counted that relay and ledger are given.
    begin: Instant,
    /// Whether the MQTT broker has ever accepted this process.
    accepted: bool,
    /// Whether there is a connection now.
    connected: bool,
    alarmed: Option<Duration>,
}

impl Bridge {
    pub(crate) fn new(
        config: Arc<BridgeConfig>,
        broker: MqttBroker,
        (clock, progress, counters): (Arc<dyn Clock>, Progress, Arc<BridgeCounters>),
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            clock,
            progress,
            counters,
            transform: config.transform()?,
            relay: Relay::new(config.window(&broker)),
            ledger: Ledger::new(config.pace()),
            counts: Snapshot::default(),
            begin: Instant::now(),
            accepted: false,
            connected: false,
            alarmed: None,
            config,
            broker,
        })
    }

    /// One session after the other, until shutdown.
    pub(crate) async fn sessions(&mut self, shutdown: &Shutdown) -> anyhow::Result<()> {
        let (min, max) = (self.config.limits.retry_min, self.config.limits.retry_max);
        let mut pauses = Backoff::new(min, max, random_seed());
        loop {
            let forwarded = self.relay.tally().forwarded;
            match self.session(shutdown).await? {
                End::Shutdown => return Ok(()),
                End::Reset => {
                    self.ledger.reset();
                    self.counts.resets += 1;
                    self.tell();
                }
            }
            if self.relay.tally().forwarded > forwarded {
                pauses.reset();
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(pauses.next_pause()) => {}
            }
        }
    }

    async fn session(&mut self, shutdown: &Shutdown) -> anyhow::Result<End> {
        let mut outlet = Outlet::new(&self.config.kafka(), self.progress.clone())
            .context("start the Kafka producer")?;
        let filters: Vec<&str> = self.config.subscribe.iter().map(String::as_str).collect();
        let mut subscriber = Subscriber::new(&self.broker.connector, &filters, random_seed());
        let mut end = self.relay_until_end(&mut subscriber, &mut outlet, shutdown).await;
        if let Ok(End::Shutdown) = end {
            end = self.drain(&subscriber, &mut outlet).await;
        }
        (self.connected, self.counts.connected) = (false, 0);
        // Sends the acknowledgements that were given, and leaves the queue to the broker.
        subscriber.close(CLOSE_GRACE).await;
        outlet.discard().await;
        end
    }

    async fn relay_until_end(
        &mut self,
        subscriber: &mut Subscriber,
        outlet: &mut Outlet,
        shutdown: &Shutdown,
    ) -> anyhow::Result<End> {
        let acks = subscriber.acks();
        let mut held: Option<Incoming> = None;
        loop {
            let reads = held.is_none() && self.relay.has_room();
            let answer = self.next_answer();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(End::Shutdown),
                report = outlet.report() => {
                    if let Some(end) = self.all_reported(report, &acks, outlet)? {
                        return Ok(end);
                    }
                }
                event = subscriber.next(), if reads => {
                    held = self.all_happened(event, subscriber, &acks, outlet)?;
                    if held.is_some() {
                        tracing::error!("the clock is wrong; holding all messages until it is set");
                    }
                }
                () = tokio::time::sleep(CLOCK_PAUSE), if held.is_some() => {
                    held = held.and_then(|message| self.received(message, &acks, outlet));
                    if held.is_none() {
                        tracing::info!("the clock has been set");
                    }
                }
                () = tokio::time::sleep_until(answer.unwrap_or(self.begin)), if answer.is_some() => {}
            }
            self.answer(subscriber);
            self.tell();
        }
    }

    /// Waits for what is under way, within the grace period.
    async fn drain(&mut self, subscriber: &Subscriber, outlet: &mut Outlet) -> anyhow::Result<End> {
        let acks = subscriber.acks();
        let deadline = tokio::time::sleep(self.config.limits.drain_grace);
        tokio::pin!(deadline);
        while self.relay.tally().in_flight > 0 {
            tokio::select! {
                report = outlet.report() => {
                    if self.all_reported(report, &acks, outlet)?.is_some() {
                        break;
                    }
                }
                () = &mut deadline => {
                    let in_flight = self.relay.tally().in_flight;
                    tracing::warn!(in_flight, "ending; the MQTT broker keeps what is under way");
                    break;
                }
            }
            self.tell();
        }
        // What was confirmed last is said last: agents need not send it again.
        self.answer_by(self.now() + self.config.acks.interval, subscriber);
        self.tell();
        Ok(End::Shutdown)
    }

    /// Handles an event and those that have come behind it, while there is room. A message is handed back if
    /// there is no clock to judge it by.
    fn all_happened(
        &mut self,
        first: SubscriberEvent,
        subscriber: &mut Subscriber,
        acks: &Acks,
        outlet: &mut Outlet,
    ) -> Result<Option<Incoming>, ConfigError> {
        let mut next = Some(first);
        for _ in 0..BATCH {
            let Some(event) = next else { break };
            if let Some(message) = self.happened(event)?
                && let Some(held) = self.received(message, acks, outlet)
            {
                return Ok(Some(held));
            }
            if !self.relay.has_room() {
                return Ok(None);
            }
            next = subscriber.ready();
        }
        Ok(None)
    }

    /// Notes a change of the connection; a message is handed back. Fails if the broker and this process do
    /// not accept each other and never have: then a setting is wrong. Later it may be the broker's that was
    /// changed, and is changed back.
    fn happened(&mut self, event: SubscriberEvent) -> Result<Option<Incoming>, ConfigError> {
        let event = match event {
            SubscriberEvent::Message(message) => return Ok(Some(message)),
            SubscriberEvent::Connected { generation, session_present } => {
                let broker = &*self.broker.name;
                tracing::info!(broker, generation, session_present, "connected to the MQTT broker");
                (self.accepted, self.connected) = (true, true);
                Event::Connected(generation)
            }
            SubscriberEvent::Subscribed { generation } => {
                let broker = &*self.broker.name;
                tracing::info!(broker, generation, filters = ?self.config.subscribe, "subscribed");
                self.counts.subscriptions += 1;
                self.counts.connected = 1;
                return Ok(None);
            }
            SubscriberEvent::Disconnected { error: LinkError::Denied(denial), .. }
                if !self.accepted =>
            {
                let named = self.broker.name.as_ref() != MqttBroker::ONLY;
                let place =
                    if named { format!("brokers.{}: ", self.broker.name) } else { String::new() };
                return Err(ConfigError::value(format!("{place}{denial}")));
            }
            SubscriberEvent::Disconnected { generation, error } => {
                let broker = &*self.broker.name;
                let told = "not connected to the MQTT broker; trying again";
                tracing::warn!(broker, generation, %error, "{told}");
                (self.connected, self.counts.connected) = (false, 0);
                Event::Disconnected
            }
        };
        self.relay.apply(event, &mut Vec::new());
        Ok(None)
    }

    /// Sends a message on its way, or passes over it if it is known; hands it back if there is no clock to judge
    /// it by.
    fn received(
        &mut self,
        message: Incoming,
        acks: &Acks,
        outlet: &mut Outlet,
    ) -> Option<Incoming> {
        let Some(at) = self.plausible_now() else {
            return Some(message);
        };
        let now = self.now();
        let Incoming { generation, topic, payload, properties, token } = message;
        let stamp = properties.iter().find(|(name, _)| name == Stamp::PROPERTY);
        let stamp = stamp.map(|(_, text)| text.as_str());
        let reading = self.transform.read(Message { topic: &topic, payload: &payload, stamp, at });
        let bytes = topic.len() + MESSAGE_BYTES;
        let receipt = |bytes| Receipt { generation, token, bytes, at: now };
        let verdict = reading.arrival().map(|arrival| {
            let answer_to = || self.transform.routes().answer_topic(reading.levels());
            self.ledger.receive(&reading.device(), arrival, now, answer_to)
        });
        let (record, id, claim) = match verdict {
            None => (self.transform.record(&reading), None, None),
            Some(Verdict::New(claim)) => {
                (self.transform.record(&reading), reading.id(), Some(claim))
            }
            Some(Verdict::Conflict) => {
                self.counts.conflicts += 1;
                let alarm = self.alarmed.is_none_or(|at| now >= at + ALARM_PAUSE);
                if alarm {
                    let (stamp, conflicts) = (stamp.unwrap_or_default(), self.counts.conflicts);
                    let told = "two payloads under one number: do two machines run with one spool?";
                    tracing::error!(topic, stamp, conflicts, told);
                    self.alarmed = Some(now);
                }
                (self.transform.conflict(&reading), None, None)
            }
            Some(Verdict::Repetition) => {
                self.pass(receipt(bytes), Passed::Repeated, acks);
                return None;
            }
            Some(Verdict::TooEarly) => {
                self.pass(receipt(bytes), Passed::OutOfOrder, acks);
                return None;
            }
        };
        let refused = record.refused;
        if let Some(reason) = refused {
            tracing::debug!(topic, %reason, "refused a message");
        }
        // A dead letter never becomes another one, so that its payload need not be kept.
        let payload = if refused.is_some() { Bytes::new() } else { payload };
        let bytes = bytes + payload.len() + record.bytes();
        let ticket = self.relay.receive(receipt(bytes), refused);
        let is_topic_templated = record.is_topic_templated;
        let parcel = Parcel { ticket, mqtt_topic: topic, payload, id, claim, is_topic_templated };
        outlet.push(parcel, record);
        None
    }

    fn pass(&mut self, receipt: Receipt<AckToken>, passed: Passed, acks: &Acks) {
        let mut effects = Vec::new();
        self.relay.pass(receipt, passed, &mut effects);
        for effect in effects {
            if let Effect::Acknowledge(token) = effect {
                acks.ack(token);
            }
        }
    }

    /// Applies a report and those that have come behind it. An error means that no other record would fare better.
    fn all_reported(
        &mut self,
        first: Report,
        acks: &Acks,
        outlet: &mut Outlet,
    ) -> anyhow::Result<Option<End>> {
        let mut next = Some(first);
        for _ in 0..BATCH {
            let Some(report) = next else { break };
            if let Some(end) = self.reported(report, acks, outlet)? {
                return Ok(Some(end));
            }
            next = outlet.ready_report();
        }
        Ok(None)
    }

    fn reported(
        &mut self,
        report: Report,
        acks: &Acks,
        outlet: &mut Outlet,
    ) -> anyhow::Result<Option<End>> {
        let Report { parcel, result } = report;
        let (event, cause) = match result {
            Ok(()) => (Event::Delivered(parcel.ticket), String::new()),
            // Whoever chose the MQTT topic chose the Kafka topic: that must not hold up the others.
            Err(error) if parcel.is_topic_templated && error.is_unknown_topic() => {
                (Event::Rejected(parcel.ticket), error.to_string())
            }
            Err(error) => match error.class() {
                Class::Reject => (Event::Rejected(parcel.ticket), error.to_string()),
                Class::Retry => (Event::Failed(parcel.ticket), error.to_string()),
                Class::Fatal => {
                    return Err(anyhow!("write to Kafka ({}): {error}", outlet.last_error()));
                }
            },
        };
        let mut effects = Vec::new();
        let counts = self.relay.apply(event, &mut effects);
        if let (true, Event::Delivered(_), Some(claim)) = (counts, event, parcel.claim) {
            self.ledger.delivered(claim, self.now());
        }
        let mut end = None;
        for effect in effects {
            match effect {
                Effect::Acknowledge(token) => acks.ack(token),
                Effect::ProduceDeadLetter(_) => self.set_aside(&parcel, &cause, outlet),
                Effect::Reset => {
                    let reason = outlet.last_error();
                    tracing::warn!(
                        error = cause,
                        reason,
                        "Kafka is not taking records; starting anew"
                    );
                    end = Some(End::Reset);
                }
                Effect::Halt(_) => {
                    let source = &parcel.mqtt_topic;
                    return Err(anyhow!("write a dead letter for {source:?} to Kafka: {cause}"));
                }
            }
        }
        Ok(end)
    }

    /// Sends a dead letter in the place of a record that Kafka refuses.
    fn set_aside(&self, parcel: &Parcel, cause: &str, outlet: &mut Outlet) {
        let Parcel { ticket, mqtt_topic, payload, id, claim, .. } = parcel;
        let (ticket, id, claim) = (*ticket, *id, *claim);
        let rejection = Rejection::refused_by_kafka(cause);
        let record = self.transform.dead_letter(mqtt_topic, payload, id, &rejection);
        let (mqtt_topic, payload) = (mqtt_topic.clone(), Bytes::new());
        let is_topic_templated = false;
        let parcel = Parcel { ticket, mqtt_topic, payload, id, claim, is_topic_templated };
        outlet.push(parcel, record);
    }

    /// When the next confirmation is due; none while there is no connection to send it on.
    fn next_answer(&self) -> Option<Instant> {
        let due = self.ledger.next_answer().filter(|_| self.connected)?;
        Some(self.begin + due)
    }

    fn answer(&mut self, subscriber: &Subscriber) {
        self.answer_by(self.now(), subscriber);
    }

    /// Sends the confirmations that are due by then.
    fn answer_by(&mut self, by: Duration, subscriber: &Subscriber) {
        if !self.connected || self.ledger.next_answer().is_none_or(|due| due > by) {
            return;
        }
        let mut answers = Vec::new();
        self.ledger.answer(by, &mut answers);
        for Answer { topic, confirmation } in answers {
            // One that is lost is given again when the agent asks again, by sending again.
            if subscriber.publish(&topic, confirmation.to_bytes().into()) {
                self.counts.confirmations += 1;
            }
        }
    }

    fn tell(&self) {
        let snapshot = Snapshot {
            messages: *self.relay.tally(),
            in_flight_bytes: self.relay.bytes(),
            senders: self.ledger.senders(),
            ..self.counts
        };
        let oldest = self.relay.oldest().map(|at| (self.begin + at).into_std());
        self.counters.set(&self.broker.name, snapshot, oldest);
        self.progress.wake();
    }

    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn plausible_now(&self) -> Option<EventTime> {
        let now = self.clock.now();
        (now >= self.config.limits.clock_not_before).then_some(now)
    }
}
