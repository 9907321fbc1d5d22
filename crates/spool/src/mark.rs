//! What must be known beside the segments: how far they are released or dropped, and where numbers go on.
//!
//! One file with two slots in pages of their own, overwritten in turn: whatever happens to a write, the other slot is the
//! state before. The file's room is taken when it is made, so a mark can be written on a full disk.
//!
//! ```text
//!   0  magic          8     24  floor           8     56  dropped through  8     80  damage seen     8
//!   8  format         4     32  next            8     64  dropped          8     88  CRC32C of 0..88 4
//!  12  zero           4     40  position       16     72  damaged          8
//!  16  generation     8                                    the second slot: the same from 4096 on
//! ```
//! Invariant: no segment is removed before a mark says that its records are released or dropped.

use std::io;

use crate::disk::{Disk, DiskFile};
use crate::frame::{u32_at, u64_at};
use crate::record::Position;
use crate::segment::{FORMAT, SEQ_MAX};
use crate::window::is_unreadable;

const NAME: &str = "mark";
const MAGIC: [u8; 8] = *b"WeirMark";
const SLOT: usize = 92;
const PAGE: usize = 4096;

/// The state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    /// The lowest number that is not released.
    pub(crate) floor: u64,
    /// The number after the last durable one.
    pub(crate) next: u64,
    /// Where the source stood after the last durable record.
    pub(crate) position: Position,
    /// Up to this number everything was released or dropped: if it is above the floor, from there on dropped.
    pub(crate) dropped_through: u64,
    /// How many were dropped, ever.
    pub(crate) dropped: u64,
    /// How many damaged ones were met, ever.
    pub(crate) damaged: u64,
    /// The number up to which damage is counted.
    pub(crate) damage_seen: u64,
}

impl Mark {
    pub(crate) const NEW: Self = Self {
        floor: 1,
        next: 1,
        position: Position { file: 0, offset: 0 },
        dropped_through: 0,
        dropped: 0,
        damaged: 0,
        damage_seen: 0,
    };

    fn encode(&self, generation: u64) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(&MAGIC);
        slot[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        let numbers = [
            generation,
            self.floor,
            self.next,
            self.position.file,
            self.position.offset,
            self.dropped_through,
            self.dropped,
            self.damaged,
            self.damage_seen,
        ];
        for (place, number) in slot[16..88].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let sum = crc32c::crc32c(&slot[..88]);
        slot[88..].copy_from_slice(&sum.to_le_bytes());
        slot
    }

    /// Generation and state, if the slot is intact and makes sense.
    fn read(slot: &[u8]) -> Option<(u64, Self)> {
        let intact = slot[..8] == MAGIC
            && u32_at(slot, 8) == FORMAT
            && u32_at(slot, 88) == crc32c::crc32c(&slot[..88]);
        let number = |index: usize| u64_at(slot, 16 + 8 * index);
        let mark = Self {
            floor: number(1),
            next: number(2),
            position: Position { file: number(3), offset: number(4) },
            dropped_through: number(5),
            dropped: number(6),
            damaged: number(7),
            damage_seen: number(8),
        };
        let sensible = 1 <= mark.floor
            && mark.floor <= mark.next
            && mark.dropped_through < mark.next
            && mark.next <= SEQ_MAX;
        (intact && sensible).then_some((number(0), mark))
    }
}

/// One of the pages may be unreadable: that is what the other one is for.
fn read_pages<F: DiskFile>(file: &F, pages: &mut [u8; 2 * PAGE]) -> io::Result<()> {
    let (first, second) = pages.split_at_mut(PAGE);
    let results = [file.read_at(0, first), file.read_at(PAGE as u64, second)];
    match results {
        [Err(error), Ok(_)] | [Ok(_), Err(error)] if is_unreadable(&error) => Ok(()),
        results => results.into_iter().try_for_each(|result| result.map(|_| ())),
    }
}

/// The file, and the state as it is now.
#[derive(Debug)]
pub(crate) struct MarkFile<F> {
    file: F,
    generation: u64,
    /// What the file says.
    saved: Mark,
    /// What it should say when it is saved next.
    pub(crate) now: Mark,
}

impl<F: DiskFile> MarkFile<F> {
    /// Opens the file or makes it, and reads the newer of its slots; the flag tells whether one was intact.
    pub(crate) fn open<D: Disk<File = F>>(disk: &D, exists: bool) -> io::Result<(Self, bool)> {
        let file = if exists { disk.open(NAME)? } else { disk.create(NAME)? };
        let mut pages = [0; 2 * PAGE];
        if file.bytes()? < pages.len() as u64 {
            let bytes = file.read_at(0, &mut pages)?;
            file.write_at(bytes as u64, &pages[bytes..])?;
            file.sync()?;
            disk.sync_dir()?;
        } else {
            read_pages(&file, &mut pages)?;
        }
        let slots = pages.chunks_exact(PAGE).filter_map(|page| Mark::read(&page[..SLOT]));
        let newest = slots.max_by_key(|(generation, _)| *generation);
        let (generation, mark) = newest.unwrap_or((0, Mark::NEW));
        Ok((Self { file, generation, saved: mark, now: mark }, newest.is_some()))
    }

    /// The name of the file.
    pub(crate) fn is_named(name: &str) -> bool {
        name == NAME
    }

    /// Makes `now` durable. If that fails the slot's state is unknown, and the same slot is written next time.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        self.write(self.now)
    }

    /// Makes another state durable; only then it is the one that is now.
    pub(crate) fn replace(&mut self, mark: Mark) -> io::Result<()> {
        self.write(mark)?;
        self.now = mark;
        Ok(())
    }

    /// The floor that would be read back.
    pub(crate) fn saved_floor(&self) -> u64 {
        self.saved.floor
    }

    fn write(&mut self, mark: Mark) -> io::Result<()> {
        let generation = self.generation.wrapping_add(1);
        let page = if generation.is_multiple_of(2) { 0 } else { PAGE };
        self.file.write_at(page as u64, &mark.encode(generation))?;
        self.file.sync()?;
        (self.generation, self.saved) = (generation, mark);
        Ok(())
    }
}
