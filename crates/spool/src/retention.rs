//! Letting go: what was released, and what is dropped for want of room. Whole segments, oldest first.
//!
//! A removal is not waited for: a segment that comes back after a crash is known from the mark, and removed again.

use std::io;

use crate::disk::Disk;
use crate::segment::{self, Segment};
use crate::spool::Spool;

impl<D: Disk> Spool<D> {
    /// Everything up to and including `through` may go. What is not durable yet is not released.
    ///
    /// # Errors
    /// If the disk fails. The floor has moved all the same, and the next call tries again to free the room.
    pub fn release(&mut self, through: u64) -> io::Result<()> {
        let floor = through.min(self.durable()) + 1;
        if floor > self.floor() {
            self.mark.now.floor = floor;
            self.times.release(floor);
        }
        self.seal_if_idle();
        let Some(oldest) = self.released_segment() else { return Ok(()) };
        // Otherwise the hole would look like damage after a crash.
        if self.mark.saved_floor() < oldest.end {
            self.mark.save()?;
        }
        while let Some(segment) = self.released_segment() {
            self.remove(&segment)?;
            self.segments.pop_front();
            self.forget_cursor(segment.first);
        }
        Ok(())
    }

    /// Makes durable what was released, and how far the spool got. If it is lost, some is read and sent again.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn save_mark(&mut self) -> io::Result<()> {
        self.mark.save()
    }

    /// Drops the oldest segment, or says that there is none to drop.
    pub(crate) fn drop_oldest(&mut self) -> io::Result<bool> {
        let Some(segment) = self.segments.front().copied() else { return Ok(false) };
        if self.active.is_some() && self.is_newest(&segment) {
            if self.flight.is_some() || segment.first == segment.end {
                return Ok(false);
            }
            self.active = None;
        }
        let mut mark = self.mark.now;
        mark.dropped += segment.end.saturating_sub(segment.first.max(mark.floor));
        mark.dropped_through = segment.end - 1;
        self.mark.replace(mark)?;
        // It counts as dropped from here on: what cannot be removed now is removed at the next opening.
        self.segments.pop_front();
        self.forget_cursor(segment.first);
        self.remove(&segment)?;
        Ok(true)
    }

    /// The oldest, if nothing in it is awaited.
    fn released_segment(&self) -> Option<Segment> {
        let oldest = self.segments.front()?;
        let written = self.active.is_some() && self.is_newest(oldest);
        (oldest.end <= self.floor() && !written).then_some(*oldest)
    }

    /// A spool in which nothing waits should be small.
    fn seal_if_idle(&mut self) {
        let large = self.settings.segment_bytes / 2;
        let released = self.floor() > self.durable() && self.flight.is_none();
        self.active.take_if(|active| released && active.len >= large);
    }

    fn remove(&self, segment: &Segment) -> io::Result<()> {
        match self.disk.remove(&segment::name(segment.first)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}
