//! Reading by number, and what is missing. Gaps are derived from the numbers at each reading, none is stored.
//!
//! One cursor stays where the last reading ended, so reading upwards reads each byte once. Reading downwards begins at the
//! start of a segment.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use weir_events::GapReason;

use crate::disk::{Disk, DiskFile};
use crate::frame::Head;
use crate::record::{Gap, Item, Record, Span};
use crate::segment::{self, Segment};
use crate::spool::Spool;
use crate::walk::Walk;

/// A place in the segment that begins with `first`.
#[derive(Debug)]
pub(crate) struct Cursor<F> {
    first: u64,
    walk: Walk<F>,
    /// The last frame that was found.
    found: Option<Head>,
    /// The number of the frame before it: those between have no record.
    before: u64,
}

impl<F: DiskFile> Cursor<F> {
    /// The first frame with this number or a higher one.
    fn seek(&mut self, seq: u64, limit: u64) -> io::Result<Option<Head>> {
        loop {
            if let Some(head) = self.found.filter(|head| head.seq >= seq) {
                return Ok(Some(head));
            }
            self.before = self.walk.last();
            let Some(head) = self.walk.next(limit)? else { return Ok(None) };
            self.found = Some(head);
        }
    }
}

impl<D: Disk> Spool<D> {
    /// What stands at a number, or at the floor if the number is below: a record, or a gap that begins there. `None` above
    /// what is durable.
    ///
    /// # Errors
    /// If the disk fails. What it returns damaged is a gap.
    pub fn read(&mut self, seq: u64) -> io::Result<Option<Item>> {
        let seq = seq.max(self.floor());
        if seq > self.durable() {
            return Ok(None);
        }
        let Some(segment) = self.segments.owner(seq).copied() else {
            return Ok(Some(Item::Gap(self.gap_without_segment(seq))));
        };
        let head = if segment.readable { self.seek(&segment, seq)? } else { None };
        if let (Some(head), Some(cursor)) = (head.filter(|head| head.seq == seq), &self.cursor) {
            self.times.note(seq, head.at);
            return Ok(Some(Item::Record(Record {
                epoch: segment.epoch,
                seq,
                kind: head.kind,
                at: head.at,
                payload: Bytes::copy_from_slice(cursor.walk.payload(&head)),
            })));
        }
        let next = head.map_or(segment.end, |head| head.seq);
        let count = next - seq;
        self.count_damage(next - 1, count);
        let reason = GapReason::Damaged;
        Ok(Some(Item::Gap(Gap { epoch: segment.epoch, first: seq, count, reason })))
    }

    fn seek(&mut self, segment: &Segment, seq: u64) -> io::Result<Option<Head>> {
        let here = |cursor: &&mut Cursor<_>| cursor.first == segment.first && cursor.before < seq;
        // What is being written is not durable: not read.
        let active = self.active.as_ref().filter(|_| self.is_newest(segment));
        let limit = active.map_or(segment.bytes, |active| active.len);
        if self.cursor.as_mut().filter(here).is_none() {
            let file = match active {
                Some(active) => active.file.clone(),
                None => match self.disk.open(&segment::name(segment.first)) {
                    Ok(file) => Arc::new(file),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(error),
                },
            };
            let walk = Walk::new(file, segment);
            let before = segment.first - 1;
            self.cursor = Some(Cursor { first: segment.first, walk, found: None, before });
        }
        let cursor = self.cursor.as_mut().expect("set just now");
        cursor.walk.set_end(segment.end);
        let found = cursor.seek(seq, limit);
        if found.is_err() {
            self.cursor = None;
        }
        found
    }

    pub(crate) fn is_newest(&self, segment: &Segment) -> bool {
        self.segments.back().is_some_and(|newest| newest.first == segment.first)
    }

    /// A number that no segment owns is below all of them. If it was not dropped, a file is missing.
    fn gap_without_segment(&mut self, seq: u64) -> Gap {
        let front = self.segments.front();
        let epoch = front.map_or(self.epoch, |segment| segment.epoch);
        let last = front.map_or(self.mark.now.next, |segment| segment.first) - 1;
        let dropped = self.mark.now.dropped_through;
        let (last, reason) = if seq <= dropped {
            (last.min(dropped), GapReason::Quota)
        } else {
            (last, GapReason::Damaged)
        };
        let count = last - seq + 1;
        if reason == GapReason::Damaged {
            self.count_damage(last, count);
        }
        Gap { epoch, first: seq, count, reason }
    }

    fn count_damage(&mut self, last: u64, count: u64) {
        let mark = &mut self.mark.now;
        mark.damaged += count.min(last.saturating_sub(mark.damage_seen));
        mark.damage_seen = mark.damage_seen.max(last);
    }

    /// Which epochs the durable numbers from the floor on belong to, in order, gaps included.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut first = self.floor();
        for segment in self.segments.iter().filter(|segment| segment.end > segment.first) {
            let last = segment.end - 1;
            match spans.last_mut().filter(|span| span.epoch == segment.epoch) {
                Some(span) => span.last = last,
                None if last >= first => spans.push(Span { epoch: segment.epoch, first, last }),
                None => continue,
            }
            first = segment.end;
        }
        if first <= self.durable() {
            spans.push(Span { epoch: self.epoch, first, last: self.durable() });
        }
        spans
    }

    /// The segment that begins with `first` is gone.
    pub(crate) fn forget_cursor(&mut self, first: u64) {
        self.cursor.take_if(|cursor| cursor.first == first);
    }
}

/// Event times of records that were read and are not released: so many that the oldest is usually known.
#[derive(Debug, Default)]
pub(crate) struct Times(VecDeque<(u64, i64)>);

impl Times {
    const MAX: usize = 1024;

    fn note(&mut self, seq: u64, at: i64) {
        // Reading began anew, lower.
        while self.0.back().is_some_and(|(last, _)| *last >= seq) {
            self.0.pop_back();
        }
        if self.0.len() < Self::MAX {
            self.0.push_back((seq, at));
        }
    }

    pub(crate) fn at(&self, seq: u64) -> Option<i64> {
        self.0.front().filter(|(first, _)| *first == seq).map(|(_, at)| *at)
    }

    pub(crate) fn release(&mut self, floor: u64) {
        while self.0.front().is_some_and(|(seq, _)| *seq < floor) {
            self.0.pop_front();
        }
    }
}
