//! What a consumer's thread and its owner tell each other: records, changes of the assignment, where to
//! start again, and which partitions rest.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;

use crate::reach::Inner;
use crate::record::{Partition, Record};

pub(crate) type Offsets = HashMap<(Arc<str>, i32), Resume>;

/// Where to start again after a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resume {
    /// The offset of the first record to read.
    pub offset: i64,
    /// What the reader wrote down with it; Kafka allows 4096 bytes.
    pub metadata: String,
}

impl From<i64> for Resume {
    fn from(offset: i64) -> Self {
        Self { offset, metadata: String::new() }
    }
}

/// A change of the partitions that this member of the group reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Assignment {
    /// These are now read, from where the group committed, or from the beginning.
    Assigned(Vec<(Partition, Option<Resume>)>),
    /// These are no longer read: what is known about them must be dropped.
    Revoked(Vec<Partition>),
}

/// What a consumer hands over, in order.
#[derive(Debug)]
pub enum ConsumerEvent {
    /// The assignment changed.
    Assignment(Assignment),
    /// Records, in order within each partition. Never empty.
    Records(Vec<Record>),
    /// The consumer cannot go on.
    Failed(String),
}

/// The partitions that the caller has paused.
#[derive(Default, Debug)]
pub(crate) struct Held(Mutex<HashSet<(Arc<str>, i32)>>);

impl Held {
    pub(crate) fn set(&self, topic: &str, partition: i32, paused: bool) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paused {
            held.insert((topic.into(), partition));
        } else {
            held.retain(|(held, number)| (&**held, *number) != (topic, partition));
        }
    }

    pub(crate) fn contains(&self, topic: &str, partition: i32) -> bool {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().any(|(held, number)| (&**held, *number) == (topic, partition))
    }
}

/// Stops or resumes fetching one partition.
pub(crate) fn pause(inner: &Inner, topic: &str, partition: i32, paused: bool) {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let result = if paused { inner.pause(&list) } else { inner.resume(&list) };
    if let Err(error) = result {
        // Only for a partition that was revoked meanwhile, which is not fetched anyway.
        tracing::debug!(%error, topic, partition, "pause or resume of a partition failed");
    }
}

/// Revocations that the polling thread has begun, and that the caller has finished.
#[derive(Default, Debug)]
pub(crate) struct Revocations {
    begun: AtomicU64,
    finished: AtomicU64,
}

impl Revocations {
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn finish(&self) {
        self.finished.fetch_add(1, Ordering::Release);
    }

    /// Whether the caller has something to finish.
    pub(crate) fn is_open(&self) -> bool {
        self.finished.load(Ordering::Acquire) != self.begun.load(Ordering::Acquire)
    }
}
