//! Opening: from whatever the disk holds to a spool that goes on.
//!
//! Only the newest segment is read in full, so that a gateway with a full spool takes samples again within a second. All others were
//! complete before their successor was made; damage in them is found when they are read.
//!
//! ```text
//!        mark: floor                                         mark: next (how far it is known to have been durable)
//!          ▼                                                   ▼
//!   ┄┄┄┄┄┄┄┄┄│ 11.seg           │ 25.seg           │ 39.seg: header │ frame 39 │ frame 40 │ damaged │ torn ┄┄
//!    released, or                end = 25           end = 39                             end = 42 ▲
//!    dropped                                                                              cut here
//! ```

use std::io;
use std::sync::Arc;

use weir_events::Epoch;

use crate::disk::{Disk, DiskFile};
use crate::error::OpenError;
use crate::mark::{Mark, MarkFile};
use crate::read::Times;
use crate::record::{Position, Recovery};
use crate::segment::{self, FORMAT, HEADER, Header, Segment, Segments};
use crate::settings::Settings;
use crate::spool::Spool;
use crate::walk::Walk;
use crate::window::is_unreadable;

pub(crate) fn open<D: Disk>(
    disk: D,
    settings: Settings,
    epoch: Epoch,
) -> Result<(Spool<D>, Recovery), OpenError> {
    settings.check()?;
    let names = disk.list().map_err(OpenError::io("list the files"))?;
    let has_mark = names.iter().any(|name| MarkFile::<D::File>::is_named(name));
    let (mut mark, known) =
        MarkFile::open(&disk, has_mark).map_err(OpenError::io("open the mark"))?;
    let mut segments = headers(&disk, &names, epoch)?;
    if segments.iter().any(|segment| segment.readable && segment.epoch == epoch) {
        return Err(OpenError::EpochInUse);
    }
    // Dropped when the power failed. What is in them beyond was never durable.
    let mut unused = Vec::new();
    while segments.front().is_some_and(|oldest| oldest.first <= mark.now.dropped_through) {
        unused.extend(segments.pop_front());
    }
    if let (false, Some(oldest)) = (known, segments.front()) {
        mark.now.floor = oldest.first;
    }
    let mut recovery = Recovery { mark_lost: !known && segments.len() > 0, ..Recovery::default() };
    let hint = mark.now.next;
    let newest = newest(&disk, &mut segments, &mark.now, &mut recovery)
        .map_err(OpenError::io("read the newest segment"))?;
    let next = newest.end.max(hint).max(mark.now.floor);
    if let Some(last) = segments.back().copied() {
        segments.set_back(next, last.bytes);
    }
    let position = match newest.position {
        None => position(&disk, &segments, newest.first, hint)
            .map_err(OpenError::io("read a segment"))?,
        found => found,
    };
    mark.now.next = next;
    mark.now.position = position.unwrap_or(mark.now.position);
    mark.save().map_err(OpenError::io("write the mark"))?;
    unused.extend(newest.empty);
    while segments.front().is_some_and(|oldest| oldest.end <= mark.now.floor) {
        unused.extend(segments.pop_front());
    }
    discard(&disk, &unused).map_err(OpenError::io("remove segments"))?;
    let appended = mark.now.position;
    let spool = Spool {
        disk,
        settings,
        epoch,
        segments,
        active: None,
        mark,
        cursor: None,
        times: Times::default(),
        buffer: Vec::new(),
        next,
        appended,
        flight: None,
        attempts: 0,
    };
    count(&spool, &newest, &mut recovery);
    Ok((spool, recovery))
}

/// All segments by their headers, oldest first. The newest ends where it begins, as yet.
fn headers<D: Disk>(disk: &D, names: &[String], epoch: Epoch) -> Result<Segments, OpenError> {
    let mut firsts: Vec<u64> = names.iter().filter_map(|name| segment::parse_name(name)).collect();
    firsts.sort_unstable();
    let mut found = Vec::with_capacity(firsts.len());
    for (index, &first) in firsts.iter().enumerate() {
        let name = segment::name(first);
        let (header, bytes) = header(disk, &name).map_err(OpenError::io("read a segment"))?;
        let header =
            header.map_err(|found| OpenError::Format { file: name, found, known: FORMAT })?;
        let end = firsts.get(index + 1).copied().unwrap_or(first);
        found.push((header.filter(|header| header.first == first), first, end, bytes));
    }
    let mut segments = Segments::default();
    let oldest = found.iter().find_map(|(header, ..)| *header);
    let mut around = oldest.map_or(epoch, |header| header.epoch);
    for (header, first, end, bytes) in found {
        around = header.map_or(around, |header| header.epoch);
        let payload_max = header.map_or(0, |header| header.payload_max);
        let readable = header.is_some();
        segments.push(Segment { first, end, epoch: around, payload_max, bytes, readable });
    }
    Ok(segments)
}

type ReadHeader = Result<Option<Header>, u32>;

fn header<D: Disk>(disk: &D, name: &str) -> io::Result<(ReadHeader, u64)> {
    let file = disk.open(name)?;
    let mut bytes = [0; HEADER];
    let length = match file.read_at(0, &mut bytes) {
        Err(error) if is_unreadable(&error) => 0,
        other => other?,
    };
    Ok((Header::read(&bytes[..length]), file.bytes()?))
}

/// What the newest segment holds.
#[derive(Default)]
struct Newest {
    first: u64,
    /// The number after the last that may have been given.
    end: u64,
    /// How many records, from the floor on.
    records: u64,
    /// Where the source stood before the first hole: what follows a hole may never have been confirmed to the source.
    position: Option<Position>,
    /// A segment that never held anything durable.
    empty: Option<Segment>,
}

/// Reads the newest segment, and cuts off a write that did not come to its end.
fn newest<D: Disk>(
    disk: &D,
    segments: &mut Segments,
    mark: &Mark,
    recovery: &mut Recovery,
) -> io::Result<Newest> {
    let hint = mark.next;
    let Some(segment) = segments.back().copied() else { return Ok(Newest::default()) };
    let file = Arc::new(disk.open(&segment::name(segment.first))?);
    let mut newest = Newest { first: segment.first, end: segment.first, ..Newest::default() };
    if segment.readable {
        let all = Segment { end: segment::SEQ_MAX, ..segment };
        let mut walk = Walk::new(file.clone(), &all);
        let mut whole = true;
        while let Some(head) = walk.next(segment.bytes)? {
            whole &= head.seq == newest.end || head.seq <= hint;
            if whole && head.seq >= hint {
                newest.position = Some(head.position);
            }
            newest.records += u64::from(head.seq >= mark.floor);
            newest.end = head.seq + 1;
        }
        let tail = walk.tail(segment.bytes)?;
        newest.end += tail.damaged;
        let kept = tail.end.min(segment.bytes);
        recovery.torn_bytes = segment.bytes - kept;
        if recovery.torn_bytes > 0 {
            file.truncate(kept)?;
            file.sync()?;
        }
        segments.set_back(segment.first, kept);
    } else if !is_blank(&*file, segment.bytes)? {
        newest.end += 1;
    } else {
        recovery.torn_bytes = segment.bytes;
    }
    if newest.end.max(hint) == segment.first {
        newest.empty = segments.pop_back();
    }
    Ok(newest)
}

/// Whether the file of a segment without a header never had more: then its making did not come to its end.
fn is_blank<F: DiskFile>(file: &F, bytes: u64) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    let mut offset = 0;
    while bytes > HEADER as u64 && offset < bytes {
        let count = match file.read_at(offset, &mut buffer) {
            Err(error) if is_unreadable(&error) => return Ok(false),
            other => other?,
        };
        if buffer[..count].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        if count == 0 {
            break;
        }
        offset += count as u64;
    }
    Ok(true)
}

/// Where the source stood after the last intact record before `newest` and from `hint` on.
fn position<D: Disk>(
    disk: &D,
    segments: &Segments,
    newest: u64,
    hint: u64,
) -> io::Result<Option<Position>> {
    let older = segments.iter().rev().take_while(|segment| segment.end > hint);
    for segment in older.filter(|segment| segment.readable && segment.first < newest) {
        let mut walk = Walk::new(Arc::new(disk.open(&segment::name(segment.first))?), segment);
        let mut position = None;
        while let Some(head) = walk.next(segment.bytes)? {
            position = Some(head.position);
        }
        if position.is_some() {
            return Ok(position);
        }
    }
    Ok(None)
}

/// Removes what is of no use any more: what was let go when the power failed, and a segment without content.
fn discard<D: Disk>(disk: &D, unused: &[Segment]) -> io::Result<()> {
    for segment in unused {
        disk.remove(&segment::name(segment.first))?;
    }
    if unused.is_empty() { Ok(()) } else { disk.sync_dir() }
}

fn count<D: Disk>(spool: &Spool<D>, newest: &Newest, recovery: &mut Recovery) {
    let floor = spool.floor();
    let from_floor = |first: u64, end: u64| end.saturating_sub(first.max(floor));
    for segment in spool.segments.iter() {
        let numbers = from_floor(segment.first, segment.end);
        let records = if !segment.readable {
            0
        } else if spool.is_newest(segment) && newest.empty.is_none() {
            newest.records
        } else {
            numbers
        };
        recovery.records += records;
        recovery.damaged += numbers - records;
    }
    let lowest = spool.segments.front().map_or(spool.next, |segment| segment.first);
    recovery.damaged += from_floor(spool.mark.now.dropped_through + 1, lowest);
    let mut epochs: Vec<Epoch> = spool.spans().iter().map(|span| span.epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    recovery.epochs = epochs.len();
}
