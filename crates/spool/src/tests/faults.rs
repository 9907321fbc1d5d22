//! A disk that is full, and one that fails to write: nothing is lost, and nothing counts as durable that may not be.

use super::*;
use crate::{CommitError, SimulatedDisk};

fn fill<D: Disk>(spool: &mut Spool<D>, records: u64) {
    for _ in 0..records {
        put(spool, &"x".repeat(100));
    }
}

#[test]
fn a_full_disk_blocks_until_there_is_room() {
    let disk = SimulatedDisk::new(1);
    let mut spool = open(disk.clone(), SMALL, 1);
    fill(&mut spool, 20);
    disk.set_capacity(Some(disk.used() + 60));
    let seq = take(&mut spool, &"y".repeat(100));
    for _ in 0..3 {
        let full = spool.commit().unwrap_err();
        assert!(matches!(full, CommitError::Full(_)), "{full}");
    }
    assert_eq!((spool.durable(), spool.stats().pending), (20, 1));
    // The mark is written without any room, and then segments go.
    spool.release(12).unwrap();
    assert_eq!(spool.commit().unwrap(), seq);
    let mut spool = open(disk.after_power_failure(), SMALL, 2);
    let items = read_from(&mut spool, 1);
    assert_eq!((items.len(), items.last()), (9, Some(&record(1, seq, &"y".repeat(100)))));
}

#[test]
fn a_full_disk_drops_the_oldest_if_that_is_the_policy() {
    let disk = SimulatedDisk::new(1);
    let settings = Settings { policy: Policy::DropOldest, ..SMALL };
    let mut spool = open(disk.clone(), settings, 1);
    fill(&mut spool, 20);
    disk.set_capacity(Some(disk.used() + 60));
    fill(&mut spool, 10);
    assert_eq!((spool.durable(), spool.stats().dropped), (30, 12));
    assert_eq!(spool.read(1).unwrap(), Some(gap(1, 1, 12, GapReason::Quota)));
    let mut spool = open(disk.after_power_failure(), settings, 2);
    assert_eq!(spool.read(1).unwrap(), Some(gap(1, 1, 12, GapReason::Quota)));
    assert_eq!((read_from(&mut spool, 13).len(), spool.stats().dropped), (18, 12));
}

/// Even what is written to is sealed and dropped, when nothing else is left.
#[test]
fn a_disk_that_is_full_with_one_segment_drops_that() {
    let disk = SimulatedDisk::new(1);
    let settings = Settings { policy: Policy::DropOldest, ..SMALL };
    let mut spool = open(disk.clone(), settings, 1);
    fill(&mut spool, 3);
    disk.set_capacity(Some(disk.used()));
    let seq = put(&mut spool, "newest");
    let items = [gap(1, 1, 3, GapReason::Quota), record(1, seq, "newest")];
    assert_eq!(read_from(&mut spool, 1), items);
    // No room at all: there is nothing left to drop but what is not durable yet, and that is kept.
    disk.set_capacity(Some(0));
    take(&mut spool, "more");
    assert!(matches!(spool.commit(), Err(CommitError::Full(_))));
    assert_eq!(spool.read(1).unwrap(), Some(gap(1, 1, 4, GapReason::Quota)));
    disk.set_capacity(None);
    assert_eq!(spool.commit().unwrap(), 5);
    assert_eq!(spool.read(5).unwrap(), Some(record(1, 5, "more")));
}

#[test]
fn after_a_failed_fsync_everything_is_written_again_elsewhere() {
    for seed in 0..50 {
        let disk = SimulatedDisk::new(seed);
        let mut spool = open(disk.clone(), SMALL, 1);
        let mut expected = vec![record(1, 1, "first")];
        put(&mut spool, "first");
        take(&mut spool, "second");
        disk.fail_syncs(1);
        let commit = spool.begin_commit().unwrap().unwrap();
        take(&mut spool, "third");
        let failed = spool.finish_commit(commit.sync()).unwrap_err();
        assert!(matches!(failed, CommitError::Io(_)), "{failed}");
        assert_eq!(read_from(&mut spool, 1), expected, "not durable");
        assert_eq!(spool.position(), position(1));
        assert_eq!(spool.commit().unwrap(), 3);
        expected.extend([record(1, 2, "second"), record(1, 3, "third")]);
        assert_eq!(read_from(&mut spool, 1), expected);
        let mut spool = open(disk.after_power_failure(), SMALL, 2);
        assert_eq!(read_from(&mut spool, 1), expected);
    }
}

#[test]
fn a_commit_whose_thread_died_is_given_up_with_any_error() {
    let disk = SimulatedDisk::new(1);
    let mut spool = open(disk.clone(), SMALL, 1);
    take(&mut spool, "a");
    let stray = spool.begin_commit().unwrap().unwrap();
    spool.finish_commit(Err(std::io::Error::other("the thread is gone"))).unwrap_err();
    take(&mut spool, "b");
    let commit = spool.begin_commit().unwrap().unwrap();
    // It comes after all, and confirms nothing.
    assert_eq!(spool.finish_commit(stray.sync()).unwrap(), 0);
    assert_eq!(spool.finish_commit(commit.sync()).unwrap(), 2);
    assert_eq!(read_from(&mut spool, 1), [record(1, 1, "a"), record(1, 2, "b")]);
}

#[test]
fn opening_needs_no_room_when_there_is_a_mark() {
    let disk = SimulatedDisk::new(1);
    put(&mut open(disk.clone(), SMALL, 1), "a");
    disk.set_capacity(Some(0));
    let mut spool = open(disk.clone(), SMALL, 2);
    assert_eq!(read_from(&mut spool, 1), [record(1, 1, "a")]);
}
