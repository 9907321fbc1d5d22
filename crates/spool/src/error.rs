//! What can go wrong, one small enum for each operation.

use std::io;

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The settings contradict each other.
    #[error("use the spool's settings: {0}")]
    Settings(&'static str),
    /// A process has it open.
    #[error("lock the spool {directory}: another process has it open")]
    Locked {
        /// The directory.
        directory: String,
    },
    /// Written by a later version.
    #[error("read {file}: format {found}, this program knows {known}")]
    Format {
        /// The file's name.
        file: String,
        /// Its format.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// The caller's random source repeats itself: numbers would not be unique.
    #[error("begin an epoch: it is that of records in the spool, so it was not drawn at random")]
    EpochInUse,
    /// The disk.
    #[error("{doing} in the spool")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

/// What is used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// The quota. Something must be released.
    Quota,
    /// The memory for what is not durable yet. A commit must succeed.
    Buffer,
}

/// Why a record was not taken. Its number was not given.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// There is no room now.
    #[error("take a record: {}", match .0 {
        Full::Quota => "the spool's quota is used up",
        Full::Buffer => "too much waits for a commit",
    })]
    Full(Full),
    /// The record will never fit.
    #[error("take a record of {bytes} bytes: at most {max} are allowed")]
    TooLarge {
        /// Its payload.
        bytes: usize,
        /// The largest payload.
        max: u32,
    },
    /// Room could not be made.
    #[error("drop the oldest records")]
    Drop(#[source] io::Error),
}

/// Why a commit failed. What was taken stays in memory, and the next commit tries again.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The disk is full, and nothing may be dropped or nothing is left to drop.
    #[error("write to the spool: the disk is full")]
    Full(#[source] io::Error),
    /// The disk failed.
    #[error("write to the spool")]
    Io(#[source] io::Error),
    /// A commit was begun and not finished.
    #[error("commit: another commit is under way")]
    UnderWay,
}

/// Whether the disk, or the user's share of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
