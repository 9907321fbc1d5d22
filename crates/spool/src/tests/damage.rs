//! What the disk returns is not what was written. Everything undamaged is returned, everything else is told, nothing panics.

use proptest::prelude::*;

use super::*;
use crate::segment::{self, HEADER};
use crate::{OpenError, Recovery, SimulatedDisk};

const LARGE: Settings =
    Settings { segment_bytes: 64 << 10, quota_bytes: 1 << 20, record_bytes_max: 4096, ..SMALL };

/// A segment of 64 KiB, the mark that was there when it was begun, and where each record's frame ends.
struct Written {
    mark: Vec<u8>,
    segment: Vec<u8>,
    ends: Vec<usize>,
    records: Vec<Item>,
}

fn written() -> Written {
    let disk = SimulatedDisk::new(1);
    let mut spool = open(disk.clone(), LARGE, 1);
    let (mut ends, mut end) = (Vec::new(), HEADER);
    for seq in 1_usize.. {
        // Of all kinds: empty, all zero, text; of many sizes.
        let bytes = seq * 37 % 400;
        let payload = if seq % 5 == 0 { "\0".repeat(bytes) } else { format!("{seq:bytes$}") };
        end += crate::frame::HEAD + payload.len();
        if end > 64 << 10 {
            break;
        }
        ends.push(end);
        take(&mut spool, &payload);
        if seq % 8 == 0 {
            spool.commit().unwrap();
        }
    }
    spool.commit().unwrap();
    let records = read_from(&mut spool, 1);
    assert_eq!((records.len(), spool.stats().segments), (ends.len(), 1));
    Written { mark: disk.content("mark"), segment: disk.content(&segment::name(1)), ends, records }
}

impl Written {
    fn count(&self) -> u64 {
        self.records.len() as u64
    }

    /// The records as they are with these bytes in the place of the segment, and maybe another one behind it.
    fn reopened(&self, segment: &[u8], next: Option<&[u8]>) -> (Vec<Item>, Recovery) {
        let disk = SimulatedDisk::new(1);
        disk.put("mark", &self.mark);
        disk.put(&segment::name(1), segment);
        if let Some(next) = next {
            disk.put(&segment::name(self.count() + 1), next);
        }
        let (mut spool, recovery) = Spool::open(disk, LARGE, epoch(9)).unwrap();
        (read_from(&mut spool, 1), recovery)
    }

    /// Every byte of the headers and the frames' heads, and every fifth of the payloads: all 65,000 take 16 s and find no
    /// more.
    fn offsets(&self) -> impl Iterator<Item = usize> {
        (0..self.segment.len()).filter(|offset| {
            let frame = self.ends.partition_point(|end| end <= offset);
            let start = frame.checked_sub(1).map_or(HEADER, |before| self.ends[before]);
            *offset < start + crate::frame::HEAD || offset % 5 == 0
        })
    }

    /// Damage at an offset costs the record that is there, and no other. All of them survive damage of the header.
    fn expected(&self, offset: usize) -> (Vec<Item>, u64) {
        let mut items = self.records.clone();
        if offset < HEADER {
            return (items, 0);
        }
        let hit = self.ends.partition_point(|end| *end <= offset);
        items[hit] = gap(1, hit as u64 + 1, 1, GapReason::Damaged);
        (items, 1)
    }
}

#[test]
fn one_flipped_bit_costs_one_record_wherever_it_is() {
    let written = written();
    for offset in written.offsets() {
        let mut segment = written.segment.clone();
        segment[offset] ^= 1 << (offset % 8);
        let (items, recovery) = written.reopened(&segment, None);
        let (expected, damaged) = written.expected(offset);
        assert!(items == expected, "at {offset}");
        let found = (recovery.records, recovery.damaged, recovery.torn_bytes > 400);
        assert_eq!(found, (written.count() - damaged, damaged, false), "at {offset}");
    }
}

#[test]
fn one_flipped_bit_in_a_sealed_segment_is_found_when_it_is_read() {
    let written = written();
    let next = segment::Header { epoch: epoch(2), first: written.count() + 1, payload_max: 10 };
    let mut next = next.encode().to_vec();
    let seq = written.count() + 1;
    let entry = Entry { kind: 3, at: at(seq), position: position(seq), payload: b"next" };
    crate::frame::encode(crate::frame::seed(epoch(2)), seq, &entry, &mut next);
    for offset in (0..written.segment.len()).step_by(7) {
        let mut segment = written.segment.clone();
        segment[offset] ^= 1 << (offset % 8);
        let (items, recovery) = written.reopened(&segment, Some(&next));
        let (mut expected, _) = written.expected(offset);
        expected.push(record(2, seq, "next"));
        assert!(items == expected, "at {offset}");
        assert_eq!((recovery.records, recovery.damaged, recovery.epochs), (seq, 0, 2));
    }
}

#[test]
fn a_segment_cut_anywhere_holds_what_was_whole() {
    let written = written();
    for bytes in written.offsets() {
        let (items, recovery) = written.reopened(&written.segment[..bytes], None);
        let whole = written.ends.partition_point(|end| *end <= bytes);
        assert!(items == written.records[..whole], "at {bytes}");
        assert_eq!((recovery.records, recovery.damaged), (whole as u64, 0));
        let kept = whole.checked_sub(1).map_or(HEADER, |last| written.ends[last]);
        let torn = (bytes as u64).saturating_sub(kept as u64);
        assert!(recovery.torn_bytes == torn || bytes < HEADER, "at {bytes}");
    }
}

/// Cards answer with an error where they have forgotten. That must not stop all that comes after.
#[test]
fn sectors_that_cannot_be_read_are_damage() {
    let written = written();
    for newest in [true, false] {
        for start in (4096..written.segment.len() as u64 - 4096).step_by(4096) {
            let disk = SimulatedDisk::new(1);
            disk.put("mark", &written.mark);
            disk.put(&segment::name(1), &written.segment);
            if !newest {
                put(&mut open(disk.clone(), LARGE, 2), "next");
            }
            disk.set_bad(start..start + 4096);
            let mut spool = open(disk, LARGE, 9);
            let (from, to) = (start as usize, start as usize + 4096);
            // It reads as zeros, and a frame that has only zeros there is none the worse.
            let hit = |record: &usize| {
                let begin = record.checked_sub(1).map_or(HEADER, |before| written.ends[before]);
                let bytes = begin.max(from)..written.ends[*record].min(to);
                written.segment.get(bytes).is_some_and(|bytes| bytes.iter().any(|b| *b != 0))
            };
            let first = (0..written.ends.len()).find(hit).unwrap();
            let last = (0..written.ends.len()).rfind(hit).unwrap();
            let mut expected = written.records.clone();
            let count = (last - first) as u64 + 1;
            expected.splice(first..=last, [gap(1, first as u64 + 1, count, GapReason::Damaged)]);
            let items = read_from(&mut spool, 1);
            assert!(items[..expected.len()] == expected, "at {start}");
            assert_eq!(items.len(), expected.len() + usize::from(!newest));
        }
    }
    // A disk that is gone is no damage.
    let disk = SimulatedDisk::new(1);
    let mut spool = open(disk.clone(), LARGE, 1);
    put(&mut spool, "a");
    disk.set_bad(0..u64::MAX);
    assert!(spool.read(1).is_err());
    disk.set_bad(0..0);
    assert_eq!(read_from(&mut spool, 1), [record(1, 1, "a")]);
}

/// The end of the newest segment cannot be read: how much it was is unknown, that it was something is told.
#[test]
fn an_end_that_cannot_be_read_is_not_cut_off() {
    let written = written();
    let disk = SimulatedDisk::new(1);
    disk.put("mark", &written.mark);
    disk.put(&segment::name(1), &written.segment);
    disk.set_bad(61_440..65_536);
    let (mut spool, recovery) = Spool::open(disk, LARGE, epoch(9)).unwrap();
    let whole = written.ends.partition_point(|end| *end <= 61_440);
    assert_eq!((recovery.torn_bytes, recovery.damaged), (0, 1));
    let mut expected = written.records[..whole].to_vec();
    expected.push(gap(1, whole as u64 + 1, 1, GapReason::Damaged));
    assert_eq!(read_from(&mut spool, 1), expected);
}

/// A mark tells how far the spool got, so a file that lost its end is not taken for one that was never longer.
#[test]
fn what_a_mark_knows_and_a_segment_lacks_is_a_gap() {
    let written = written();
    let disk = SimulatedDisk::new(1);
    disk.put("mark", &written.mark);
    disk.put(&segment::name(1), &written.segment);
    open(disk.clone(), LARGE, 2).save_mark().unwrap();
    for bytes in [0, 20, HEADER, 5000, written.segment.len() - 1] {
        let disk = disk.copied();
        disk.put(&segment::name(1), &written.segment[..bytes]);
        let mut spool = open(disk, LARGE, 3);
        let whole = written.ends.partition_point(|end| *end <= bytes);
        let lost = written.count() - whole as u64;
        let mut expected = written.records[..whole].to_vec();
        // Without a header nobody knows the epoch; it is told as the present one.
        let epoch = if bytes < HEADER / 2 { 3 } else { 1 };
        expected.push(gap(epoch, whole as u64 + 1, lost, GapReason::Damaged));
        assert_eq!(read_from(&mut spool, 1), expected);
        assert_eq!((spool.next_seq(), spool.stats().damaged), (written.count() + 1, lost));
    }
}

#[test]
fn a_segment_that_is_gone_is_a_gap_with_its_exact_numbers() {
    let disk = SimulatedDisk::new(1);
    let mut spool = open(disk.clone(), SMALL, 1);
    for number in 1..=30 {
        put(&mut spool, &format!("{number:100}"));
    }
    spool.save_mark().unwrap();
    let all = read_from(&mut spool, 1);
    // Six records to a segment.
    for (lost, header) in [(1, false), (7, false), (25, false), (1, true), (7, true), (25, true)] {
        let disk = disk.copied();
        if header {
            let mut content = disk.content(&segment::name(lost));
            content[..HEADER].fill(0x55);
            disk.put(&segment::name(lost), &content);
        } else {
            disk.remove(&segment::name(lost)).unwrap();
        }
        let mut spool = open(disk, SMALL, 2);
        let mut expected = all.clone();
        let at = usize::try_from(lost - 1).unwrap();
        expected.splice(at..at + 6, [gap(1, lost, 6, GapReason::Damaged)]);
        assert_eq!(read_from(&mut spool, 1), expected, "{lost} {header}");
        assert_eq!(spool.stats().damaged, 6);
        assert_eq!(spool.next_seq(), 31);
    }
}

/// A record that is the image of a frame, as it is in another spool, must not come out when its own frame is damaged.
#[test]
fn a_frame_of_another_epoch_is_no_frame() {
    let disk = SimulatedDisk::new(1);
    let mut spool = open(disk.clone(), SMALL, 1);
    put(&mut spool, "a");
    let entry = Entry { kind: 3, at: at(2), position: position(2), payload: b"foreign" };
    let mut image = Vec::new();
    crate::frame::encode(crate::frame::seed(epoch(2)), 2, &entry, &mut image);
    spool.append(&Entry { payload: &image, ..entry }).unwrap();
    spool.commit().unwrap();
    put(&mut spool, "c");
    let mut content = disk.content(&segment::name(1));
    content[HEADER + crate::frame::HEAD + 1 + 16] ^= 1;
    disk.put(&segment::name(1), &content);
    let items = [record(1, 1, "a"), gap(1, 2, 1, GapReason::Damaged), record(1, 3, "c")];
    assert_eq!(read_from(&mut open(disk, SMALL, 3), 1), items);
}

#[test]
fn without_a_mark_everything_that_is_there_is_read_again() {
    let disk = SimulatedDisk::new(1);
    let mut spool = open(disk.clone(), SMALL, 1);
    for number in 1..=30 {
        put(&mut spool, &format!("{number:100}"));
    }
    spool.release(20).unwrap();
    disk.put("mark", &[0x55; 8192]);
    let (mut spool, recovery) = Spool::open(disk, SMALL, epoch(2)).unwrap();
    assert!(recovery.mark_lost);
    assert_eq!((spool.floor(), spool.next_seq(), spool.position()), (19, 31, position(30)));
    assert_eq!(read_from(&mut spool, 1).len(), 12);
}

#[test]
fn what_a_later_version_wrote_is_refused() {
    let disk = SimulatedDisk::new(1);
    put(&mut open(disk.clone(), SMALL, 1), "a");
    let mut content = disk.content(&segment::name(1));
    content[8] = 2;
    let sum = crc32c::crc32c(&content[..40]);
    content[40..44].copy_from_slice(&sum.to_le_bytes());
    disk.put(&segment::name(1), &content);
    let refused = Spool::open(disk, SMALL, epoch(2)).unwrap_err();
    assert!(matches!(refused, OpenError::Format { found: 2, known: 1, .. }), "{refused}");
}

proptest! {
    /// Bytes in many places of several segments and of the mark are overwritten.
    #[test]
    fn what_is_returned_was_written_and_the_rest_is_told(
        hits in prop::collection::vec((0_usize..6, any::<prop::sample::Index>(),
            prop::collection::vec(any::<u8>(), 1..60)), 1..8),
    ) {
        let disk = SimulatedDisk::new(1);
        let mut spool = open(disk.clone(), SMALL, 1);
        for number in 1..=30 {
            put(&mut spool, &format!("{number:100}"));
        }
        let all = read_from(&mut spool, 1);
        for (file, index, bytes) in hits {
            let first = [1, 7, 13, 19, 25].get(file).copied();
            let name = first.map_or("mark".to_owned(), segment::name);
            let mut content = disk.content(&name);
            let at = index.index(content.len());
            let count = bytes.len().min(content.len() - at);
            content[at..at + count].copy_from_slice(&bytes[..count]);
            disk.put(&name, &content);
        }
        let (mut spool, recovery) = Spool::open(disk, SMALL, epoch(2)).unwrap();
        let mut next = 1;
        let mut damaged = 0;
        for item in read_from(&mut spool, 1) {
            match &item {
                Item::Record(record) => prop_assert_eq!(&item, &all[record.seq as usize - 1]),
                Item::Gap(gap) => {
                    prop_assert_eq!((gap.first, gap.reason), (next, GapReason::Damaged));
                    damaged += gap.count;
                }
            }
            next = item.next();
        }
        prop_assert_eq!(next, spool.next_seq());
        prop_assert!((25..=31).contains(&next));
        prop_assert_eq!(spool.stats().damaged, damaged);
        prop_assert!(recovery.damaged <= damaged);
        // It goes on.
        let seq = put(&mut spool, "after");
        prop_assert_eq!(spool.read(seq).unwrap(), Some(record(2, seq, "after")));
    }

    #[test]
    fn random_files_never_panic(
        mark in prop::collection::vec(any::<u8>(), 0..200),
        segments in prop::collection::vec(
            (1_u64..=1 << 62, any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..5),
    ) {
        let disk = SimulatedDisk::new(1);
        disk.put("mark", &mark);
        for (first, headed, bytes) in segments {
            let header = segment::Header { epoch: epoch(7), first, payload_max: u32::MAX };
            let content = if headed { [&header.encode()[..], &bytes].concat() } else { bytes };
            disk.put(&segment::name(first), &content);
        }
        let mut spool = open(disk, SMALL, 1);
        read_from(&mut spool, 0);
        let seq = put(&mut spool, "after");
        prop_assert_eq!(spool.read(seq).unwrap(), Some(record(1, seq, "after")));
    }
}
