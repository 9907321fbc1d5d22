//! The agent at work: composes sampler, gate, backlog and link, and owns all waiting.
//!
//! One task drives everything. It ends when the sampler has no more and everything taken is confirmed, or, after a
//! shutdown, when everything taken is confirmed or the grace period is over; what is not confirmed then is in the spool,
//! and the next run sends it. A lost connection, a disk that is full or fails, and a message refused for a reason that may
//! pass never end the run: they hold it back.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use weir_mqtt::Connector;
use weir_service::traces::Tracer;
use weir_service::{ConfigError, EventClock, Shutdown, crash_point};
use weir_spool::{AppendError, Full, Synced};

use crate::backlog::{Backlog, NotTaken};
use crate::config::AgentConfig;
use crate::feed::feed;
use crate::gate::Gate;
use crate::link::{Link, until};
use crate::progress::{Counts, Progress};
use crate::sampler::{Event, SampleError, Sampler};
use crate::traced::Traced;

/// What a run is made of, beside its configuration.
#[derive(Debug)]
pub struct Parts<S, G> {
    /// Where events are kept.
    pub backlog: Backlog,
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
    /// Whether everything taken was confirmed.
    pub fn is_complete(&self) -> bool {
        self.counts.outstanding() == 0 && self.counts.dropped() == 0
    }
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A setting cannot be used, or the broker refuses this client from the start.
    #[error("run the agent")]
    Config(#[from] ConfigError),
    /// The sampler failed. What was taken before has been sent and confirmed.
    #[error(transparent)]
    Sample(#[from] SampleError),
}

/// How many events may be under way between the gate and the spool: so many go into one step.
const STEP_EVENTS: usize = 64;
/// How long a disk that is full or fails is left alone.
const DISK_PAUSE: Duration = Duration::from_millis(500);
/// How often a disk may fail at the end.
const COMMIT_TRIES: usize = 2;
/// How often it is written down what is confirmed.
const SAVE_PAUSE: Duration = Duration::from_secs(5);

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
    let Parts { backlog, sampler, gate, clock, progress, seed } = parts;
    let name = format!("{}/{}", config.line, config.device);
    let tracer = Tracer::new(&config.traces, "weir-agent", &name)?;
    let traced = Traced::new(tracer, &config.line, &config.device);
    let link = Link::new(config, connector, &backlog, traced, progress.clone(), seed);
    let mut work = Work::new(backlog, link, progress.clone());
    let (sender, mut events) = mpsc::channel(STEP_EVENTS);
    let bytes_max = config.limits.sample_bytes_max;
    let mut feed = pin!(feed(sampler, gate, clock, bytes_max, progress.clone(), sender));
    let mut fed: Option<Result<(), SampleError>> = None;
    let mut deadline: Option<Instant> = None;

    loop {
        work.step();
        let ending = fed.is_some() || deadline.is_some();
        if ending && events.is_empty() && work.is_done() {
            break;
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled(), if deadline.is_none() => {
                deadline = Some(Instant::now() + config.drain_grace);
            }
            () = until(deadline), if deadline.is_some() => break,
            synced = work.backlog.committed() => work.committed(synced),
            event = work.link.next() => work.link.apply(event, &mut work.backlog)?,
            Some(event) = events.recv(), if work.has_room() => {
                work.take(event);
                work.take_more(&mut events);
            }
            result = &mut feed, if fed.is_none() && deadline.is_none() => fed = Some(result),
            () = sleep_until(work.wake_at) => {}
        }
    }
    let counts = work.end(events, config.drain_grace).await;
    let finished = fed.is_some();
    fed.transpose()?;
    Ok(Report { counts, finished })
}

/// Backlog and link, and what is between them.
struct Work {
    backlog: Backlog,
    link: Link,
    progress: Progress,
    /// An event that found no room.
    held: Option<Event>,
    /// Whether the last event found none.
    blocked: bool,
    /// Events that were appended since the last commit began.
    fresh: bool,
    /// A disk that refused to write is left alone until then.
    disk_at: Instant,
    /// As well one that refused to read: a full disk still does, and that is what frees it.
    read_at: Instant,
    save_at: Instant,
    /// When there is something to do even if nothing happens.
    wake_at: Instant,
}

impl Work {
    fn new(backlog: Backlog, link: Link, progress: Progress) -> Self {
        let now = Instant::now();
        Self {
            backlog,
            link,
            progress,
            held: None,
            blocked: false,
            fresh: false,
            disk_at: now,
            read_at: now,
            save_at: now,
            wake_at: now,
        }
    }

    fn has_room(&self) -> bool {
        self.held.is_none()
    }

    fn is_done(&self) -> bool {
        let stored = self.held.is_none() && !self.fresh && !self.backlog.is_committing();
        stored && self.link.is_done()
    }

    fn take(&mut self, event: Event) {
        match self.backlog.append(event) {
            Ok(()) => {
                crash_point("agent-append");
                (self.fresh, self.blocked) = (true, false);
            }
            Err(NotTaken::Full(event, error)) => {
                // A full buffer is how a disk holds back that is slower than the sampler.
                if !self.blocked && !matches!(error, AppendError::Full(Full::Buffer)) {
                    tracing::warn!(error = &error as &dyn Error, "the sampler has to wait");
                    self.progress.update(|counts| counts.blocked += 1);
                    self.blocked = true;
                }
                self.held = Some(event);
            }
            Err(NotTaken::TooLarge) => self.progress.update(|counts| {
                counts.admitted -= 1;
                counts.oversize += 1;
            }),
        }
    }

    fn take_more(&mut self, events: &mut mpsc::Receiver<Event>) {
        while self.has_room()
            && let Ok(event) = events.try_recv()
        {
            self.take(event);
        }
    }

    /// Everything that can be done without waiting.
    fn step(&mut self) {
        let now = Instant::now();
        if let Some(event) = self.held.take() {
            self.take(event);
        }
        if now >= self.disk_at {
            self.commit();
        }
        if now >= self.read_at
            && let Err(error) = self.link.transmit(&mut self.backlog)
        {
            tracing::error!(error = &error as &dyn Error, "the spool cannot be read; trying again");
            self.read_at = now + DISK_PAUSE;
        }
        if now >= self.save_at {
            self.save_at = now + SAVE_PAUSE;
            crash_point("agent-save");
            if let Err(error) = self.backlog.save() {
                tracing::warn!(%error, "cannot write down what is confirmed; after a restart it is sent again");
            }
        }
        self.wake_at = self.save_at;
        if self.read_at > now {
            self.wake_at = self.wake_at.min(self.read_at);
        }
        if self.held.is_some() || self.fresh {
            self.wake_at = self.wake_at.min(self.disk_at.max(now + Duration::from_millis(1)));
        }
        self.count();
    }

    /// Begins to make durable what was taken.
    fn commit(&mut self) {
        if self.fresh && !self.backlog.is_committing() {
            match self.backlog.begin_commit() {
                Ok(()) => self.fresh = false,
                Err(error) => self.disk_refused(&error),
            }
        }
    }

    fn committed(&mut self, synced: std::io::Result<Synced>) {
        match self.backlog.end_commit(synced) {
            Ok(()) => self.link.stored(&self.backlog),
            Err(error) => {
                self.fresh = true;
                self.disk_refused(&error);
            }
        }
    }

    fn disk_refused(&mut self, error: &(dyn Error + 'static)) {
        tracing::error!(error, "the spool's disk refuses; trying again");
        self.disk_at = Instant::now() + DISK_PAUSE;
    }

    fn count(&self) {
        let (unconfirmed, connected) = (self.link.unconfirmed(), self.link.is_connected());
        self.progress.update(|counts| {
            self.backlog.count(counts);
            (counts.unconfirmed, counts.connected) = (unconfirmed, connected);
        });
    }

    /// Ends in order: what the sampler has yielded is on disk then, if the disk takes it.
    async fn end(mut self, mut events: mpsc::Receiver<Event>, grace: Duration) -> Counts {
        let mut failures = 0;
        // Each commit makes room for more of what the sampler has yielded.
        loop {
            if let Some(event) = self.held.take() {
                self.take(event);
            }
            self.take_more(&mut events);
            if failures < COMMIT_TRIES {
                self.commit();
            }
            if !self.backlog.is_committing() {
                break;
            }
            let synced = self.backlog.committed().await;
            failures += usize::from(synced.is_err());
            self.committed(synced);
        }
        let left = events.len() + usize::from(self.held.is_some());
        if left > 0 {
            tracing::warn!(
                events = left,
                "not taken, the spool has no room: only a source that can be read again has them"
            );
        }
        if let Err(error) = self.backlog.save() {
            tracing::warn!(%error, "cannot write down what is confirmed; after a restart it is sent again");
        }
        self.count();
        self.link.close(grace).await;
        self.progress.counts()
    }
}
