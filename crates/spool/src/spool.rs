//! The spool: taking records and making them durable. Reading is in `read`, letting go in `retention`, opening in `recovery`.
//!
//! Frames wait in `buffer` until they are durable, also while they are being written; so whatever a failed write or
//! fsync has left of them in the file, they can be written again, to another one.
//!
//! Invariants:
//! - `buffer` holds exactly the records after `durable()`, and the active segment's file is written up to `len` plus, while a
//!   commit is under way, that commit's bytes.
//! - At most one commit is under way, on the active segment. So nothing becomes durable out of turn.
//! - After a failed fsync no further frame is written to that file.

use std::io;
use std::sync::Arc;

use weir_events::Epoch;

use crate::disk::{Disk, DiskFile};
use crate::error::{AppendError, CommitError, Full, OpenError, is_full};
use crate::frame;
use crate::mark::MarkFile;
use crate::read::{Cursor, Times};
use crate::record::{Entry, Position, Recovery, Stats};
use crate::segment::{self, HEADER, Header, Segment, Segments};
use crate::settings::{Policy, Settings};

/// A durable queue of records. See the crate's documentation.
#[derive(Debug)]
pub struct Spool<D: Disk> {
    pub(crate) disk: D,
    pub(crate) settings: Settings,
    pub(crate) epoch: Epoch,
    pub(crate) segments: Segments,
    /// The newest of `segments`, if it is written to.
    pub(crate) active: Option<Active<D::File>>,
    pub(crate) mark: MarkFile<D::File>,
    pub(crate) cursor: Option<Cursor<D::File>>,
    pub(crate) times: Times,
    pub(crate) buffer: Vec<u8>,
    /// The number that the next record gets.
    pub(crate) next: u64,
    /// The position of the last one that was taken.
    pub(crate) appended: Position,
    pub(crate) flight: Option<Flight>,
    pub(crate) attempts: u64,
}

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Active<F> {
    pub(crate) file: Arc<F>,
    /// Up to here it is durable.
    pub(crate) len: u64,
}

/// A commit that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    attempt: u64,
    /// How much of the buffer.
    pub(crate) bytes: usize,
    /// The last number.
    through: u64,
    /// That record's position.
    position: Position,
}

/// A commit that is written and not yet durable. May be moved to another thread.
#[derive(Debug)]
#[must_use = "a commit ends with `finish_commit`, and no other begins before"]
pub struct Commit<F> {
    file: Arc<F>,
    attempt: u64,
}

/// What is told to [`Spool::finish_commit`].
#[derive(Debug)]
pub struct Synced {
    attempt: u64,
}

impl<F: DiskFile> Commit<F> {
    /// Waits for the disk.
    ///
    /// # Errors
    /// If the disk fails. The error is for [`Spool::finish_commit`] too.
    pub fn sync(self) -> io::Result<Synced> {
        self.file.sync()?;
        Ok(Synced { attempt: self.attempt })
    }
}

impl<D: Disk> Spool<D> {
    /// Opens the spool on a disk, whatever state it was left in. `epoch` is drawn at random by the caller, each time.
    ///
    /// # Errors
    /// If the disk fails, or holds what a later version wrote, or the arguments are unfit. Damage is no error.
    pub fn open(disk: D, settings: Settings, epoch: Epoch) -> Result<(Self, Recovery), OpenError> {
        crate::recovery::open(disk, settings, epoch)
    }

    /// Takes a record and returns its number. It is not durable before a commit.
    ///
    /// # Errors
    /// The record was not taken; after [`AppendError::Full`] it may be offered again.
    pub fn append(&mut self, entry: &Entry<'_>) -> Result<u64, AppendError> {
        let max = self.settings.record_bytes_max;
        if entry.payload.len() > max as usize {
            return Err(AppendError::TooLarge { bytes: entry.payload.len(), max });
        }
        let bytes = (frame::HEAD + entry.payload.len()) as u64;
        if !self.buffer.is_empty()
            && self.buffer.len() as u64 + bytes > self.settings.buffer_bytes()
        {
            return Err(AppendError::Full(Full::Buffer));
        }
        // The frames may come into a new segment.
        while self.bytes() + bytes + HEADER as u64 > self.settings.quota_bytes {
            let drops = self.settings.policy == Policy::DropOldest;
            if !drops || !self.drop_oldest().map_err(AppendError::Drop)? {
                return Err(AppendError::Full(Full::Quota));
            }
        }
        let seq = self.next;
        frame::encode(frame::seed(self.epoch), seq, entry, &mut self.buffer);
        self.next += 1;
        self.appended = entry.position;
        Ok(seq)
    }

    /// Writes what was taken, with one write. `None` if there is nothing, or if a commit is under way.
    ///
    /// # Errors
    /// Nothing was lost: what was taken waits for the next commit.
    pub fn begin_commit(&mut self) -> Result<Option<Commit<D::File>>, CommitError> {
        if self.flight.is_some() || self.buffer.is_empty() {
            return Ok(None);
        }
        let file = loop {
            match self.write_buffer() {
                Ok(file) => break file,
                Err(error) if !is_full(&error) => return Err(CommitError::Io(error)),
                Err(error) => {
                    let drops = self.settings.policy == Policy::DropOldest;
                    if !drops || !self.drop_oldest().map_err(CommitError::Io)? {
                        return Err(CommitError::Full(error));
                    }
                }
            }
        };
        self.attempts += 1;
        self.flight = Some(Flight {
            attempt: self.attempts,
            bytes: self.buffer.len(),
            through: self.next - 1,
            position: self.appended,
        });
        Ok(Some(Commit { file, attempt: self.attempts }))
    }

    /// Ends a commit with what its `sync` returned, and returns the last durable number. If the `sync` never returned, for
    /// example since its thread is gone, any error does.
    ///
    /// # Errors
    /// Nothing was lost: what was taken waits for the next commit.
    pub fn finish_commit(&mut self, result: io::Result<Synced>) -> Result<u64, CommitError> {
        let Some(flight) = self.flight else { return Ok(self.durable()) };
        match result {
            // Of a commit that was given up by an error.
            Ok(synced) if synced.attempt != flight.attempt => Ok(self.durable()),
            Ok(_) => {
                self.flight = None;
                self.buffer.drain(..flight.bytes);
                let active = self.active.as_mut().expect("a commit under way has a segment");
                active.len += flight.bytes as u64;
                self.segments.set_back(flight.through + 1, active.len);
                self.mark.now.next = flight.through + 1;
                self.mark.now.position = flight.position;
                Ok(flight.through)
            }
            Err(error) => {
                self.flight = None;
                self.seal_after_failure();
                if !is_full(&error) {
                    return Err(CommitError::Io(error));
                }
                if self.settings.policy == Policy::DropOldest {
                    self.drop_oldest().map_err(CommitError::Io)?;
                }
                Err(CommitError::Full(error))
            }
        }
    }

    /// Makes durable what was taken, and returns the last durable number.
    ///
    /// # Errors
    /// As [`Self::begin_commit`] and [`Self::finish_commit`].
    pub fn commit(&mut self) -> Result<u64, CommitError> {
        if self.flight.is_some() {
            return Err(CommitError::UnderWay);
        }
        match self.begin_commit()? {
            Some(commit) => self.finish_commit(commit.sync()),
            None => Ok(self.durable()),
        }
    }

    fn write_buffer(&mut self) -> io::Result<Arc<D::File>> {
        let more = self.buffer.len() as u64;
        let room = self.settings.segment_bytes;
        if self.active.as_ref().is_some_and(|a| a.len > HEADER as u64 && a.len + more > room) {
            self.active = None;
        }
        if self.active.is_none() {
            self.begin_segment()?;
        }
        let active = self.active.as_ref().expect("begun just now");
        let (file, len) = (active.file.clone(), active.len);
        match file.write_at(len, &self.buffer) {
            Ok(()) => {
                self.segments.set_back(self.durable() + 1, len + more);
                Ok(file)
            }
            // Nothing but a full disk is understood well enough to go on with the same file.
            Err(error) if is_full(&error) && file.truncate(len).is_ok() => Err(error),
            Err(error) => {
                self.seal_after_failure();
                Err(error)
            }
        }
    }

    /// Makes a segment for what is not durable. Its header and its name are durable before anything else is written.
    fn begin_segment(&mut self) -> io::Result<()> {
        let first = self.durable() + 1;
        let name = segment::name(first);
        let header =
            Header { epoch: self.epoch, first, payload_max: self.settings.record_bytes_max };
        let file = match self.disk.create(&name) {
            // Left by a failure: it holds nothing that is durable, or it would be known.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.remove(&name)?;
                self.disk.create(&name)?
            }
            other => other?,
        };
        let made = file
            .write_at(0, &header.encode())
            .and_then(|()| file.sync())
            .and_then(|()| self.disk.sync_dir());
        if let Err(error) = made {
            // If it stays it is replaced by the next attempt, or found empty at the next opening.
            self.disk.remove(&name).ok();
            return Err(error);
        }
        let bytes = HEADER as u64;
        self.active = Some(Active { file: Arc::new(file), len: bytes });
        self.segments.push(Segment {
            first,
            end: first,
            epoch: self.epoch,
            payload_max: header.payload_max,
            bytes,
            readable: true,
        });
        Ok(())
    }

    /// The state of what was written is unknown, so nothing is added to the file any more. If it cannot be cut, what it holds
    /// too much is the beginning of what the next segment will hold, which is the one that counts.
    fn seal_after_failure(&mut self) {
        let Some(active) = self.active.take() else { return };
        let bytes = match active.file.truncate(active.len) {
            Ok(()) => active.len,
            Err(_) => active.file.bytes().unwrap_or(active.len).max(active.len),
        };
        let end = self.durable() + 1;
        self.segments.set_back(end, bytes);
        let empty = self.segments.back().is_some_and(|segment| segment.first == end);
        if empty {
            self.segments.pop_back();
            self.forget_cursor(end);
            self.disk.remove(&segment::name(end)).ok();
        }
    }

    /// The last durable number; 0 if there never was one.
    pub fn durable(&self) -> u64 {
        self.mark.now.next - 1
    }

    /// The number that the next record gets.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// The lowest number that is not released.
    pub fn floor(&self) -> u64 {
        self.mark.now.floor
    }

    /// The epoch of this opening.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Where the source stood after the last durable record, of this opening or one before; `Default` if there never was one.
    /// Above a record that is lost it is where the source stood before that.
    pub fn position(&self) -> Position {
        self.mark.now.position
    }

    /// Figures for whoever watches.
    pub fn stats(&self) -> Stats {
        let floor = self.floor();
        let held = |segment: &Segment| segment.end.saturating_sub(segment.first.max(floor));
        Stats {
            bytes: self.bytes(),
            records: self.segments.iter().map(held).sum(),
            pending: self.next - 1 - self.durable(),
            segments: self.segments.len(),
            dropped: self.mark.now.dropped,
            damaged: self.mark.now.damaged,
            oldest_at: self.times.at(floor),
        }
    }

    /// What counts for the quota. What is being written is in the file already.
    fn bytes(&self) -> u64 {
        let written = self.flight.map_or(0, |flight| flight.bytes);
        self.segments.bytes() + (self.buffer.len() - written) as u64
    }
}
