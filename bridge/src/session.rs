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

mod flow;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::time::Instant;
use weir_kafka::Progress;
use weir_mqtt::{AckToken, Acks, Backoff, Incoming, LinkError, Subscriber, SubscriberEvent};
use weir_service::traces::Tracer;
use weir_service::{Clock, ConfigError, Shutdown};

use crate::config::{BridgeConfig, MqttBroker};
use crate::counters::{BridgeCounters, Snapshot};
use crate::kafka::Outlet;
use crate::ledger::Ledger;
use crate::relay::{Event, Relay};
use crate::transform::Transform;
use crate::watch::{self, random_seed};

/// How often a clock that is wrong is looked at again.
const CLOCK_PAUSE: Duration = Duration::from_millis(500);

/// How long the acknowledgements and the DISCONNECT may take. With `limits.drain-grace` before it, an end
/// stays below 10 s.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// How many messages, or reports, are handled before something else has its turn. Fewer than the embedded broker sends
/// at a time (200), so that tests see the end of a batch.
const BATCH: usize = 64;

/// How a session, or a step of it, ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Shutdown,
    Reset,
    /// The connection is gone, and another bridge may have the MQTT session.
    Lost,
}

/// What an event of the subscriber comes to.
enum Happened {
    Message(Incoming),
    /// The connection is gone, and another bridge may have the session.
    Lost,
    Nothing,
}

/// What a batch of events comes to.
enum Batch {
    /// A message for which there is no clock.
    Held(Incoming),
    Lost,
    Done,
}

/// What outlives a session.
pub(crate) struct Bridge {
    config: Arc<BridgeConfig>,
    broker: MqttBroker,
    clock: Arc<dyn Clock>,
    progress: Progress,
    counters: Arc<BridgeCounters>,
    tracer: Tracer,
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
    /// When the presence is to be told again; only for one that has a standby.
    refresh: Option<Instant>,
}

impl Bridge {
    pub(crate) fn new(
        config: Arc<BridgeConfig>,
        broker: MqttBroker,
        (clock, progress, counters): (Arc<dyn Clock>, Progress, Arc<BridgeCounters>),
        tracer: Tracer,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            clock,
            progress,
            counters,
            tracer,
            transform: config.transform()?,
            relay: Relay::new(config.window(&broker)),
            ledger: Ledger::new(config.pace()),
            counts: Snapshot::default(),
            begin: Instant::now(),
            accepted: false,
            connected: false,
            alarmed: None,
            refresh: None,
            config,
            broker,
        })
    }

    /// One session after the other, until shutdown.
    pub(crate) async fn sessions(&mut self, shutdown: &Shutdown) -> anyhow::Result<()> {
        let (min, max) = (self.config.limits.retry_min, self.config.limits.retry_max);
        let mut pauses = Backoff::new(min, max, random_seed());
        loop {
            if self.config.standby {
                let (connector, accepted) = (&self.broker.connector, &mut self.accepted);
                if !watch::turn(connector, accepted, shutdown).await? {
                    return Ok(());
                }
                tracing::info!(broker = &*self.broker.name, "active; taking the session over");
            }
            let forwarded = self.relay.tally().forwarded;
            match self.session(shutdown).await? {
                End::Shutdown => return Ok(()),
                End::Reset => {
                    self.ledger.reset();
                    self.counts.resets += 1;
                    self.tell();
                }
                End::Lost => {
                    if self.relay.tally().in_flight > 0 {
                        self.relay.give_up();
                        self.ledger.reset();
                    }
                    self.tell();
                    continue;
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
        if self.config.standby {
            subscriber = subscriber.with_presence(watch::presence(&self.broker.connector));
        }
        let mut end = self.relay_until_end(&mut subscriber, &mut outlet, shutdown).await;
        if let Ok(before @ (End::Shutdown | End::Lost)) = end {
            end = self.drain(&subscriber, &mut outlet).await.map(|()| before);
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
            let answer = self.next_answer().into_iter().chain(self.refresh).min();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(End::Shutdown),
                report = outlet.report() => {
                    if let Some(end) = self.all_reported(report, &acks, outlet)? {
                        return Ok(end);
                    }
                }
                event = subscriber.next(), if reads => {
                    match self.all_happened(event, subscriber, &acks, outlet)? {
                        Batch::Done => {}
                        Batch::Lost => return Ok(End::Lost),
                        Batch::Held(message) => {
                            let told = "the clock is wrong; holding all messages until it is set";
                            tracing::error!("{told}");
                            held = Some(message);
                        }
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
            self.refresh(subscriber);
            self.tell();
        }
    }

    /// Tells again that it is active, when it is time.
    fn refresh(&mut self, subscriber: &Subscriber) {
        if !self.config.standby || !self.connected {
            self.refresh = None;
            return;
        }
        let now = Instant::now();
        if self.refresh.is_none_or(|due| due <= now) {
            // The connection itself has told it when it was made.
            if self.refresh.is_some() {
                subscriber.tell_presence();
            }
            self.refresh = Some(now + self.broker.connector.config().keep_alive);
        }
    }

    /// Waits for what is under way, within the grace period.
    async fn drain(&mut self, subscriber: &Subscriber, outlet: &mut Outlet) -> anyhow::Result<()> {
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
        Ok(())
    }

    /// Handles an event and those that have come behind it, while there is room. A message is handed back if
    /// there is no clock to judge it by.
    fn all_happened(
        &mut self,
        first: SubscriberEvent,
        subscriber: &mut Subscriber,
        acks: &Acks,
        outlet: &mut Outlet,
    ) -> anyhow::Result<Batch> {
        let mut event = first;
        for taken in 1.. {
            match self.happened(event)? {
                Happened::Nothing => {}
                Happened::Lost => return Ok(Batch::Lost),
                Happened::Message(message) => {
                    if let Some(held) = self.received(message, acks, outlet) {
                        return Ok(Batch::Held(held));
                    }
                }
            }
            // What is taken out of the queue has to be handled: a message that is dropped is lost until the next
            // connection, and holds up the acknowledgements behind it.
            if taken == BATCH || !self.relay.has_room() {
                break;
            }
            let Some(next) = subscriber.ready() else { break };
            event = next;
        }
        Ok(Batch::Done)
    }

    /// Notes a change of the connection; a message is handed back. Fails if the broker and this process do
    /// not accept each other and never have: then a setting is wrong. Later it may be the broker's that was
    /// changed, and is changed back. Fails as well if another client takes the session and this one is no standby: the
    /// two would throw each other out in turn.
    fn happened(&mut self, event: SubscriberEvent) -> anyhow::Result<Happened> {
        let event = match event {
            SubscriberEvent::Message(message) => return Ok(Happened::Message(message)),
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
                return Ok(Happened::Nothing);
            }
            SubscriberEvent::Disconnected { error: LinkError::Denied(denial), .. }
                if !self.accepted =>
            {
                let named = self.broker.name.as_ref() != MqttBroker::ONLY;
                let place =
                    if named { format!("brokers.{}: ", self.broker.name) } else { String::new() };
                return Err(ConfigError::value(format!("{place}{denial}")).into());
            }
            SubscriberEvent::Disconnected { error: LinkError::TakenOver, .. }
                if !self.config.standby =>
            {
                let client_id = &self.broker.connector.config().client_id;
                return Err(anyhow!(
                    "keep the MQTT session: another client has come with the client id {client_id:?}; give each \
                     bridge a mqtt.client-id of its own, or set standby = true in both"
                ));
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
        let lost = event == Event::Disconnected && self.config.standby;
        Ok(if lost { Happened::Lost } else { Happened::Nothing })
    }
}
