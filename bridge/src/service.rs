//! The shell: one task that moves messages from MQTT to Kafka and acknowledgements back.
//!
//! Reading never waits for Kafka: it stops when the relay has no room, and the MQTT broker, told the
//! same bound as its receive maximum, stops sending. The connection goes on answering pings
//! meanwhile, in its own task.
//!
//! A session is one producer and one subscriber. It ends when the process shall end, with what is under
//! way delivered and acknowledged as far as the grace period allows, or when Kafka did not take a
//! record in time; then another session begins after a pause, and the broker hands out again what was
//! not acknowledged. A producer is never used on after such a failure: an idempotent one has a gap then.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use weir_events::{EventTime, Rejection};
use weir_kafka::{Class, Progress, await_topics};
use weir_mqtt::{
    AckToken, Acks, Backoff, Connector, Incoming, LinkError, Subscriber, SubscriberEvent,
};
use weir_service::{Clock, ConfigError, Shutdown};

use crate::config::BridgeConfig;
use crate::counters::BridgeCounters;
use crate::kafka::{Outlet, Parcel, Report};
use crate::relay::{Effect, Event, Relay};
use crate::transform::Transform;

/// How often a clock that is wrong is looked at again.
const CLOCK_PAUSE: Duration = Duration::from_millis(500);

/// How long the acknowledgements and the DISCONNECT may take. With `limits.drain-grace` before it, an end
/// stays below 10 s.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// Runs a bridge until `shutdown`.
///
/// Brokers that are away, and topics that are not there yet, are waited for without limit. `clock` tells when a message is received, and so
/// which event times lie in the future. Whoever waits on `progress` is woken when a counter changes.
///
/// # Errors
/// If a setting cannot be used (a [`weir_service::ConfigError`]; that a broker refuses this client from the
/// start counts as one), if Kafka refuses the client later, or if it refuses a dead letter. Nothing that is not in Kafka has been acknowledged.
pub async fn run(
    config: BridgeConfig,
    clock: Arc<dyn Clock>,
    progress: Progress,
    counters: Arc<BridgeCounters>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let transform = config.transform()?;
    let connector = config.connector()?;
    config.kafka.check()?;
    let relay = Relay::new(usize::from(config.mqtt.receive_maximum));
    let connected = false;
    let topics = config.topics_written();
    let mut bridge = Bridge {
        config: &config,
        connector,
        clock,
        progress,
        counters,
        transform,
        relay,
        connected,
    };
    // Meanwhile the MQTT broker already keeps for this client what is published.
    let refused = async {
        match await_topics(&config.kafka, topics).await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    };
    tokio::select! {
        ended = bridge.sessions(&shutdown) => ended,
        error = refused => Err(error).context("find Kafka's topics"),
    }
}

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
struct Bridge<'a> {
    config: &'a BridgeConfig,
    connector: Connector,
    clock: Arc<dyn Clock>,
    progress: Progress,
    counters: Arc<BridgeCounters>,
    transform: Transform,
    relay: Relay<AckToken>,
    /// Whether the MQTT broker has ever accepted this process.
    connected: bool,
}

impl Bridge<'_> {
    /// One session after the other, until shutdown.
    async fn sessions(&mut self, shutdown: &Shutdown) -> anyhow::Result<()> {
        let limits = &self.config.limits;
        let mut pauses = Backoff::new(limits.retry_min, limits.retry_max, random_seed());
        loop {
            let forwarded = self.relay.tally().forwarded;
            match self.session(shutdown).await? {
                End::Shutdown => return Ok(()),
                End::Reset => self.counters.add_reset(),
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
        let mut outlet = Outlet::new(&self.config.kafka, self.progress.clone())
            .context("start the Kafka producer")?;
        let filters: Vec<&str> = self.config.subscribe.iter().map(String::as_str).collect();
        let mut subscriber = Subscriber::new(&self.connector, &filters, random_seed());
        let mut end = self.relay_until_end(&mut subscriber, &mut outlet, shutdown).await;
        if let Ok(End::Shutdown) = end {
            end = self.drain(&subscriber.acks(), &mut outlet).await;
        }
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
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(End::Shutdown),
                report = outlet.report() => {
                    if let Some(end) = self.reported(report, &acks, outlet)? {
                        return Ok(end);
                    }
                }
                event = subscriber.next(), if reads => {
                    held = self.happened(event)?.and_then(|message| self.received(message, outlet));
                    if held.is_some() {
                        tracing::error!("the clock is wrong; holding all messages until it is set");
                    }
                }
                () = tokio::time::sleep(CLOCK_PAUSE), if held.is_some() => {
                    held = held.and_then(|message| self.received(message, outlet));
                    if held.is_none() {
                        tracing::info!("the clock has been set");
                    }
                }
            }
        }
    }

    /// Waits for what is under way, within the grace period.
    async fn drain(&mut self, acks: &Acks, outlet: &mut Outlet) -> anyhow::Result<End> {
        let deadline = tokio::time::sleep(self.config.limits.drain_grace);
        tokio::pin!(deadline);
        while self.relay.tally().in_flight() > 0 {
            tokio::select! {
                report = outlet.report() => {
                    if self.reported(report, acks, outlet)?.is_some() {
                        break;
                    }
                }
                () = &mut deadline => {
                    let in_flight = self.relay.tally().in_flight();
                    tracing::warn!(in_flight, "ending; the MQTT broker keeps what is under way");
                    break;
                }
            }
        }
        Ok(End::Shutdown)
    }

    /// Notes a change of the connection; a message is handed back. Fails if the broker and this process do
    /// not accept each other and never have: then a setting is wrong. Later it may be the broker's that was
    /// changed, and is changed back.
    fn happened(&mut self, event: SubscriberEvent) -> Result<Option<Incoming>, ConfigError> {
        let event = match event {
            SubscriberEvent::Message(message) => return Ok(Some(message)),
            SubscriberEvent::Connected { generation, session_present } => {
                tracing::info!(generation, session_present, "connected to the MQTT broker");
                self.connected = true;
                Event::Connected(generation)
            }
            SubscriberEvent::Subscribed { generation } => {
                tracing::info!(generation, filters = ?self.config.subscribe, "subscribed");
                self.counters.add_subscription();
                self.progress.wake();
                return Ok(None);
            }
            SubscriberEvent::Disconnected { error: LinkError::Denied(denial), .. }
                if !self.connected =>
            {
                return Err(ConfigError::value(denial));
            }
            SubscriberEvent::Disconnected { generation, error } => {
                tracing::warn!(generation, %error, "not connected to the MQTT broker; trying again");
                Event::Disconnected
            }
        };
        self.relay.apply(event, &mut Vec::new());
        Ok(None)
    }

    /// Sends a message on its way; hands it back if there is no clock to judge it by.
    fn received(&mut self, message: Incoming, outlet: &mut Outlet) -> Option<Incoming> {
        let Some(now) = self.plausible_now() else {
            return Some(message);
        };
        let Incoming { generation, topic: mqtt_topic, payload, token } = message;
        let record = self.transform.record(&mqtt_topic, &payload, now);
        let refused = record.refused;
        if let Some(reason) = refused {
            tracing::debug!(topic = mqtt_topic, %reason, "refused a message");
        }
        let ticket = self.relay.receive(generation, token, refused.is_some());
        // A dead letter never becomes another one, so that its payload need not be kept.
        let payload = if refused.is_some() { Bytes::new() } else { payload };
        outlet.push(Parcel { ticket, mqtt_topic, payload, refused }, record);
        self.tell();
        None
    }

    /// Applies what became of a record. An error means that no other record would fare better.
    fn reported(
        &mut self,
        report: Report,
        acks: &Acks,
        outlet: &mut Outlet,
    ) -> anyhow::Result<Option<End>> {
        let Report { parcel, result } = report;
        let (event, cause) = match result {
            Ok(()) => (Event::Delivered(parcel.ticket), String::new()),
            Err(error) => match error.class() {
                Class::Reject => (Event::Rejected(parcel.ticket), error.to_string()),
                Class::Retry => (Event::Failed(parcel.ticket), error.to_string()),
                Class::Fatal => {
                    return Err(anyhow!("write to Kafka ({}): {error}", outlet.last_error()));
                }
            },
        };
        let mut effects = Vec::new();
        self.relay.apply(event, &mut effects);
        if let (Event::Delivered(_), Some(reason)) = (event, parcel.refused) {
            self.counters.add_dead_letter(reason);
        }
        self.tell();
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
        let rejection = Rejection::refused_by_kafka(cause);
        let record = self.transform.dead_letter(&parcel.mqtt_topic, &parcel.payload, &rejection);
        let (ticket, mqtt_topic) = (parcel.ticket, parcel.mqtt_topic.clone());
        let refused = record.refused;
        outlet.push(Parcel { ticket, mqtt_topic, payload: Bytes::new(), refused }, record);
    }

    fn tell(&self) {
        self.counters.set(&self.relay.tally());
        self.progress.wake();
    }

    fn plausible_now(&self) -> Option<EventTime> {
        let now = self.clock.now();
        (now >= self.config.limits.clock_not_before).then_some(now)
    }
}
