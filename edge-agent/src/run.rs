//! The agent at work: composes sampler, gate, outbox and publisher, and owns all waiting.
//!
//! One task drives everything. It ends when the sampler has no more and everything taken is acknowledged,
//! or, after a shutdown, when everything taken is acknowledged or the grace period is over. A lost
//! connection, or a message refused for a reason that may pass, is followed by a pause, a new client
//! and everything from the oldest unacknowledged record again; it never ends the run.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use weir_events::EventKind;
use weir_mqtt::{
    Backoff, Connector, LinkError, Message, Opening, PublishError, Publisher, PublisherEvent,
};
use weir_service::{ConfigError, EventClock, Shutdown};

use crate::config::AgentConfig;
use crate::feed::feed;
use crate::gate::Gate;
use crate::outbox::{Outbox, Settled};
use crate::progress::{Counts, Progress};
use crate::sampler::{SampleError, Sampler};

/// What a run is made of, beside its configuration.
#[derive(Debug)]
pub struct Parts<S, G> {
    /// Yields the events.
    pub sampler: S,
    /// Holds them back until they may go.
    pub gate: G,
    /// Moved to each event's time just before it is sent, for programs whose other services judge event
    /// times by it.
    pub clock: Option<EventClock>,
    /// Where to count.
    pub progress: Progress,
    /// Decides the jitter of the pauses between connections.
    pub seed: u64,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// The counts at the end.
    pub counts: Counts,
    /// Whether the sampler's last event was reached, rather than a shutdown.
    pub finished: bool,
}

impl Report {
    /// Whether everything taken was acknowledged.
    pub fn is_complete(&self) -> bool {
        self.counts.acked == self.counts.taken
    }
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A setting cannot be used, or the broker refuses this client from the start.
    #[error("run the agent")]
    Config(#[from] ConfigError),
    /// The sampler failed. What was taken before has been sent and acknowledged.
    #[error(transparent)]
    Sample(#[from] SampleError),
}

/// Runs an agent to its end.
///
/// # Errors
/// If a setting cannot be used, or the sampler fails.
pub async fn run<S: Sampler, G: Gate>(
    config: &AgentConfig,
    parts: Parts<S, G>,
    shutdown: Shutdown,
) -> Result<Report, AgentError> {
    config.check()?;
    let connector = Connector::new(&config.mqtt())?;
    let Parts { sampler, gate, clock, progress, seed } = parts;
    let mut link = Link::new(config, connector, progress.clone(), seed);
    // One event under way between gate and outbox, so that a full outbox holds the gate.
    let (sender, mut events) = mpsc::channel(1);
    let bytes_max = config.limits.sample_bytes_max;
    let mut feed = pin!(feed(sampler, gate, clock, bytes_max, progress.clone(), sender));
    let mut fed: Option<Result<(), SampleError>> = None;
    let mut deadline: Option<Instant> = None;

    loop {
        link.transmit();
        let drained = events.is_empty() && link.outbox.is_empty();
        if drained && (fed.is_some() || deadline.is_some()) {
            break;
        }
        tokio::select! {
            result = &mut feed, if fed.is_none() && deadline.is_none() => fed = Some(result),
            Some(event) = events.recv(), if !link.outbox.is_full() => {
                link.outbox.push(event).expect("asked for an event only while there was room");
            }
            event = link.next() => link.apply(event)?,
            () = shutdown.cancelled(), if deadline.is_none() => {
                deadline = Some(Instant::now() + config.drain_grace);
            }
            () = until(deadline), if deadline.is_some() => break,
        }
    }
    link.close(config.drain_grace).await;
    let finished = fed.is_some();
    fed.transpose()?;
    Ok(Report { counts: progress.counts(), finished })
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The outbox and the connection it is sent through, if there is one.
struct Link {
    connector: Connector,
    topics: [String; 2],
    outbox: Outbox,
    publisher: Option<Publisher>,
    retry_at: Instant,
    backoff: Backoff,
    progress: Progress,
}

impl Link {
    fn new(config: &AgentConfig, connector: Connector, progress: Progress, seed: u64) -> Self {
        let mqtt = connector.config();
        Self {
            topics: [config.topic(EventKind::Measurement), config.topic(EventKind::Target)],
            outbox: Outbox::new(config.limits.outbox_records),
            publisher: None,
            retry_at: Instant::now(),
            backoff: Backoff::new(mqtt.reconnect_min, mqtt.reconnect_max, seed),
            progress,
            connector,
        }
    }

    /// Hands over as much as the connection takes.
    fn transmit(&mut self) {
        while let Some(publisher) = &mut self.publisher
            && publisher.is_ready()
            && let Some(record) = self.outbox.next_unsent()
        {
            let seq = record.seq;
            let [measurement, target] = &self.topics;
            let topic = match record.event.kind {
                EventKind::Measurement => measurement,
                EventKind::Target => target,
            };
            let payload = record.event.payload.clone();
            match publisher.publish(seq, Message { topic, payload, properties: Vec::new() }) {
                Ok(()) => {
                    self.outbox.sent();
                    self.progress.update(|counts| counts.published += 1);
                }
                Err(error @ (PublishError::TooLarge { .. } | PublishError::TopicInvalid)) => {
                    tracing::error!(seq, topic, %error, "an event cannot be sent to this broker");
                    self.outbox.sent();
                    self.give_up(seq);
                }
                // The connection has just ended, and will say so.
                Err(PublishError::NotConnected | PublishError::WindowFull) => return,
            }
        }
    }

    /// The next event of the connection; connects if there is none. Cancel-safe.
    async fn next(&mut self) -> PublisherEvent {
        loop {
            if let Some(publisher) = &mut self.publisher {
                if let Some(event) = publisher.next().await {
                    return event;
                }
                self.publisher = None;
            }
            sleep_until(self.retry_at).await;
            self.publisher = Some(Publisher::connect(&self.connector, &Opening::default()));
        }
    }

    /// Notes what happened. Fails if the broker and this client do not accept each other and never have:
    /// then a setting is wrong. Later it may be the broker's that was changed, and is changed back.
    fn apply(&mut self, event: PublisherEvent) -> Result<(), ConfigError> {
        match event {
            PublisherEvent::Connected { window } => {
                tracing::info!(window, outstanding = self.outbox.len(), "connected to the broker");
                self.progress.update(|counts| counts.connections += 1);
            }
            PublisherEvent::Acked(seq) => {
                self.backoff.reset();
                let settled = self.outbox.done(seq);
                self.count(settled);
            }
            PublisherEvent::Heard(_) => {}
            PublisherEvent::Refused { seq, refusal } if refusal.is_permanent() => {
                tracing::error!(seq, error = %refusal, "the broker refused an event for good");
                self.give_up(seq);
            }
            PublisherEvent::Refused { seq, refusal } => {
                tracing::warn!(seq, error = %refusal, "the broker refused an event, sending it again");
                self.disconnect();
            }
            PublisherEvent::Lost(LinkError::Denied(denial))
                if self.progress.counts().connections == 0 =>
            {
                return Err(ConfigError::value(denial));
            }
            PublisherEvent::Lost(error) => {
                tracing::warn!(%error, outstanding = self.outbox.len(), "no connection to the broker");
                self.disconnect();
            }
        }
        Ok(())
    }

    fn give_up(&mut self, seq: u64) {
        let settled = self.outbox.give_up(seq);
        self.count(settled);
    }

    fn count(&self, Settled { acked, given_up }: Settled) {
        self.progress.update(|counts| {
            counts.acked += acked;
            counts.rejected += given_up;
        });
    }

    fn disconnect(&mut self) {
        self.publisher = None;
        self.outbox.lost();
        self.retry_at = Instant::now() + self.backoff.next_pause();
    }

    async fn close(self, grace: Duration) {
        if let Some(publisher) = self.publisher {
            publisher.close(grace).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use weir_events::EventTime;
    use weir_mqtt::Refusal;

    use crate::sampler::{Event, Position};

    /// A link that has taken and sent so many events.
    fn sent(events: u64) -> Link {
        let config = AgentConfig::embedded().expect("valid");
        let connector = Connector::new(&config.mqtt()).expect("valid");
        let mut link = Link::new(&config, connector, Progress::default(), 0);
        for _ in 0..events {
            let (kind, at) = (EventKind::Measurement, EventTime::EPOCH);
            link.progress.update(|counts| counts.taken += 1);
            link.outbox
                .push(Event { kind, payload: Bytes::new(), at, position: Position::default() })
                .expect("room");
        }
        resend(&mut link);
        link
    }

    fn resend(link: &mut Link) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(record) = link.outbox.next_unsent() {
            sent.push(record.seq);
            link.outbox.sent();
        }
        sent
    }

    fn apply(link: &mut Link, event: PublisherEvent) {
        link.apply(event).expect("the run goes on");
    }

    fn refuse(link: &mut Link, seq: u64) {
        apply(link, PublisherEvent::Refused { seq, refusal: Refusal::PayloadInvalid });
    }

    /// The broker answers the second event, with the first still open, and the connection breaks: twice.
    /// An event refused for good used to be sent again and counted each time, until more were settled
    /// than taken.
    #[test]
    fn an_event_behind_an_open_one_counts_once_however_often_the_connection_breaks() {
        let mut link = sent(3);
        for resent in [vec![0, 2], vec![0, 2]] {
            refuse(&mut link, 1);
            apply(&mut link, PublisherEvent::Acked(2));
            let counts = link.progress.counts();
            assert_eq!((counts.acked, counts.rejected, counts.outstanding()), (0, 1, 2));
            apply(&mut link, PublisherEvent::Lost(LinkError::Protocol("a test")));
            assert_eq!(resend(&mut link), resent);
        }
        apply(&mut link, PublisherEvent::Acked(2));
        apply(&mut link, PublisherEvent::Acked(0));
        let counts = link.progress.counts();
        assert_eq!((counts.acked, counts.rejected, counts.outstanding()), (2, 1, 0));
        assert!(link.outbox.is_empty());
    }

    /// What was acknowledged behind an event that is given up leaves with it.
    #[test]
    fn giving_up_the_oldest_settles_what_waited_behind_it() {
        let mut link = sent(2);
        apply(&mut link, PublisherEvent::Acked(1));
        refuse(&mut link, 0);
        let counts = link.progress.counts();
        assert_eq!((counts.acked, counts.rejected, counts.outstanding()), (1, 1, 0));
        assert!(link.outbox.is_empty());
    }
}
