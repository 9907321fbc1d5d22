//! A durable queue on disk: what an agent has taken, until it is known to have arrived.
//!
//! Records are numbered from 1 without a break, across restarts. An opening begins a new [`Epoch`](weir_events::Epoch) and a new
//! segment: a spool that was wiped, restored or cloned never gives the same epoch and number to two records. Records
//! are appended to memory, and are durable after a commit, which is one write and one fsync for all of them. They are read by number,
//! and released by number. What cannot be returned is told as a [`Gap`] with its exact numbers.
//!
//! It knows no network, no clock and no randomness, and does not know what a record means. It starts no thread: the fsync
//! may be moved to another one ([`Commit`]). It is for one process; [`Directory`] locks.
//!
//! ```
//! use weir_spool::{Directory, Entry, Item, Policy, Position, Settings, Spool};
//! # use weir_events::Epoch;
//! # let place = tempfile::tempdir()?;
//! # let path = place.path().join("spool");
//! # let drawn_at_random = [7; 16];
//! let settings = Settings {
//!     segment_bytes: 4 << 20,
//!     quota_bytes: 256 << 20,
//!     policy: Policy::Block,
//!     record_bytes_max: 64 << 10,
//! };
//! let epoch = Epoch::from_bytes(drawn_at_random);
//! let (mut spool, recovery) = Spool::open(Directory::open(&path)?, settings, epoch)?;
//! assert_eq!(recovery.records, 0);
//!
//! let position = Position { file: 1, offset: 25 };
//! let seq = spool.append(&Entry { kind: 0, at: 1_700_000_000_000_000, position, payload: b"12.5" })?;
//! assert_eq!(spool.read(seq)?, None, "not durable yet");
//! assert_eq!(spool.commit()?, seq);
//! let Some(Item::Record(record)) = spool.read(seq)? else { panic!("it is there") };
//! assert_eq!((record.epoch, &record.payload[..]), (epoch, &b"12.5"[..]));
//!
//! // It has arrived.
//! spool.release(seq)?;
//! spool.save_mark()?;
//! assert_eq!((spool.floor(), spool.position()), (seq + 1, position));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Files
//! A directory holds `mark` and segments, `<first number, 20 digits>.seg`. All numbers are little-endian, sums are
//! CRC32C.
//!
//! ```text
//! segment                                       frame
//!   0  magic "WeirSpol"           8               0  length of the payload      4
//!   8  format: 1                  4               4  sum                        4
//!  12  epoch                     16               8  number                     8
//!  28  first number               8              16  kind                       1
//!  36  largest payload            4              17  event time, microseconds   8
//!  40  sum of 0..40               4              25  position                  16
//!  44  the same again            44              41  payload
//!  88  frames
//! ```
//! A frame's sum covers the epoch, the length, and what follows the sum.
//!
//! # What is promised
//! - What a commit has confirmed is returned after any crash, until it is released or dropped, unless the disk returns
//!   something else than was written.
//! - What the disk returns damaged, or not at all, is never returned as a record. It is a gap:
//!   [`Damaged`](weir_events::GapReason::Damaged). If nothing can be read any more, that is an error.
//! - What is dropped is counted exactly, and is a gap: [`Quota`](weir_events::GapReason::Quota).
//! - What was appended and never confirmed may be there after a crash or not; in this opening it stays in memory until it is
//!   durable.
//! - Memory does not grow with the spool: a buffer of at most 1 MiB, a window of 64 KiB (or one record), and some
//!   80 bytes for each segment.

mod directory;
mod disk;
mod error;
mod frame;
mod mark;
mod read;
mod record;
mod recovery;
mod retention;
mod segment;
mod settings;
#[cfg(any(test, feature = "testing"))]
mod simulated;
mod spool;
#[cfg(test)]
mod tests;
mod walk;
mod window;

pub use directory::Directory;
pub use disk::{Disk, DiskFile};
pub use error::{AppendError, CommitError, Full, OpenError};
pub use record::{Entry, Gap, Item, Position, Record, Recovery, Span, Stats};
pub use settings::{Policy, Settings};
#[cfg(any(test, feature = "testing"))]
pub use simulated::{SimulatedDisk, SimulatedFile};
pub use spool::{Commit, Spool, Synced};
