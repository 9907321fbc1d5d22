//! Reads the topics, and keeps the picture of them that is shown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use weir_events::{EventTime, Schema, TopicNames, headers};
use weir_kafka::{Consumer, ConsumerEvent, KafkaError, Lag, Lags, Progress, Record, Start};
use weir_registry::{Log, Trust};
use weir_service::{Clock, Shutdown};
use weir_view::{Change, Picture, Rates, Seen};

use crate::config::{HostConfig, Role};

/// Events in the picture, at least.
const NEWEST: usize = 1_000;
/// Records of other topics that are looked at, of each partition.
const HISTORY: u32 = 1_000;
/// How often brokers are asked how far everybody is.
const LOOK: Duration = Duration::from_secs(3);
/// Events that wait for a listener before it has missed some.
const WAITING_MAX: usize = 256;

/// A record as the picture takes it.
pub fn seen(record: &Record) -> Seen<'_> {
    Seen {
        topic: &record.topic,
        key: record.key_text(),
        payload: record.payload.as_deref(),
        id: record.header(headers::ID),
        reason: record.header(headers::REASON),
        detail: record.header(headers::DETAIL),
        source: record.header(headers::SOURCE),
        written_at: record.timestamp,
    }
}

/// How far a role is in a topic that it reads.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Stage {
    pub(super) role: &'static str,
    pub(super) topic: String,
    /// Records that the group has not committed; none if it has committed nothing.
    pub(super) lag: Option<i64>,
    /// Records that were written in a second, over the last minute.
    pub(super) rate: Option<f64>,
}

/// What is shown.
pub(super) struct View {
    pub(super) picture: Picture,
    pub(super) stages: Vec<Stage>,
    /// Why nothing new comes; none if all is well.
    pub(super) trouble: Option<String>,
    /// Records that could not be read.
    pub(super) unreadable: u64,
    /// Since when records are counted.
    pub(super) since: EventTime,
}

/// Something that happened, for whoever listens.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) name: &'static str,
    pub(super) data: Arc<str>,
}

/// The picture, and who keeps it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Inner>);

struct Inner {
    config: Arc<HostConfig>,
    schema: Arc<Schema>,
    trust: Arc<Trust>,
    clock: Arc<dyn Clock>,
    view: Mutex<View>,
    /// Counts changes of the view.
    changes: AtomicU64,
    events: broadcast::Sender<Event>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// Nothing is read yet.
    ///
    /// # Errors
    /// If a public key cannot be read.
    pub(crate) fn new(
        config: Arc<HostConfig>,
        schema: Arc<Schema>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let trust = Arc::new(config.trust()?);
        let view = View {
            picture: empty(&config, &schema, &trust),
            stages: Vec::new(),
            trouble: Some("waiting for Kafka and its topics (weir topics create)".to_owned()),
            unreadable: 0,
            since: clock.now(),
        };
        Ok(Self(Arc::new(Inner {
            config,
            schema,
            trust,
            clock,
            view: Mutex::new(view),
            changes: AtomicU64::new(0),
            events: broadcast::Sender::new(WAITING_MAX),
        })))
    }

    /// The view as it is now. It must not be held while something is waited for.
    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        // A panic while it is changed leaves a view that is behind by one record.
        self.0.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that changes with the view.
    pub(super) fn number(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }

    /// Everything that happens from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// How many listen.
    pub(super) fn listeners(&self) -> usize {
        self.0.events.receiver_count()
    }

    /// That something stands in the way of reading; none when it does not any more.
    pub(crate) fn trouble(&self, trouble: Option<String>) {
        let mut view = self.view();
        if view.trouble == trouble {
            return;
        }
        view.trouble = trouble;
        drop(view);
        self.changed("state", || json!({}));
    }

    /// Reads until shutdown, from a new picture on.
    ///
    /// # Errors
    /// If Kafka cannot be reached, or a topic is missing.
    pub(crate) async fn run(&self, shutdown: &Shutdown) -> anyhow::Result<()> {
        let watched = self.follow(shutdown).await;
        if let Err(error) = &watched {
            self.trouble(Some(format!("{error:#}")));
        }
        watched
    }

    async fn follow(&self, shutdown: &Shutdown) -> anyhow::Result<()> {
        let (kafka, topics) = (self.0.config.kafka(), self.0.config.topics.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let letters = topics.dead_letters();
            let history = [&topics.unjoined, &topics.window, &topics.trigger];
            let history = history.into_iter().chain(&letters);
            let mut from: Vec<_> =
                history.map(|topic| (topic.as_str(), Start::Newest(HISTORY))).collect();
            from.push((&*topics.joined, Start::Newest(2 * HISTORY)));
            from.push((&*topics.models, Start::Beginning));
            Consumer::reader_from(&kafka, "weir-page", &from, Progress::default())
        });
        let mut reader = opened.await.context("wait for Kafka")??;
        {
            let mut view = self.view();
            view.picture = empty(&self.0.config, &self.0.schema, &self.0.trust);
            (view.unreadable, view.since, view.trouble) = (0, self.0.clock.now(), None);
        }
        self.changed("state", || json!({}));
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut measuring = Some(Measuring::new(&self.0.config));
        let mut measured = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = looks.tick() => {
                    if let Some(mut asked) = measuring.take() {
                        measured.spawn_blocking(move || {
                            let stages = asked.look();
                            (asked, stages)
                        });
                    }
                }
                Some(done) = measured.join_next() => {
                    let (asked, stages) = done.context("measure how far everybody is")?;
                    measuring = Some(asked);
                    self.measured(stages);
                }
                event = reader.next() => match event {
                    Some(ConsumerEvent::Records(records)) => records.iter().for_each(|record| self.take(record)),
                    Some(ConsumerEvent::Assignment(_)) => {}
                    Some(ConsumerEvent::Failed(reason)) => bail!("read from Kafka: {reason}"),
                    None => bail!("read from Kafka: the reader has ended"),
                },
            }
        }
    }

    fn measured(&self, stages: Result<Vec<Stage>, String>) {
        let (stages, trouble) = match stages {
            Ok(stages) => (Some(stages), None),
            Err(error) => (None, Some(error)),
        };
        let mut view = self.view();
        let same =
            view.trouble == trouble && stages.as_ref().is_none_or(|stages| *stages == view.stages);
        view.trouble = trouble;
        view.stages = stages.unwrap_or_else(|| std::mem::take(&mut view.stages));
        drop(view);
        if !same {
            self.changed("state", || json!({}));
        }
    }

    fn take(&self, record: &Record) {
        let mut view = self.view();
        let change = view.picture.apply(&seen(record));
        let change = change.unwrap_or_else(|error| {
            view.unreadable += 1;
            tracing::debug!(topic = &*record.topic, %error, "record is not shown");
            Change::Nothing
        });
        let newest = match &change {
            Change::Joined(_) if self.listeners() > 0 => {
                view.picture.results().predictions.last().cloned()
            }
            _ => None,
        };
        drop(view);
        match change {
            Change::Nothing | Change::Predicted(..) => {}
            Change::Joined(error) => self.changed("joined", || {
                newest.map_or_else(
                    || json!({"Error": error}),
                    |event| {
                        json!({
                            "Key": event.id, "Level": event.level, "Predicted": event.predicted,
                            "Actual": event.actual, "Error": event.error, "ModelVersion": event.version,
                            "Timestamp": event.joined_at,
                        })
                    },
                )
            }),
            Change::Unjoined(reason) => {
                self.changed("unjoined", || json!({"Reason": reason.as_str()}));
            }
            Change::Window(window) => self.changed("window", || super::status::window(&window)),
            Change::Triggered(trigger) => {
                self.changed("trigger", || super::status::trigger(&trigger));
            }
            Change::Version(accepted) => {
                let manifest = &accepted.manifest;
                self.changed("version", || {
                    json!({
                        "ModelVersion": manifest.version, "ModelDigest": manifest.digest,
                        "Stage": manifest.stage.as_str(), "Cause": manifest.cause,
                    })
                });
            }
            Change::DeadLetter => self.changed("dead-letter", || {
                let reason = record.header(headers::REASON).unwrap_or("unknown");
                json!({"Topic": &*record.topic, "Reason": reason})
            }),
        }
    }

    /// Counts a change, and tells whoever listens; `data` is made only if somebody does.
    fn changed(&self, name: &'static str, data: impl FnOnce() -> Value) {
        self.0.changes.fetch_add(1, Ordering::AcqRel);
        if self.0.events.receiver_count() > 0 {
            let event = Event { name, data: data().to_string().into() };
            // Who has stopped to listen meanwhile misses nothing.
            drop(self.0.events.send(event));
        }
    }
}

fn empty(config: &HostConfig, schema: &Arc<Schema>, trust: &Arc<Trust>) -> Picture {
    let log = Log::new(&config.train.model, Arc::clone(trust));
    Picture::newest(NEWEST, Arc::clone(schema), config.topics.clone(), log)
}

/// Asks the brokers how far every role is.
struct Measuring {
    lags: Lags,
    rates: Rates,
    reads: Vec<(Role, String, String)>,
    began: Instant,
}

impl Measuring {
    fn new(config: &HostConfig) -> Self {
        let TopicNames { measurement, target, prediction, joined, trigger, request, .. } =
            &config.topics;
        let reads = [
            (Role::Predict, measurement),
            (Role::Join, prediction),
            (Role::Join, target),
            (Role::Sink, joined),
            (Role::Drift, joined),
            (Role::Train, trigger),
            (Role::Train, request),
        ];
        let reads = reads.map(|(role, topic)| (role, config.group(role.name()), topic.clone()));
        Self {
            lags: Lags::new(&config.kafka()),
            rates: Rates::default(),
            reads: reads.into(),
            began: Instant::now(),
        }
    }

    /// Blocks.
    fn look(&mut self) -> Result<Vec<Stage>, String> {
        let mut stages = Vec::with_capacity(self.reads.len());
        for (role, group, topic) in &self.reads {
            let (lag, rate) = match self.lags.of(group, topic) {
                Ok(Lag { lag, written }) => {
                    self.rates.sample(topic, self.began.elapsed(), written.unsigned_abs());
                    (lag, self.rates.per_second(topic))
                }
                // What this user may not see is not shown; the rest is.
                Err(KafkaError::GroupForbidden(_) | KafkaError::TopicForbidden(_)) => (None, None),
                Err(error) => return Err(error.to_string()),
            };
            stages.push(Stage { role: role.name(), topic: topic.clone(), lag, rate });
        }
        Ok(stages)
    }
}
