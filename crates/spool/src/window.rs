//! The part of a segment that is in memory: one read ahead of 64 KiB, or one frame if that is larger.
//!
//! A sector that cannot be read while another beside it can is damage, and reads as zeros: one bad sector must not keep
//! back all that comes after it. If nothing can be read the disk is gone, which is an error and may pass.

use std::io;

use crate::disk::DiskFile;

/// How much is read ahead.
pub(crate) const WINDOW: usize = 64 << 10;
/// What a file system reads at least.
const SECTOR: usize = 4096;
/// The error of a sector that cannot be read: the same number on every Unix.
const EIO: i32 = 5;

/// Bytes of the file that are in memory.
#[derive(Debug, Default)]
pub(crate) struct Window {
    bytes: Vec<u8>,
    /// Offset of the first in the file.
    start: u64,
    /// How many of `bytes` are filled.
    filled: usize,
    bad_sectors: bool,
}

impl Window {
    /// `count` bytes from `offset` on; what the file lacks is zero. Reads no further than `limit`.
    pub(crate) fn get<F: DiskFile>(
        &mut self,
        file: &F,
        offset: u64,
        count: usize,
        limit: u64,
    ) -> io::Result<&[u8]> {
        let held = self.start..=self.start + self.filled as u64;
        if !(held.contains(&offset) && held.contains(&(offset + count as u64))) {
            let ahead = usize::try_from(limit - offset).unwrap_or(usize::MAX).min(WINDOW);
            let wanted = count.max(ahead);
            if self.bytes.len() < wanted {
                self.bytes.resize(wanted, 0);
            }
            self.filled = 0;
            let buffer = &mut self.bytes[..wanted];
            match file.read_at(offset, buffer) {
                Ok(read) => buffer[read..].fill(0),
                Err(error) if is_unreadable(&error) => {
                    read_around(file, offset, buffer)?;
                    self.bad_sectors = true;
                }
                Err(error) => return Err(error),
            }
            (self.start, self.filled) = (offset, wanted);
        }
        let at = self.index(offset);
        Ok(&self.bytes[at..at + count])
    }

    /// The `count` bytes before `end`, which were got before.
    pub(crate) fn before(&self, end: u64, count: usize) -> &[u8] {
        let end = self.index(end);
        &self.bytes[end - count..end]
    }

    /// Whether something was zero since it could not be read.
    pub(crate) fn met_bad_sectors(&self) -> bool {
        self.bad_sectors
    }

    fn index(&self, offset: u64) -> usize {
        usize::try_from(offset - self.start).expect("in the window")
    }
}

/// Reads sector by sector. Fails if no sector can be read.
fn read_around<F: DiskFile>(file: &F, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    let (mut at, mut failed, mut read_any) = (0, None, false);
    while at < buffer.len() {
        let into = usize::try_from((offset + at as u64) % SECTOR as u64).expect("below a sector");
        let end = buffer.len().min(at + SECTOR - into);
        match file.read_at(offset + at as u64, &mut buffer[at..end]) {
            Ok(read) => {
                buffer[at + read..end].fill(0);
                read_any |= read > 0;
            }
            Err(error) if is_unreadable(&error) => {
                buffer[at..end].fill(0);
                failed = Some(error);
            }
            Err(error) => return Err(error),
        }
        at = end;
    }
    failed.filter(|_| !read_any).map_or(Ok(()), Err)
}

/// Whether the disk says that it has forgotten what was there.
pub(crate) fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(EIO)
}
