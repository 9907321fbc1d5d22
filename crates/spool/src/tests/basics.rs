//! One property of the interface in each test, without failures of the disk.

use super::*;
use crate::{AppendError, CommitError, Directory, Full, OpenError, SimulatedDisk, Span};

#[test]
fn records_are_numbered_on_across_openings_and_keep_their_epoch() {
    let disk = SimulatedDisk::new(1);
    let mut spool = open(disk.clone(), SMALL, 1);
    put(&mut spool, "a");
    put(&mut spool, "b");
    drop(spool);
    let mut spool = open(disk.clone(), SMALL, 2);
    assert_eq!((spool.durable(), spool.next_seq(), spool.position()), (2, 3, position(2)));
    put(&mut spool, "c");
    let all = [record(1, 1, "a"), record(1, 2, "b"), record(2, 3, "c")];
    assert_eq!(read_from(&mut spool, 0), all);
    assert_eq!(read_from(&mut spool, 2), all[1..]);
    let span = |number, first, last| Span { epoch: epoch(number), first, last };
    assert_eq!(spool.spans(), [span(1, 1, 2), span(2, 3, 3)]);
    let again = Spool::open(disk, SMALL, epoch(1));
    assert!(matches!(again, Err(OpenError::EpochInUse)));
}

#[test]
fn nothing_is_read_before_it_is_durable() {
    let mut spool = open(SimulatedDisk::new(1), SMALL, 1);
    take(&mut spool, "a");
    assert_eq!(spool.read(1).unwrap(), None);
    let commit = spool.begin_commit().unwrap().unwrap();
    take(&mut spool, "b");
    assert!(spool.begin_commit().unwrap().is_none());
    assert!(matches!(spool.commit(), Err(CommitError::UnderWay)));
    assert_eq!(spool.read(1).unwrap(), None);
    let synced = std::thread::spawn(|| commit.sync()).join().unwrap();
    assert_eq!(spool.finish_commit(synced).unwrap(), 1);
    assert_eq!(read_from(&mut spool, 1), [record(1, 1, "a")]);
    assert_eq!((spool.commit().unwrap(), spool.commit().unwrap()), (2, 2));
    assert_eq!(read_from(&mut spool, 1), [record(1, 1, "a"), record(1, 2, "b")]);
}

#[test]
fn what_is_released_is_removed_and_remembered() {
    let disk = SimulatedDisk::new(1);
    let mut spool = open(disk.clone(), SMALL, 1);
    for number in 1..=40 {
        put(&mut spool, &format!("{number:100}"));
    }
    let full = spool.stats();
    assert_eq!((full.records, full.segments), (40, 7));
    spool.release(20).unwrap();
    assert_eq!((spool.floor(), spool.stats().records, spool.stats().segments), (21, 20, 4));
    assert_eq!(spool.read(3).unwrap(), Some(record(1, 21, &format!("{:100}", 21))));
    assert_eq!(spool.stats().oldest_at, Some(at(21)));
    spool.release(99).unwrap();
    let idle = spool.stats();
    assert_eq!((spool.floor(), idle.records, idle.segments, idle.bytes), (41, 0, 0, 0));
    spool.save_mark().unwrap();
    drop(spool);
    let mut spool = open(disk, SMALL, 2);
    assert_eq!((spool.floor(), spool.next_seq(), spool.position()), (41, 41, position(40)));
    assert_eq!((spool.read(1).unwrap(), spool.spans()), (None, vec![]));
}

#[test]
fn a_blocking_spool_takes_nothing_beyond_its_quota() {
    let settings = Settings { quota_bytes: 3000, ..SMALL };
    let mut spool = open(SimulatedDisk::new(1), settings, 1);
    let entry = Entry { kind: 3, at: 0, position: position(0), payload: &[7; 100] };
    let full = loop {
        if let Err(error) = spool.append(&entry) {
            break error;
        }
        spool.commit().unwrap();
    };
    assert!(matches!(full, AppendError::Full(Full::Quota)), "{full}");
    let count = spool.durable();
    assert!((17..20).contains(&count) && spool.stats().bytes <= 3000, "{count}");
    assert_eq!(read_from(&mut spool, 1).len() as u64, count);
    spool.release(7).unwrap();
    assert_eq!(spool.append(&entry).unwrap(), count + 1);
    let large = Entry { payload: &[7; 301], ..entry };
    assert!(matches!(spool.append(&large), Err(AppendError::TooLarge { bytes: 301, max: 300 })));
}

#[test]
fn a_dropping_spool_counts_what_it_drops_also_after_another_opening() {
    let disk = SimulatedDisk::new(1);
    let settings = Settings { quota_bytes: 3000, policy: Policy::DropOldest, ..SMALL };
    let mut spool = open(disk.clone(), settings, 1);
    for number in 1..=40 {
        put(&mut spool, &format!("{number:100}"));
        if number == 5 {
            spool.release(2).unwrap();
        }
    }
    let stats = spool.stats();
    assert!(stats.bytes <= 3000 && stats.dropped > 20, "{stats:?}");
    let items = read_from(&mut spool, 1);
    assert_eq!(items[0], gap(1, 3, stats.dropped, GapReason::Quota));
    assert_eq!(items.len() as u64 - 1 + stats.dropped, 38);
    drop(spool);
    let mut spool = open(disk, settings, 2);
    assert_eq!(read_from(&mut spool, 1), items);
    assert_eq!(spool.stats().dropped, stats.dropped);
}

#[test]
fn too_much_that_is_not_durable_is_refused() {
    let mut spool = open(SimulatedDisk::new(1), SMALL, 1);
    let entry = Entry { kind: 3, at: 0, position: position(0), payload: &[7; 100] };
    let full = (0..10).find_map(|_| spool.append(&entry).err()).unwrap();
    assert!(matches!(full, AppendError::Full(Full::Buffer)), "{full}");
    spool.commit().unwrap();
    spool.append(&entry).unwrap();
}

#[test]
fn a_real_directory_is_for_one_process_and_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("spool");
    let mut spool = open(Directory::open(&path).unwrap(), SMALL, 1);
    put(&mut spool, "a");
    let second = Directory::open(&path).unwrap_err();
    assert!(matches!(second, OpenError::Locked { .. }), "{second}");
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()), 0o700);
    for file in path.read_dir().unwrap() {
        assert_eq!(mode(file.unwrap().path()), 0o600);
    }
    drop(spool);
    let mut spool = open(Directory::open(&path).unwrap(), SMALL, 2);
    assert_eq!(read_from(&mut spool, 1), [record(1, 1, "a")]);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for settings in
        [Settings { segment_bytes: 800, ..SMALL }, Settings { quota_bytes: 1999, ..SMALL }]
    {
        let refused = Spool::open(SimulatedDisk::new(1), settings, epoch(1));
        assert!(matches!(refused, Err(OpenError::Settings(_))));
    }
}
