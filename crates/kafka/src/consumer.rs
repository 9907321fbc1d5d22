//! The consumer: records in batches from an own thread, offsets committed when the caller says so.
//!
//! librdkafka must be polled regularly or the group expels the member, and it runs rebalance callbacks
//! inside `poll`. So one thread per consumer polls, and hands batches over a bounded channel. When the
//! channel stays full the thread pauses the partitions and goes on polling: a slow caller is
//! back-pressure, not a lost membership.
//!
//! Offsets are committed in the background once a second, before partitions are given back, and at the end. What
//! is committed may lag behind what is done; after a crash records come again, and every output is repeatable.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::assignment::{Assignment, ConsumerEvent, Held, Offsets, Resume, Revocations, pause};
use crate::lags::Lags;
use crate::poll::Poller;
use crate::reach::{Inner, create, member, partitions, watermarks};
use crate::record::Partition;
use crate::scan::{Start, span};
use crate::{KafkaConfig, KafkaError, Progress};

/// Batches that may wait for the caller.
const BATCHES_MAX: usize = 4;

/// A consumer of one group, or a reader of whole topics.
pub struct Consumer {
    events: mpsc::Receiver<ConsumerEvent>,
    /// None when the consumer is leaving.
    inner: Option<Arc<Inner>>,
    done: Arc<Mutex<Offsets>>,
    held: Arc<Held>,
    /// Whether the last event was a revocation, which the caller has not finished yet.
    finishing: bool,
    revocations: Arc<Revocations>,
    name: Arc<str>,
    progress: Progress,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Consumer {
    /// Joins a group that shares the topics among its members.
    ///
    /// # Errors
    /// If the settings are wrong.
    pub fn group(
        config: &KafkaConfig,
        group: &str,
        topics: &[&str],
        progress: Progress,
    ) -> Result<Self, KafkaError> {
        let inner = member(config, group, Vec::new())?;
        progress.register(group, topics.iter().copied());
        inner.subscribe(topics)?;
        Self::start(inner, group, progress, true)
    }

    /// Joins a group of which one member at a time reads these topics whole: the one that is given the only
    /// partition of `lease`, a topic that nobody in the group reads. The others stand by, with nothing assigned.
    /// The group's coordinator refuses the commits of a member that it has replaced.
    ///
    /// # Errors
    /// If the settings are wrong.
    pub fn leader(
        config: &KafkaConfig,
        group: &str,
        lease: &str,
        topics: &[&str],
        progress: Progress,
    ) -> Result<Self, KafkaError> {
        let inner = member(config, group, topics.iter().map(|&topic| topic.to_owned()).collect())?;
        progress.register(group, topics.iter().copied());
        inner.subscribe(&[lease])?;
        Self::start(inner, group, progress, true)
    }

    /// How many partitions a topic has, asked from the broker. Blocks.
    ///
    /// # Errors
    /// If the brokers do not answer or the topic does not exist.
    pub fn partitions(config: &KafkaConfig, topic: &str) -> Result<usize, KafkaError> {
        Ok(partitions(&create(config, "weir-ends")?, config, topic)?.len())
    }

    /// Reads whole topics from their beginning, alone and without committing anything.
    ///
    /// # Errors
    /// If the settings are wrong, the brokers do not answer or a topic does not exist.
    pub fn reader(
        config: &KafkaConfig,
        name: &str,
        topics: &[&str],
        progress: Progress,
    ) -> Result<Self, KafkaError> {
        Self::reader_from(config, name, &from(topics, Start::Beginning), progress)
    }

    /// Reads whole topics, each from where it says, alone and without committing anything. What is written after
    /// this has returned is read.
    ///
    /// # Errors
    /// If the settings are wrong, the brokers do not answer or a topic does not exist.
    pub fn reader_from(
        config: &KafkaConfig,
        name: &str,
        topics: &[(&str, Start)],
        progress: Progress,
    ) -> Result<Self, KafkaError> {
        let inner = create(config, name)?;
        let mut assignment = TopicPartitionList::new();
        for &(topic, start) in topics {
            for partition in partitions(&inner, config, topic)? {
                let offset = match start {
                    Start::Beginning => Offset::Beginning,
                    _ => Offset::Offset(span(&inner, config, topic, partition, start)?.0),
                };
                assignment.add_partition_offset(topic, partition, offset)?;
            }
        }
        progress.register(name, topics.iter().map(|&(topic, _)| topic));
        for entry in assignment.elements() {
            let offset = match entry.offset() {
                Offset::Offset(offset) => offset,
                _ => 0,
            };
            progress.assigned(name, entry.topic(), entry.partition(), offset);
        }
        inner.assign(&assignment)?;
        progress.ready(name);
        Self::start(inner, name, progress, false)
    }

    fn start(
        inner: Inner,
        name: &str,
        progress: Progress,
        commits: bool,
    ) -> Result<Self, KafkaError> {
        let (sender, events) = mpsc::channel(BATCHES_MAX);
        let inner = Arc::new(inner);
        let done = Arc::new(Mutex::new(Offsets::new()));
        let to_commit = commits.then(|| Arc::clone(&done));
        let (held, revocations) = (Arc::new(Held::default()), Arc::new(Revocations::default()));
        let (client, shared) = (Arc::clone(&inner), (Arc::clone(&held), Arc::clone(&revocations)));
        let poller = Poller::new(client, sender, to_commit, shared.0, shared.1);
        let thread = std::thread::Builder::new()
            .name(format!("kafka-{name}"))
            .spawn(move || poller.run())
            .map_err(KafkaError::Thread)?;
        let inner = Some(inner);
        let (name, thread) = (name.into(), Some(thread));
        Ok(Self {
            events,
            inner,
            done,
            held,
            finishing: false,
            revocations,
            name,
            progress,
            thread,
        })
    }

    /// The next event; none after [`ConsumerEvent::Failed`].
    ///
    /// Who asks for the event behind [`Assignment::Revoked`] says that everything before it is finished, and marked
    /// as [done](Self::done): only then the partitions go to their next owner.
    pub async fn next(&mut self) -> Option<ConsumerEvent> {
        if std::mem::take(&mut self.finishing) {
            self.revocations.finish();
        }
        let event = self.events.recv().await;
        self.finishing = matches!(event, Some(ConsumerEvent::Assignment(Assignment::Revoked(_))));
        if let Some(ConsumerEvent::Assignment(Assignment::Revoked(revoked))) = &event {
            for Partition { topic, partition } in revoked {
                self.progress.revoked(&self.name, topic, *partition);
            }
        }
        if let Some(ConsumerEvent::Assignment(Assignment::Assigned(assigned))) = &event {
            for (Partition { topic, partition }, resume) in assigned {
                // librdkafka keeps a pause across rebalances; who reads anew has paused nothing.
                self.set_paused(topic, *partition, false);
                let offset = resume.as_ref().map_or(0, |resume| resume.offset);
                self.progress.assigned(&self.name, topic, *partition, offset);
            }
            self.progress.ready(&self.name);
        }
        event
    }

    /// Whether partitions are asked back, or are gone already, and there is still something of them to be finished. What takes
    /// long should then be left to their next owner: what is not [done](Self::done) comes to it.
    pub fn is_asked_back(&self) -> bool {
        self.revocations.is_open()
    }

    /// Notes that everything that follows from the records before `next` has been delivered, and that a
    /// restart may begin at `resume`; none leaves what is committed.
    pub fn done(&self, topic: &Arc<str>, partition: i32, next: i64, resume: Option<Resume>) {
        if let Some(resume) = resume {
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            done.insert((Arc::clone(topic), partition), resume);
        }
        self.progress.done(&self.name, topic, partition, next);
    }

    /// Stops or resumes fetching one partition.
    pub fn set_paused(&self, topic: &str, partition: i32, paused: bool) {
        self.held.set(topic, partition, paused);
        if let Some(inner) = &self.inner {
            pause(inner, topic, partition, paused);
        }
    }

    /// The offset after the last record of each partition of a topic, asked from the broker; 0 if it holds
    /// none. Blocks.
    ///
    /// # Errors
    /// If the brokers do not answer or the topic does not exist.
    pub fn ends(config: &KafkaConfig, topic: &str) -> Result<Vec<(i32, i64)>, KafkaError> {
        let inner = create(config, "weir-ends")?;
        let end = |partition| {
            let (low, high) = watermarks(&inner, config, topic, partition)?;
            // Everything that was there may have been deleted: then there is nothing to wait for.
            Ok((partition, if low == high { 0 } else { high }))
        };
        partitions(&inner, config, topic)?.into_iter().map(end).collect()
    }

    /// How many records of a topic a group has not committed; none if it has committed nothing. Blocks.
    ///
    /// # Errors
    /// If the brokers do not answer, or the topic does not exist, or the group is forbidden.
    pub fn lag(config: &KafkaConfig, group: &str, topic: &str) -> Result<Option<i64>, KafkaError> {
        Ok(Lags::new(config).of(group, topic)?.lag)
    }

    /// Leaves: commits what is done and waits until the group knows. Of a member with a name the group hears nothing: it
    /// may come back within its session.
    pub async fn close(mut self) {
        let Some(leaving) = self.leave() else { return };
        self.progress.left(&self.name);
        if tokio::task::spawn_blocking(leaving).await.is_err() {
            tracing::warn!(reader = &*self.name, "consumer thread panicked");
        }
    }

    /// What remains to be done, and blocks: librdkafka leaves the group when the client is destroyed.
    fn leave(&mut self) -> Option<impl FnOnce() + Send + use<>> {
        let thread = self.thread.take()?;
        self.events.close();
        let inner = self.inner.take();
        Some(move || {
            if thread.join().is_err() {
                tracing::warn!("consumer thread panicked");
            }
            drop(inner);
        })
    }
}

/// All of these topics from the same start.
fn from<'a>(topics: &[&'a str], start: Start) -> Vec<(&'a str, Start)> {
    topics.iter().map(|&topic| (topic, start)).collect()
}

impl Drop for Consumer {
    /// A consumer that is dropped leaves too, on a thread of its own.
    fn drop(&mut self) {
        if let Some(leaving) = self.leave() {
            self.progress.failed(&self.name);
            std::thread::spawn(leaving);
        }
    }
}
