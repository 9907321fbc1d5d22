//! What goes into a spool and comes out of it.

use bytes::Bytes;
use weir_events::{Epoch, GapReason};

/// Where a source stands: two numbers that mean something to the source alone, for example a file and an offset in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position {
    /// Which file, or whatever the source's parts are.
    pub file: u64,
    /// How far in it.
    pub offset: u64,
}

/// A record to be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// What kind of record it is: means something to the caller alone.
    pub kind: u8,
    /// Event time, in microseconds since 1970.
    pub at: i64,
    /// Where the source stands after this record.
    pub position: Position,
    /// The record.
    pub payload: &'a [u8],
}

/// A record as it was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The opening in which it was taken.
    pub epoch: Epoch,
    /// Its number.
    pub seq: u64,
    /// As in [`Entry`].
    pub kind: u8,
    /// Event time, in microseconds since 1970.
    pub at: i64,
    /// As in [`Entry`].
    pub payload: Bytes,
}

/// Numbers that were given and have no record any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The epoch of the records around it: that before it, at the front that after it.
    pub epoch: Epoch,
    /// The first number.
    pub first: u64,
    /// How many numbers: at least 1.
    pub count: u64,
    /// [`GapReason::Quota`] or [`GapReason::Damaged`].
    pub reason: GapReason,
}

/// What stands at a number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// The record of that number.
    Record(Record),
    /// No record from that number on, up to the gap's last.
    Gap(Gap),
}

impl Gap {
    /// The last number without a record.
    pub fn last(&self) -> u64 {
        self.first + (self.count - 1)
    }
}

impl Item {
    /// The number to read next.
    pub fn next(&self) -> u64 {
        match self {
            Self::Record(record) => record.seq + 1,
            Self::Gap(gap) => gap.last() + 1,
        }
    }
}

/// Consecutive numbers of one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The opening in which they were given.
    pub epoch: Epoch,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

/// Figures of a spool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Bytes of all segments, and of what waits in memory.
    pub bytes: u64,
    /// Durable records that are not released. A damaged one counts.
    pub records: u64,
    /// Records that were taken and are not durable yet.
    pub pending: u64,
    /// Files.
    pub segments: usize,
    /// Records dropped because of the quota or a full disk, ever, and never released.
    pub dropped: u64,
    /// Damaged records that reading met, ever: each once, as long as reading goes upwards.
    pub damaged: u64,
    /// Event time of the record at the floor, if it was read.
    pub oldest_at: Option<i64>,
}

/// What opening found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// Records held from the floor on. Only the newest segment was read in full: a record that is damaged in an older one
    /// counts, and is told when it is read.
    pub records: u64,
    /// Bytes at the end of the newest segment that were cut off: a write that was under way when the power failed.
    pub torn_bytes: u64,
    /// Numbers from the floor on that are known to have no record any more because of damage.
    pub damaged: u64,
    /// Distinct epochs among what is held.
    pub epochs: usize,
    /// There were segments, but no readable mark: what was released before may be read again.
    pub mark_lost: bool,
}
