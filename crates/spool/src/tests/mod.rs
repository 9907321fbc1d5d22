//! Tests of the spool as a whole. What they share is here.

mod basics;
mod crash;
mod damage;
mod faults;

use weir_events::{Epoch, GapReason};

use crate::{Disk, Entry, Gap, Item, Policy, Position, Record, Settings, Spool};

pub(crate) const SMALL: Settings = Settings {
    segment_bytes: 1000,
    quota_bytes: 100_000,
    policy: Policy::Block,
    record_bytes_max: 300,
};

pub(crate) fn epoch(number: u8) -> Epoch {
    Epoch::from_bytes([number; 16])
}

pub(crate) fn position(of: u64) -> Position {
    Position { file: of / 100, offset: of.wrapping_mul(10) }
}

/// Opens, and forgets what was found.
pub(crate) fn open<D: Disk>(disk: D, settings: Settings, number: u8) -> Spool<D> {
    Spool::open(disk, settings, epoch(number)).unwrap().0
}

/// Takes a record that can be told from all others, and commits it.
pub(crate) fn put<D: Disk>(spool: &mut Spool<D>, payload: &str) -> u64 {
    let seq = take(spool, payload);
    assert_eq!(spool.commit().unwrap(), seq);
    seq
}

pub(crate) fn take<D: Disk>(spool: &mut Spool<D>, payload: &str) -> u64 {
    let (seq, payload) = (spool.next_seq(), payload.as_bytes());
    let entry = Entry { kind: 3, at: at(seq), position: position(seq), payload };
    assert_eq!(spool.append(&entry).unwrap(), seq);
    seq
}

fn at(seq: u64) -> i64 {
    1_700_000_000_000_000 + seq.cast_signed()
}

/// Everything from a number on.
pub(crate) fn read_from<D: Disk>(spool: &mut Spool<D>, mut seq: u64) -> Vec<Item> {
    let mut items = Vec::new();
    while let Some(item) = spool.read(seq).unwrap() {
        seq = item.next();
        items.push(item);
    }
    items
}

pub(crate) fn record(number: u8, seq: u64, payload: &str) -> Item {
    let payload = payload.as_bytes().to_vec().into();
    Item::Record(Record { epoch: epoch(number), seq, kind: 3, at: at(seq), payload })
}

pub(crate) fn gap(number: u8, first: u64, count: u64, reason: GapReason) -> Item {
    Item::Gap(Gap { epoch: epoch(number), first, count, reason })
}
