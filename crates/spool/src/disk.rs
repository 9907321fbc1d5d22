//! What a spool asks of a disk: files in one flat directory, and to be told when something is durable.
//!
//! A disk decides nothing and repeats nothing. A write or a removal may be lost, in any combination, until the `sync` of its
//! file or of the directory has returned.

use std::io;

/// A directory of files.
pub trait Disk {
    /// A file.
    type File: DiskFile;

    /// The names of all files.
    ///
    /// # Errors
    /// If the disk fails.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file, to be read and written.
    ///
    /// # Errors
    /// `AlreadyExists` if there is one of that name.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file, to be read and written.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Removes a file. Whoever has it open goes on reading it.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Waits until all files that were made and removed are durably so.
    ///
    /// # Errors
    /// If that is unknown.
    fn sync_dir(&self) -> io::Result<()>;
}

/// A file.
pub trait DiskFile: Send + Sync + 'static {
    /// Writes all of it, beyond the end too.
    ///
    /// # Errors
    /// `StorageFull` if there is no room. A part may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads until the buffer is full or the file ends, and returns how much that was.
    ///
    /// # Errors
    /// If the disk fails.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// How long the file is.
    ///
    /// # Errors
    /// If the disk fails.
    fn bytes(&self) -> io::Result<u64>;

    /// Cuts the file.
    ///
    /// # Errors
    /// If the disk fails.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Waits until the content, as it was when this was called, is durable.
    ///
    /// # Errors
    /// If that is unknown: it may never become so, even if a later `sync` succeeds.
    fn sync(&self) -> io::Result<()>;
}
