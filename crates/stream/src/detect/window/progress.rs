//! How far each partition has come in event time, and the slowest of them.
//!
//! Only the rule [`super::Closing::EveryPartition`] asks. Nothing of this is committed: see "Restart" at
//! the head of the parent module.

use std::collections::BTreeMap;

use weir_events::EventTime;

/// The partitions assigned, and those of which rows came without that.
#[derive(Debug, Default)]
pub(super) struct Partitions(BTreeMap<i32, Partition>);

#[derive(Debug, Default)]
struct Partition {
    /// The largest event time of its rows.
    progress: Option<EventTime>,
    is_idle: bool,
}

/// The smallest progress over all partitions that are not idle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slowest {
    /// One of them has none: nothing is known of it yet.
    Unknown,
    /// This.
    At(EventTime),
    /// All are idle.
    None,
}

impl Partitions {
    pub(super) fn assign(&mut self, partition: i32) {
        self.0.entry(partition).or_default();
    }

    pub(super) fn set_idle(&mut self, partition: i32, is_idle: bool) {
        self.0.entry(partition).or_default().is_idle = is_idle;
    }

    /// Takes the time of a partition's next row, and gives its progress before that row. A partition
    /// that gives rows is not idle.
    pub(super) fn advance(&mut self, partition: i32, time: EventTime) -> Option<EventTime> {
        let partition = self.0.entry(partition).or_default();
        partition.is_idle = false;
        let before = partition.progress;
        partition.progress = before.max(Some(time));
        before
    }

    /// The progress of a partition that is not idle.
    pub(super) fn progress(&self, partition: i32) -> Option<EventTime> {
        self.0.get(&partition).filter(|partition| !partition.is_idle)?.progress
    }

    pub(super) fn slowest(&self) -> Slowest {
        let awaited = self.0.values().filter(|partition| !partition.is_idle);
        // No progress is less than any.
        match awaited.map(|partition| partition.progress).min() {
            Some(Some(progress)) => Slowest::At(progress),
            Some(None) => Slowest::Unknown,
            None => Slowest::None,
        }
    }
}
