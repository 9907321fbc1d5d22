//! Which partitions are idle: those that a detector which waits for all of them need not wait for.
//!
//! A partition is idle while it has been, for `after` without interruption,
//!
//! - caught up: what was handled reaches the end of the topic;
//! - not paused, by whatever holds reading back;
//! - silent: no record of it was handled.
//!
//! So silence that is the reader's own doing never counts, and begins anew when it ends. Every partition
//! begins as neither caught up nor idle.
//!
//! Time is an argument: how long ago some instant of the caller's choice was. It must not fall.

use std::collections::BTreeMap;
use std::time::Duration;

/// Watches the partitions of one topic.
#[derive(Clone, Debug)]
pub struct IdleWatch {
    /// How long a silence must last; none if no partition is ever idle.
    after: Option<Duration>,
    partitions: BTreeMap<i32, Partition>,
}

#[derive(Clone, Default, Debug)]
struct Partition {
    is_caught_up: bool,
    is_paused: bool,
    /// Since when all that is asked for holds without interruption.
    quiet_since: Option<Duration>,
    /// What [`IdleWatch::changes`] said last.
    is_idle: bool,
    /// Whether the silence has been interrupted since then.
    is_interrupted: bool,
}

impl Partition {
    /// Ends a silence; another begins at once, if silence counts.
    fn interrupt(&mut self, now: Duration) {
        self.is_interrupted = true;
        self.quiet_since = (self.is_caught_up && !self.is_paused).then_some(now);
    }
}

impl IdleWatch {
    /// A watch that calls a partition idle after a silence of this time; never, without a time or if it
    /// is zero.
    pub fn new(after: Option<Duration>) -> Self {
        let after = after.filter(|after| !after.is_zero());
        Self { after, partitions: BTreeMap::new() }
    }

    /// A record of the partition was handled.
    pub fn record(&mut self, partition: i32, now: Duration) {
        self.partitions.entry(partition).or_default().interrupt(now);
    }

    /// Whether all records are handled that the partition had when this was asked.
    pub fn caught_up(&mut self, partition: i32, is_caught_up: bool, now: Duration) {
        let partition = self.partitions.entry(partition).or_default();
        if partition.is_caught_up != is_caught_up {
            partition.is_caught_up = is_caught_up;
            partition.interrupt(now);
        }
    }

    /// Whether reading the partition is paused or held back.
    pub fn paused(&mut self, partition: i32, is_paused: bool, now: Duration) {
        let partition = self.partitions.entry(partition).or_default();
        if partition.is_paused != is_paused {
            partition.is_paused = is_paused;
            partition.interrupt(now);
        }
    }

    /// The partitions that have ceased to be idle (false), then those that have become it (true), since
    /// the last call, to be told in this order: or for a moment all might seem idle. A partition that
    /// was interrupted and is silent again comes in both.
    pub fn changes(&mut self, now: Duration) -> Vec<(i32, bool)> {
        let mut changes = Vec::new();
        for (&number, partition) in &mut self.partitions {
            if std::mem::take(&mut partition.is_interrupted) && partition.is_idle {
                partition.is_idle = false;
                changes.push((number, false));
            }
        }
        let Some(after) = self.after else { return changes };
        for (&number, partition) in &mut self.partitions {
            let silence = partition.quiet_since.map(|since| now.saturating_sub(since));
            if !partition.is_idle && silence >= Some(after) {
                partition.is_idle = true;
                changes.push((number, true));
            }
        }
        changes
    }
}
