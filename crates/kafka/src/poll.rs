//! The polling thread of a consumer.
//!
//! Invariant: the caller gets records and rebalances in the order in which librdkafka told them, and every
//! record exactly once. The queue holds one batch and the rebalances behind it; while the caller has no room
//! nothing is polled, and after a while everything is paused and polled for rebalances only.
//!
//! Partitions that the group asks back are given back when the caller has finished what it was handed, and after
//! its offsets are committed: the next owner begins where this one ended. A caller that takes long is not waited
//! for, since the whole group waits with us. Of partitions that are gone nothing is committed any more.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::assignment::{Assignment, ConsumerEvent, Held, Offsets, Resume, Revocations, pause};
use crate::config::ANSWER_TIMEOUT;
use crate::context::Rebalanced;
use crate::reach::Inner;
use crate::record::{Partition, Record};

/// Records in one batch.
const BATCH_MAX: usize = 500;
/// How long a poll waits for a first record; also how soon the thread sees that it shall end.
const POLL: Duration = Duration::from_millis(100);
/// How long the channel may be full before the partitions are paused.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a full channel is looked at, and a caller that is to finish.
const RETRY: Duration = Duration::from_millis(2);
/// How long the group waits for the caller to finish, when partitions are asked back.
const FINISH_MAX: Duration = Duration::from_secs(5);
/// How often offsets are committed.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Poller {
    consumer: Arc<Inner>,
    events: mpsc::Sender<ConsumerEvent>,
    to_commit: Option<Arc<Mutex<Offsets>>>,
    held: Arc<Held>,
    committed_at: Instant,
    /// What the last commit was of: it is tried again if the group did not take it.
    committing: Offsets,
    topic_names: Vec<Arc<str>>,
    /// What was polled and not handed over yet, in the order in which librdkafka told it.
    queue: VecDeque<ConsumerEvent>,
    /// The last event of the queue, while records are added to it.
    batch: Vec<Record>,
    /// Since when the caller has had no room.
    full_since: Option<Instant>,
    /// Whether all partitions are paused because the caller has had no room for long.
    holding: bool,
    revocations: Arc<Revocations>,
    /// Partitions that were revoked, until the caller has finished what it has of them.
    revoked: Option<Revoked>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Revoked {
    /// They are still this member's, since then.
    Asked(Instant),
    /// They may be another's already.
    Lost,
}

/// The caller is gone, or was told of a failure: the thread ends.
struct Closed;

impl Poller {
    pub(crate) fn new(
        consumer: Arc<Inner>,
        events: mpsc::Sender<ConsumerEvent>,
        to_commit: Option<Arc<Mutex<Offsets>>>,
        held: Arc<Held>,
        revocations: Arc<Revocations>,
    ) -> Self {
        Self {
            revocations,
            revoked: None,
            consumer,
            events,
            to_commit,
            held,
            committed_at: Instant::now(),
            committing: Offsets::new(),
            topic_names: Vec::new(),
            queue: VecDeque::new(),
            batch: Vec::new(),
            full_since: None,
            holding: false,
        }
    }

    pub(crate) fn run(mut self) {
        while !self.events.is_closed() {
            self.poll();
            if self.hand_over().is_err() {
                break;
            }
            self.give_back();
            if self.committed_at.elapsed() >= COMMIT_INTERVAL {
                self.commit(CommitMode::Async);
            }
        }
        self.commit(CommitMode::Sync);
        // From now on nobody asks the caller any more.
        self.consumer.context().leaving.store(true, Ordering::Release);
        if matches!(self.revoked, Some(Revoked::Asked(_))) {
            self.unassign();
        }
    }

    /// Gives partitions back as soon as the caller has finished with them.
    fn give_back(&mut self) {
        let is_finished = !self.revocations.is_open();
        match self.revoked {
            None => return,
            Some(Revoked::Asked(since)) => {
                let lost = self.consumer.assignment_lost();
                if is_finished && !lost {
                    self.commit(CommitMode::Sync);
                } else if lost || since.elapsed() >= FINISH_MAX {
                    self.revoked = Some(Revoked::Lost);
                } else {
                    return;
                }
                self.unassign();
            }
            Some(Revoked::Lost) => {}
        }
        if is_finished {
            self.committing.clear();
            if let Some(to_commit) = &self.to_commit {
                to_commit.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
            self.revoked = None;
        }
    }

    fn unassign(&self) {
        if let Err(error) = self.consumer.unassign() {
            tracing::warn!(%error, "partitions cannot be given back");
        }
    }

    /// Adds to the queue: one record as soon as there is one, and those that are there with it.
    fn poll(&mut self) {
        if self.full_since.is_some() && !self.holding {
            return;
        }
        let mut wait = if self.revoked.is_some() { RETRY } else { POLL };
        for _ in 0..BATCH_MAX {
            let polled = self.poll_one(wait);
            // A rebalance happens inside a poll, behind the records before it.
            while let Some(rebalanced) = self.consumer.context().take_rebalance() {
                self.end_batch();
                let event = self.assignment(rebalanced);
                self.queue.push_back(event);
            }
            if !polled || self.holding {
                break;
            }
            wait = Duration::ZERO;
        }
        self.end_batch();
    }

    /// Whether there was something.
    fn poll_one(&mut self, wait: Duration) -> bool {
        let consumer = Arc::clone(&self.consumer);
        match consumer.poll(wait) {
            None => return false,
            // Fetched before it was asked back: its next owner reads it.
            Some(Ok(_)) if self.is_asked_back() => {}
            Some(Ok(message)) => {
                let topic = self.topic_name(message.topic());
                let record = Record::from_message(&message, topic);
                if self.holding {
                    // Polled before the pause took effect, or resumed by the caller: pause it again.
                    self.set_paused(&record.topic, record.position.partition, true);
                }
                self.batch.push(record);
            }
            Some(Err(error)) if is_fatal(&error) => {
                self.end_batch();
                let reason = format!("{error}: {}", consumer.context().last_error.get());
                self.queue.push_back(ConsumerEvent::Failed(reason));
            }
            // librdkafka goes on by itself: its error callback has logged the trouble.
            Some(Err(error)) => tracing::debug!(%error, "poll reported an error"),
        }
        true
    }

    fn end_batch(&mut self) {
        if !self.batch.is_empty() {
            let records = std::mem::take(&mut self.batch);
            self.queue.push_back(ConsumerEvent::Records(records));
        }
    }

    fn assignment(&mut self, rebalanced: Rebalanced) -> ConsumerEvent {
        match rebalanced {
            // The caller is still at what was lost before: no mark of it may be committed under the present one.
            Rebalanced::Revoked(partitions) if self.revoked == Some(Revoked::Lost) => {
                self.unassign();
                self.revoke(Revoked::Lost, partitions)
            }
            Rebalanced::Revoked(partitions) => {
                // Nothing is fetched that would be thrown away.
                self.pause_all(true);
                self.revoke(Revoked::Asked(Instant::now()), partitions)
            }
            Rebalanced::Lost(partitions) => self.revoke(Revoked::Lost, partitions),
            Rebalanced::Failed(reason) => ConsumerEvent::Failed(reason),
            Rebalanced::Assigned(partitions) => {
                if self.holding {
                    self.pause_all(true);
                }
                match self.committed(partitions) {
                    Ok(assigned) => ConsumerEvent::Assignment(Assignment::Assigned(assigned)),
                    Err(error) => {
                        ConsumerEvent::Failed(format!("committed offsets cannot be read: {error}"))
                    }
                }
            }
        }
    }

    fn is_asked_back(&self) -> bool {
        matches!(self.revoked, Some(Revoked::Asked(_)))
    }

    fn revoke(&mut self, revoked: Revoked, partitions: Vec<Partition>) -> ConsumerEvent {
        self.revoked = Some(revoked);
        self.revocations.begin();
        ConsumerEvent::Assignment(Assignment::Revoked(partitions))
    }

    /// Hands over what the caller has room for. When it has had none for a while all partitions are
    /// paused, and polling goes on to keep the membership.
    fn hand_over(&mut self) -> Result<(), Closed> {
        while let Some(event) = self.queue.pop_front() {
            let failed = matches!(event, ConsumerEvent::Failed(_));
            match self.events.try_send(event) {
                Ok(()) if failed => return Err(Closed),
                Ok(()) => {}
                Err(TrySendError::Closed(_)) => return Err(Closed),
                Err(TrySendError::Full(event)) => {
                    self.queue.push_front(event);
                    self.wait_for_room();
                    return Ok(());
                }
            }
        }
        self.full_since = None;
        if self.holding {
            self.holding = false;
            if !self.is_asked_back() {
                self.pause_all(false);
            }
        }
        Ok(())
    }

    fn wait_for_room(&mut self) {
        let since = *self.full_since.get_or_insert_with(Instant::now);
        if !self.holding && since.elapsed() >= PATIENCE {
            self.holding = true;
            self.pause_all(true);
        }
        if !self.holding {
            std::thread::sleep(RETRY);
        }
    }

    /// Where the group committed to start again, for those partitions for which it did.
    fn committed(
        &self,
        partitions: Vec<Partition>,
    ) -> Result<Vec<(Partition, Option<Resume>)>, KafkaError> {
        let mut list = TopicPartitionList::new();
        for Partition { topic, partition } in &partitions {
            list.add_partition(topic, *partition);
        }
        let committed = self.consumer.committed_offsets(list, ANSWER_TIMEOUT)?;
        let resume = |Partition { topic, partition }: &Partition| {
            let found = committed.find_partition(topic, *partition)?;
            let Offset::Offset(offset) = found.offset() else { return None };
            Some(Resume { offset, metadata: found.metadata().to_owned() })
        };
        let with_resume = |partition| {
            let resume = resume(&partition);
            (partition, resume)
        };
        Ok(partitions.into_iter().map(with_resume).collect())
    }

    /// Pauses all partitions, or resumes those that the caller has not paused itself.
    fn pause_all(&self, paused: bool) {
        let assignment = match self.consumer.assignment() {
            Ok(assignment) => assignment,
            Err(error) => return tracing::warn!(%error, "the assignment cannot be read"),
        };
        for entry in assignment.elements() {
            let paused = paused || self.held.contains(entry.topic(), entry.partition());
            self.set_paused(entry.topic(), entry.partition(), paused);
        }
    }

    fn set_paused(&self, topic: &str, partition: i32, paused: bool) {
        pause(&self.consumer, topic, partition, paused);
    }

    fn commit(&mut self, mode: CommitMode) {
        self.committed_at = Instant::now();
        let Some(to_commit) = &self.to_commit else { return };
        if self.revoked == Some(Revoked::Lost) {
            return;
        }
        let mut offsets =
            std::mem::take(&mut *to_commit.lock().unwrap_or_else(PoisonError::into_inner));
        let before = std::mem::take(&mut self.committing);
        if self.consumer.context().uncommitted.swap(false, Ordering::AcqRel) {
            for (partition, resume) in before {
                offsets.entry(partition).or_insert(resume);
            }
        }
        let mut list = TopicPartitionList::new();
        for ((topic, partition), Resume { offset, metadata }) in &offsets {
            let mut entry = list.add_partition(topic, *partition);
            entry.set_metadata(metadata);
            if let Err(error) = entry.set_offset(Offset::Offset(*offset)) {
                let topic = &**topic;
                tracing::warn!(%error, topic, partition, offset, "offset cannot be committed");
            }
        }
        if list.count() == 0 {
            return;
        }
        if let Err(error) = self.consumer.commit(&list, mode) {
            // Harmless: the records come again after a restart, and repetitions are recognised.
            tracing::warn!(%error, "committing offsets failed");
            self.consumer.context().uncommitted.store(true, Ordering::Release);
        }
        self.committing = offsets;
    }

    fn topic_name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.topic_names.iter().find(|known| ***known == *name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        self.topic_names.push(Arc::clone(&new));
        new
    }
}

fn is_fatal(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::Fatal
                | Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
        )
    )
}
