//! Goes through the frames of one segment, in order, over whatever is between them.
//!
//! Reads ahead into one window, so that a record costs no system call. Memory is that window: 64 KiB, or the largest frame that the
//! header allows. It does not judge: a caller sees from the numbers what is missing.
//!
//! A frame is believed if its checksum fits and its number could stand there: right after an intact frame it is the
//! next number; after damage it is at most as much higher as frames fit into what was passed over.

use std::io;
use std::sync::Arc;

use crate::disk::DiskFile;
use crate::frame::{self, HEAD, Head};
use crate::segment::{HEADER, Segment};
use crate::window::{WINDOW, Window};

/// A place in a segment: after the last intact frame, or at its beginning.
#[derive(Debug)]
pub(crate) struct Walk<F> {
    file: Arc<F>,
    seed: u32,
    payload_max: u32,
    /// Numbers from here on belong to others.
    end: u64,
    /// Offset behind the last intact frame.
    good: u64,
    /// Its number, or the one before the first.
    last: u64,
    window: Window,
}

impl<F: DiskFile> Walk<F> {
    /// At the beginning of a segment.
    pub(crate) fn new(file: Arc<F>, segment: &Segment) -> Self {
        Self {
            file,
            seed: frame::seed(segment.epoch),
            payload_max: segment.payload_max,
            end: segment.end,
            good: HEADER as u64,
            last: segment.first - 1,
            window: Window::default(),
        }
    }

    /// The number of the last intact frame, or the one before the first.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The segment has got longer.
    pub(crate) fn set_end(&mut self, end: u64) {
        self.end = end;
    }

    /// The next intact frame that ends at `limit` or before.
    pub(crate) fn next(&mut self, limit: u64) -> io::Result<Option<Head>> {
        if self.last + 1 >= self.end {
            return Ok(None);
        }
        let mut offset = self.good;
        while offset + HEAD as u64 <= limit {
            if let Some(head) = self.intact_at(offset, limit)? {
                self.good = offset + head.frame_bytes();
                self.last = head.seq;
                return Ok(Some(head));
            }
            offset += 1;
        }
        Ok(None)
    }

    /// The payload of the frame that [`Self::next`] has just returned.
    pub(crate) fn payload(&self, head: &Head) -> &[u8] {
        self.window.before(self.good, head.length as usize)
    }

    fn intact_at(&mut self, offset: u64, limit: u64) -> io::Result<Option<Head>> {
        let head = Head::read(self.window.get(&*self.file, offset, HEAD, limit)?);
        let fits = head.length <= self.payload_max && head.frame_bytes() <= limit - offset;
        let passed = (offset - self.good) / HEAD as u64;
        let expected = self.last + 1..self.end.min(self.last + 2 + passed);
        if !fits || !expected.contains(&head.seq) {
            return Ok(None);
        }
        let whole = HEAD + head.length as usize;
        let frame = self.window.get(&*self.file, offset, whole, limit)?;
        Ok(frame::is_intact(self.seed, frame).then_some(head))
    }

    /// What the rest of the file is, up to `limit`, when no intact frame is left in it.
    pub(crate) fn tail(&mut self, limit: u64) -> io::Result<Tail> {
        let mut tail = Tail { damaged: 0, end: self.good };
        while tail.end + HEAD as u64 <= limit {
            let rest = limit - tail.end;
            let head = Head::read(self.window.get(&*self.file, tail.end, HEAD, limit)?);
            let expected = head.seq == self.last + 1 + tail.damaged;
            let whole = head.length <= self.payload_max && head.frame_bytes() <= rest;
            let bytes = if whole && (expected || tail.damaged == 0) {
                head.frame_bytes()
            } else if expected && self.is_whole_but_for_its_length(tail.end, limit)? {
                rest
            } else {
                break;
            };
            if self.is_zero(tail.end, limit)? {
                break;
            }
            tail.damaged += 1;
            tail.end += bytes;
        }
        if tail.end < limit && self.window.met_bad_sectors() {
            // Nobody knows what was there; at least it is not forgotten.
            tail = Tail { damaged: tail.damaged.max(1), end: limit };
        }
        Ok(tail)
    }

    /// A frame that was cut short and one whose length was damaged look alike, but for the checksum.
    fn is_whole_but_for_its_length(&mut self, offset: u64, limit: u64) -> io::Result<bool> {
        let rest = limit - offset;
        let length = u32::try_from(rest - HEAD as u64).unwrap_or(u32::MAX);
        if length > self.payload_max {
            return Ok(false);
        }
        let frame = self.window.get(&*self.file, offset, HEAD + length as usize, limit)?;
        Ok(frame::has_checksum_for(self.seed, length, frame))
    }

    fn is_zero(&mut self, mut offset: u64, limit: u64) -> io::Result<bool> {
        while offset < limit {
            let count = (WINDOW as u64).min(limit - offset);
            let bytes = self.window.get(&*self.file, offset, count as usize, limit)?;
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            offset += count;
        }
        Ok(true)
    }
}

/// The end of a file, behind the last intact frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tail {
    /// Frames that are whole, and not what was written.
    pub(crate) damaged: u64,
    /// Where they end. What follows is a write that did not come to its end.
    pub(crate) end: u64,
}
