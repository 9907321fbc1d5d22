//! The spool as the agent uses it: events in, messages out, and exact counts of what became of them.
//!
//! Commits are grouped by themselves: while one is under way, on a thread of its own because a disk may take seconds, the
//! next events gather, and go with the next one. What cannot be sent at all keeps its place in the spool until
//! the gap in its place is confirmed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bytes::Bytes;
use tokio::task::JoinHandle;
use weir_events::{Epoch, EventKind, GapReason};
use weir_service::{Clock, SystemClock, crash_point};
use weir_spool::{
    AppendError, CommitError, Directory, Entry, Item, OpenError, Policy, Settings, Spool, Synced,
};

use crate::config::{SpoolConfig, WhenFull};
use crate::courier::Span;
use crate::progress::Counts;
use crate::sampler::{Event, Position};

/// What is sent for the next number, or numbers.
#[derive(Debug)]
pub(crate) enum Parcel {
    Event {
        kind: EventKind,
        payload: Bytes,
        /// When it was taken, in microseconds since 1970.
        taken_at: i64,
    },
    Gap {
        count: u64,
        reason: GapReason,
    },
}

/// The spool and what has become of its records.
#[derive(Debug)]
pub struct Backlog {
    spool: Spool<Directory>,
    epoch: Epoch,
    /// The first number of the present epoch.
    first: u64,
    durable: u64,
    syncing: Option<JoinHandle<io::Result<Synced>>>,
    /// Records that can never be sent, until their gap is confirmed.
    unsendable: BTreeMap<u64, GapReason>,
    /// First number, and how many, of damaged records that were met, until their gap is confirmed.
    damaged: BTreeMap<u64, u64>,
    /// Records that had been dropped before this run.
    dropped_before: u64,
    found: u64,
    taken: u64,
    acked: u64,
    given_up: [u64; GapReason::ALL.len()],
}

/// Why an event was not taken. It is handed back.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// There is no room: it may be offered again.
    Full(Event, AppendError),
    /// It never will be: it is larger than any record may be.
    TooLarge,
}

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("open the spool in {directory}")]
pub struct BacklogError {
    directory: String,
    #[source]
    source: OpenError,
}

/// The kinds of events on disk.
const MEASUREMENT: u8 = 0;
const TARGET: u8 = 1;

impl Backlog {
    /// Opens a spool. `epoch` are random bits: two openings that had the same would give the same ids to different events.
    ///
    /// # Errors
    /// If another process has it, or the disk refuses.
    pub fn open(
        directory: &Path,
        config: &SpoolConfig,
        record_bytes_max: usize,
        epoch: Epoch,
    ) -> Result<Self, BacklogError> {
        let settings = Settings {
            segment_bytes: config.segment_bytes,
            quota_bytes: config.quota_bytes,
            policy: config.when_full.into(),
            record_bytes_max: u32::try_from(record_bytes_max).unwrap_or(u32::MAX),
        };
        let opened = Directory::open(directory).and_then(|disk| Spool::open(disk, settings, epoch));
        let (spool, recovery) = opened.map_err(|source| BacklogError {
            directory: directory.display().to_string(),
            source,
        })?;
        let (found, first) = (spool.stats().records, spool.next_seq());
        let dropped_before = spool.stats().dropped;
        if found > 0 || recovery.damaged > 0 {
            tracing::info!(records = found, damaged = recovery.damaged, "found in the spool");
        }
        Ok(Self {
            durable: spool.durable(),
            spool,
            epoch,
            first,
            syncing: None,
            unsendable: BTreeMap::new(),
            damaged: BTreeMap::new(),
            dropped_before,
            found,
            taken: 0,
            acked: 0,
            given_up: [0; GapReason::ALL.len()],
        })
    }

    /// Where the source of the last event in the spool stood behind it.
    pub fn position(&self) -> Position {
        let position = self.spool.position();
        Position { source: position.file, offset: position.offset }
    }

    /// What is held, by epoch, for a courier.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let held = self.spool.spans().into_iter();
        held.map(|span| Span { epoch: span.epoch, first: span.first, last: span.last }).collect()
    }

    /// The present epoch, its first number and the last one that is durable.
    pub(crate) fn stored(&self) -> (Epoch, u64, u64) {
        (self.epoch, self.first, self.durable)
    }

    /// Takes an event. It counts as taken when the next commit has ended.
    pub(crate) fn append(&mut self, event: Event) -> Result<(), NotTaken> {
        let kind = match event.kind {
            EventKind::Measurement => MEASUREMENT,
            EventKind::Target => TARGET,
        };
        let Position { source, offset } = event.position;
        let position = weir_spool::Position { file: source, offset };
        let at = SystemClock.now().as_micros();
        match self.spool.append(&Entry { kind, at, position, payload: &event.payload }) {
            Ok(_) => Ok(()),
            Err(AppendError::TooLarge { .. }) => Err(NotTaken::TooLarge),
            Err(error) => Err(NotTaken::Full(event, error)),
        }
    }

    /// Whether a commit is under way.
    pub(crate) fn is_committing(&self) -> bool {
        self.syncing.is_some()
    }

    /// Starts a commit of everything that was appended since the last one, if there is any.
    ///
    /// # Errors
    /// If the disk refuses. What was appended waits for the next commit.
    pub(crate) fn begin_commit(&mut self) -> Result<(), CommitError> {
        if let Some(commit) = self.spool.begin_commit()? {
            crash_point("agent-commit-written");
            self.syncing = Some(tokio::task::spawn_blocking(move || commit.sync()));
        }
        Ok(())
    }

    /// Waits for the commit that is under way; for ever if there is none. Cancel-safe.
    pub(crate) async fn committed(&mut self) -> io::Result<Synced> {
        let Some(syncing) = &mut self.syncing else { return std::future::pending().await };
        let synced = syncing.await;
        self.syncing = None;
        synced.unwrap_or_else(|_| Err(io::Error::other("the thread that writes has panicked")))
    }

    /// Ends the commit with what [`Backlog::committed`] returned.
    ///
    /// # Errors
    /// If the disk refused. What was appended waits for the next commit.
    pub(crate) fn end_commit(&mut self, synced: io::Result<Synced>) -> Result<(), CommitError> {
        crash_point("agent-commit-synced");
        let durable = self.spool.finish_commit(synced)?;
        self.taken += durable.saturating_sub(self.durable);
        self.durable = self.durable.max(durable);
        Ok(())
    }

    /// What is to be sent for a number. `None` if it is not durable.
    pub(crate) fn parcel(&mut self, seq: u64) -> io::Result<Option<Parcel>> {
        if let Some(&reason) = self.unsendable.get(&seq) {
            return Ok(Some(Parcel::Gap { count: 1, reason }));
        }
        Ok(self.spool.read(seq)?.map(|item| match item {
            Item::Record(record) => {
                let target = record.kind == TARGET;
                let kind = if target { EventKind::Target } else { EventKind::Measurement };
                Parcel::Event { kind, payload: record.payload, taken_at: record.at }
            }
            Item::Gap(gap) => {
                if gap.reason == GapReason::Damaged {
                    self.note_damage(gap.first, gap.count);
                }
                Parcel::Gap { count: gap.count, reason: gap.reason }
            }
        }))
    }

    /// Each once, from wherever it is read.
    fn note_damage(&mut self, first: u64, count: u64) {
        let known = self.damaged.range(..=first).next_back();
        if known.is_none_or(|(known, many)| known + many <= first) {
            self.damaged.insert(first, count);
            self.given_up[GapReason::Damaged as usize] += count;
        }
    }

    /// A record can never be sent. False if that was known.
    pub(crate) fn give_up(&mut self, seq: u64, reason: GapReason) -> bool {
        let fresh = self.unsendable.insert(seq, reason).is_none();
        if fresh {
            self.given_up[reason as usize] += 1;
        }
        fresh
    }

    /// Everything up to this number is confirmed.
    pub(crate) fn release(&mut self, through: u64) -> io::Result<()> {
        let before = self.spool.stats().records;
        crash_point("agent-confirmed");
        let released = self.spool.release(through);
        crash_point("agent-released");
        let records = before - self.spool.stats().records;
        let open = self.unsendable.split_off(&(through + 1));
        let mut missing = std::mem::replace(&mut self.unsendable, open).len() as u64;
        while let Some(entry) = self.damaged.first_entry().filter(|entry| *entry.key() <= through) {
            let (first, count) = entry.remove_entry();
            let gone = count.min(through + 1 - first);
            missing += gone;
            if gone < count {
                self.damaged.insert(first + gone, count - gone);
            }
        }
        self.acked += records.saturating_sub(missing);
        released
    }

    /// Writes down how far all is confirmed, so that a restart need not send it again.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        self.spool.save_mark()
    }

    /// Writes the counts of this instant.
    pub(crate) fn count(&self, counts: &mut Counts) {
        let stats = self.spool.stats();
        counts.found = self.found;
        counts.taken = self.taken;
        counts.acked = self.acked;
        counts.dropped = self.given_up;
        counts.dropped[GapReason::Quota as usize] += stats.dropped - self.dropped_before;
        let missing = self.unsendable.len() as u64 + self.damaged.values().sum::<u64>();
        counts.held = stats.records.saturating_sub(missing);
        counts.spool_bytes = stats.bytes;
        counts.oldest_at = stats.oldest_at;
    }
}

impl From<WhenFull> for Policy {
    fn from(when_full: WhenFull) -> Self {
        match when_full {
            WhenFull::Block => Self::Block,
            WhenFull::DropOldest => Self::DropOldest,
        }
    }
}
