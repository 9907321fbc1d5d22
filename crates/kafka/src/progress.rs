//! The ledger of one process: how far its topics were written, and how far each reader is done.
//!
//! Several services that run in one process share a ledger; with it the demo knows that an event has
//! had all its consequences. A reader must mark a record as done only after everything that follows
//! from it has been delivered. Then the ledger can never look settled while something is in flight: at
//! every moment the last consequence that was written is still not done somewhere.
//!
//! It is no part of the delivery guarantee. Services that run alone write a ledger nobody looks at.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

type Partitions = HashMap<i32, i64>;

#[derive(Default, Debug)]
struct Ledger {
    /// By topic and partition: the offset after the last delivered record.
    ends: HashMap<Arc<str>, Partitions>,
    /// By reader, topic and partition: the offset after the last record that is done.
    readers: HashMap<Arc<str>, HashMap<Arc<str>, Partitions>>,
    /// The readers that have their partitions.
    ready: HashSet<Arc<str>>,
    /// By reader and topic: the partitions that it has now. What is done stays in `readers` when they are gone.
    held: HashMap<Arc<str>, HashMap<Arc<str>, HashSet<i32>>>,
}

/// How far a reader is in a partition that it has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    /// The topic.
    pub topic: Arc<str>,
    /// The number of the partition.
    pub partition: i32,
    /// The offset after the last record that is done.
    pub next: i64,
}

impl Ledger {
    fn partitions(&mut self, reader: &str, topic: &str) -> Option<&mut Partitions> {
        self.readers.get_mut(reader)?.get_mut(topic)
    }
}

/// A shared ledger. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    ledger: Arc<Mutex<Ledger>>,
    changed: watch::Sender<()>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { ledger: Arc::default(), changed: watch::Sender::new(()) }
    }
}

impl Progress {
    /// Notes that a record lies at this place.
    pub fn produced(&self, topic: &str, partition: i32, offset: i64) {
        let mut ledger = self.lock();
        if !ledger.ends.contains_key(topic) {
            ledger.ends.insert(topic.into(), Partitions::new());
        }
        if let Some(partitions) = ledger.ends.get_mut(topic) {
            let end = partitions.entry(partition).or_default();
            *end = (*end).max(offset + 1);
        }
        self.notify(ledger);
    }

    /// Notes that a reader begins, or begins anew: from now on its topics count as unread.
    pub fn register<'a>(&self, reader: &str, topics: impl IntoIterator<Item = &'a str>) {
        let mut ledger = self.lock();
        let unread = topics.into_iter().map(|topic| (topic.into(), Partitions::new())).collect();
        ledger.readers.insert(reader.into(), unread);
        ledger.held.remove(reader);
        self.notify(ledger);
    }

    /// Notes that a reader was given a partition, and reads it from this offset on.
    pub fn assigned(&self, reader: &str, topic: &str, partition: i32, offset: i64) {
        let mut ledger = self.lock();
        if let Some(partitions) = ledger.partitions(reader, topic) {
            partitions.insert(partition, offset);
        }
        let topics = ledger.held.entry(reader.into()).or_default();
        topics.entry(topic.into()).or_default().insert(partition);
        self.notify(ledger);
    }

    /// Notes that a reader does not have a partition any more.
    pub fn revoked(&self, reader: &str, topic: &str, partition: i32) {
        let mut ledger = self.lock();
        let topics = ledger.held.get_mut(reader);
        if let Some(partitions) = topics.and_then(|topics| topics.get_mut(topic)) {
            partitions.remove(&partition);
        }
        self.notify(ledger);
    }

    /// How far a reader is in every partition that it has now.
    pub fn positions(&self, reader: &str) -> Vec<Position> {
        let ledger = self.lock();
        let (Some(held), Some(done)) = (ledger.held.get(reader), ledger.readers.get(reader)) else {
            return Vec::new();
        };
        let position = |topic: &Arc<str>, partition: i32| {
            let next = done.get(topic).and_then(|partitions| partitions.get(&partition));
            Position { topic: Arc::clone(topic), partition, next: next.copied().unwrap_or(0) }
        };
        let of = |(topic, partitions): (_, &HashSet<i32>)| {
            partitions.iter().map(|partition| position(topic, *partition)).collect::<Vec<_>>()
        };
        held.iter().flat_map(of).collect()
    }

    /// Notes that a reader has its partitions: what is produced from now on it reads at once.
    pub fn ready(&self, reader: &str) {
        let mut ledger = self.lock();
        ledger.ready.insert(reader.into());
        self.notify(ledger);
    }

    /// Notes that a reader has failed: what it has to do is not done until it is back.
    pub fn failed(&self, reader: &str) {
        let mut ledger = self.lock();
        ledger.ready.remove(reader);
        ledger.held.remove(reader);
        self.notify(ledger);
    }

    /// Notes that a reader has ended in order: nothing waits for it any more.
    pub fn left(&self, reader: &str) {
        let mut ledger = self.lock();
        ledger.ready.remove(reader);
        ledger.readers.remove(reader);
        ledger.held.remove(reader);
        self.notify(ledger);
    }

    /// Whether a reader has its partitions.
    pub fn is_ready(&self, reader: &str) -> bool {
        self.lock().ready.contains(reader)
    }

    /// Notes that a reader is done with everything before `next`.
    pub fn done(&self, reader: &str, topic: &str, partition: i32, next: i64) {
        let mut ledger = self.lock();
        if let Some(partitions) = ledger.partitions(reader, topic) {
            let done = partitions.entry(partition).or_default();
            *done = (*done).max(next);
        }
        self.notify(ledger);
    }

    /// How many records were delivered to a topic, by this process.
    pub fn count(&self, topic: &str) -> u64 {
        let ledger = self.lock();
        let ends = ledger.ends.get(topic).into_iter().flat_map(HashMap::values);
        ends.map(|&end| end.unsigned_abs()).sum()
    }

    /// The largest number of records that any reader still has to do in any one of its partitions.
    pub fn lag_max(&self) -> u64 {
        let ledger = self.lock();
        let mut lag_max = 0;
        for (topic, partitions) in ledger.readers.values().flatten() {
            for (partition, end) in ledger.ends.get(topic).into_iter().flatten() {
                let done = partitions.get(partition).copied().unwrap_or(0);
                lag_max = lag_max.max(u64::try_from(end - done).unwrap_or(0));
            }
        }
        lag_max
    }

    /// Whether every reader is there and done with everything that was delivered.
    pub fn is_settled(&self) -> bool {
        let all_ready = {
            let ledger = self.lock();
            ledger.readers.keys().all(|reader| ledger.ready.contains(reader))
        };
        all_ready && self.lag_max() == 0
    }

    /// Waits until the ledger satisfies a condition, looking again at every change.
    pub async fn wait_until(&self, condition: impl Fn(&Self) -> bool) {
        let mut changes = self.changed.subscribe();
        while !condition(self) {
            // The sender lives as long as self: an error cannot occur while we wait.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Wakes those who wait, for a change outside the ledger that their condition looks at.
    pub fn wake(&self) {
        self.changed.send_replace(());
    }

    fn notify(&self, ledger: MutexGuard<'_, Ledger>) {
        drop(ledger);
        self.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        // Every update is a single insertion: a panic elsewhere cannot leave it half done.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_settled_when_every_reader_is_done_with_everything() {
        let progress = Progress::default();
        progress.register("a", ["x", "y"]);
        progress.register("b", ["x"]);
        assert!(!progress.is_settled());
        progress.ready("a");
        progress.ready("b");
        assert!(progress.is_settled());
        progress.produced("x", 0, 0);
        progress.produced("x", 1, 4);
        assert_eq!((progress.lag_max(), progress.count("x")), (5, 6));
        progress.done("a", "x", 0, 1);
        progress.done("a", "x", 1, 5);
        assert!(!progress.is_settled());
        progress.done("b", "x", 1, 5);
        progress.done("b", "x", 0, 1);
        assert!(progress.is_settled());
        // Done never goes back, and a topic without reader does not count.
        progress.done("b", "x", 0, 0);
        progress.produced("z", 0, 9);
        assert!(progress.is_settled());
        // A reader that begins anew has to do again what it did not commit.
        progress.register("b", ["x"]);
        progress.assigned("b", "x", 0, 1);
        progress.assigned("b", "x", 1, 3);
        assert_eq!(progress.lag_max(), 2);
    }

    #[test]
    fn a_position_is_told_as_long_as_the_reader_has_the_partition() {
        let progress = Progress::default();
        progress.register("a", ["x"]);
        assert_eq!(progress.positions("a"), []);
        progress.assigned("a", "x", 0, 3);
        progress.done("a", "x", 0, 5);
        let position = Position { topic: "x".into(), partition: 0, next: 5 };
        assert_eq!(progress.positions("a"), [position]);
        progress.revoked("a", "x", 0);
        assert_eq!(progress.positions("a"), []);
        progress.assigned("a", "x", 0, 5);
        progress.failed("a");
        assert_eq!(progress.positions("a"), []);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_change() {
        let progress = Progress::default();
        progress.register("a", ["x"]);
        progress.ready("a");
        progress.produced("x", 0, 0);
        let waiting = tokio::spawn({
            let progress = progress.clone();
            async move { progress.wait_until(Progress::is_settled).await }
        });
        progress.done("a", "x", 0, 1);
        waiting.await.expect("ends");
    }
}
