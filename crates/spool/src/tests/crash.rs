//! The spool against a naive oracle, on a disk whose power fails at every single write, sync, removal and creation.
//!
//! The oracle is the list of what was taken and what was confirmed. After each failure the spool is opened again, its
//! power failing once more, also while it recovers; then everything is read and compared.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::{AppendError, CommitError, Recovery, SimulatedDisk};

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Commit,
    /// Records are taken while the commit is under way.
    CommitAround(usize),
    /// All but the newest so many.
    Release(u64),
    SaveMark,
    /// Read from so many below the end.
    Read(u64),
    FailSyncs(u32),
    /// The disk has room for so many bytes more.
    Room(usize),
    EndlessRoom,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_usize..=300).prop_map(Step::Append),
        5 => Just(Step::Commit),
        3 => (0_usize..=300).prop_map(Step::CommitAround),
        2 => (0_u64..30).prop_map(Step::Release),
        1 => Just(Step::SaveMark),
        2 => (0_u64..30).prop_map(Step::Read),
        1 => (1_u32..3).prop_map(Step::FailSyncs),
        1 => (0_usize..900).prop_map(Step::Room),
        2 => Just(Step::EndlessRoom),
    ]
}

#[derive(Clone, Debug, Default)]
struct Oracle {
    /// Everything that was ever taken.
    taken: BTreeMap<(u8, u64), Vec<u8>>,
    /// What a commit has confirmed, oldest first.
    confirmed: VecDeque<(u8, u64)>,
    released: u64,
    dropped: BTreeSet<u64>,
    damaged: BTreeSet<u64>,
}

impl Oracle {
    fn append(&mut self, spool: &mut Spool<SimulatedDisk>, number: u8, bytes: usize) -> bool {
        let seq = spool.next_seq();
        let payload: Vec<u8> = (0..bytes).map(|at| (at as u8) ^ number ^ (seq as u8)).collect();
        let entry = Entry { kind: number, at: at(seq), position: position(seq), payload: &payload };
        match spool.append(&entry) {
            Ok(given) => {
                assert_eq!(given, seq);
                assert_eq!(self.taken.insert((number, seq), payload), None, "a number twice");
                true
            }
            Err(AppendError::Full(_)) => true,
            Err(_) => false,
        }
    }

    fn confirm(&mut self, spool: &Spool<SimulatedDisk>, number: u8, durable: u64) {
        assert_eq!(spool.durable(), durable);
        let known = self.confirmed.back().map_or(0, |(_, seq)| *seq);
        let new = self.taken.range((number, known + 1)..=(number, durable)).map(|(id, _)| *id);
        let new: Vec<_> = new.collect();
        assert_eq!(new.last().map_or(known, |(_, seq)| *seq), durable.max(known));
        self.confirmed.extend(new);
    }

    /// Whether the power is still there.
    fn commit(&mut self, spool: &mut Spool<SimulatedDisk>, number: u8) -> Result<(), CommitError> {
        let before = spool.durable();
        match spool.commit() {
            Ok(durable) if durable > before => self.confirm(spool, number, durable),
            Ok(durable) => assert_eq!(durable, before),
            Err(error) => {
                assert_eq!(spool.durable(), before);
                return Err(error);
            }
        }
        Ok(())
    }

    /// One step. False if the power is gone.
    fn step(&mut self, spool: &mut Spool<SimulatedDisk>, number: u8, step: &Step) -> bool {
        let disk = spool.disk.clone();
        match *step {
            Step::Append(bytes) => return self.append(spool, number, bytes),
            Step::Commit => {
                // A failure that is not for ever is made good by the next commit.
                self.commit(spool, number).ok();
            }
            Step::CommitAround(bytes) => {
                let Ok(begun) = spool.begin_commit() else { return true };
                let goes_on = self.append(spool, number, bytes);
                if let Some(commit) = begun
                    && let Ok(durable) = spool.finish_commit(commit.sync())
                {
                    self.confirm(spool, number, durable);
                }
                return goes_on;
            }
            Step::Release(but) => {
                let through = spool.durable().saturating_sub(but);
                self.observe_drops(spool);
                self.released = self.released.max(through);
                return spool.release(through).is_ok();
            }
            Step::SaveMark => return spool.save_mark().is_ok(),
            Step::Read(back) => {
                let seq = spool.durable().saturating_sub(back).max(1);
                spool.read(seq).unwrap();
            }
            Step::FailSyncs(count) => disk.fail_syncs(count),
            Step::Room(bytes) => disk.set_capacity(Some(disk.used() + bytes)),
            Step::EndlessRoom => disk.set_capacity(None),
        }
        true
    }

    fn observe_drops(&mut self, spool: &mut Spool<SimulatedDisk>) {
        if let Some(Item::Gap(gap)) = spool.read(0).unwrap()
            && gap.reason == GapReason::Quota
        {
            self.dropped.extend(gap.first..=gap.last());
        }
    }

    /// Reads everything and compares.
    fn check(&mut self, spool: &mut Spool<SimulatedDisk>) -> (u64, u64) {
        let mut records = BTreeSet::new();
        let (mut next, mut damaged) = (spool.floor(), BTreeSet::new());
        let spans = spool.spans();
        assert!(next <= self.released + 1, "the floor is above what was released");
        for item in read_from(spool, 0) {
            let (first, epoch) = match &item {
                Item::Record(record) => (record.seq, record.epoch),
                Item::Gap(gap) => (gap.first, gap.epoch),
            };
            assert_eq!(first, next);
            next = item.next();
            let span = spans.iter().find(|span| (span.first..=span.last).contains(&first));
            assert_eq!(span.map(|span| span.epoch), Some(epoch));
            match item {
                Item::Record(record) => {
                    let number = record.epoch.as_bytes()[0];
                    let payload = self.taken.get(&(number, record.seq)).map(Vec::as_slice);
                    assert_eq!(payload, Some(&record.payload[..]));
                    assert_eq!((record.kind, record.at), (number, at(record.seq)));
                    records.insert((number, record.seq));
                }
                Item::Gap(gap) if gap.reason == GapReason::Quota => {
                    self.dropped.extend(gap.first..=gap.last());
                }
                Item::Gap(gap) => damaged.extend(gap.first..=gap.last()),
            }
        }
        assert_eq!(next, spool.durable() + 1);
        for (number, seq) in self.confirmed.iter().filter(|(_, seq)| *seq >= spool.floor()) {
            let kept = records.contains(&(*number, *seq)) || self.dropped.contains(seq);
            assert!(kept, "{seq} is lost: {damaged:?}");
        }
        self.check_position(spool, &damaged);
        self.damaged.extend(&damaged);
        let stats = spool.stats();
        assert_eq!(stats.dropped, self.dropped.len() as u64);
        assert_eq!(stats.damaged, self.damaged.len() as u64);
        assert_eq!(stats.records, (records.len() + damaged.len()) as u64);
        (records.len() as u64, damaged.len() as u64)
    }

    /// The source neither repeats what was confirmed nor passes over what was lost without being confirmed.
    fn check_position(&self, spool: &Spool<SimulatedDisk>, damaged: &BTreeSet<u64>) {
        let stands = spool.position().offset / 10;
        let confirmed = self.confirmed.back().map_or(0, |(_, seq)| *seq);
        assert!((confirmed..=spool.durable()).contains(&stands), "{stands} {confirmed}");
        let lost = damaged.iter().find(|seq| confirmed < **seq && **seq <= stands);
        // What a former opening has read again has another number.
        let explained = lost.is_none_or(|seq| self.damaged.contains(seq));
        assert!(explained, "the source stands at {stands}, {lost:?} is lost");
    }

    /// One opening up to a power failure, if there is one.
    fn run(&mut self, disk: &SimulatedDisk, settings: Settings, number: u8, steps: &[Step]) {
        let Ok((mut spool, recovery)) = Spool::open(disk.clone(), settings, epoch(number)) else {
            return;
        };
        let damage_is_old = !self.damaged.is_empty();
        let (records, damaged) = self.check(&mut spool);
        let Recovery { records: r, damaged: d, .. } = recovery;
        assert_eq!(r + d, records + damaged);
        // In a segment that is not the newest any more, damage shows when it is read.
        assert!(r == records || (r > records && damage_is_old), "{r} {records}");
        // What could not be cut before the failure may be there twice.
        let bytes_max = settings.quota_bytes.max(spool.stats().bytes);
        for step in steps {
            if !self.step(&mut spool, number, step) {
                return;
            }
            self.observe_drops(&mut spool);
            assert!(spool.stats().bytes <= bytes_max || !disk.has_power());
        }
        self.check(&mut spool);
    }
}

/// A run whose power fails at a change, another whose power fails too, maybe while it recovers, and one that ends.
fn check(seed: u64, policy: Policy, steps: [&[Step]; 3], failures: [Option<u64>; 2]) -> u64 {
    let settings = Settings { quota_bytes: 2500, policy, ..SMALL };
    let mut oracle = Oracle::default();
    let first = SimulatedDisk::new(seed);
    first.fail_power_at(failures[0]);
    oracle.run(&first, settings, 1, steps[0]);
    let second = first.after_power_failure();
    second.fail_power_at(failures[1]);
    oracle.run(&second, settings, 2, steps[1]);
    let third = second.after_power_failure();
    oracle.run(&third, settings, 3, steps[2]);
    let spool = Spool::open(third.after_power_failure(), settings, epoch(4));
    oracle.check(&mut spool.unwrap().0);
    first.changes()
}

proptest! {
    #[test]
    fn nothing_that_was_confirmed_is_lost(
        seed: u64,
        drops: bool,
        before in prop::collection::vec(step(), 0..60),
        between in prop::collection::vec(step(), 0..20),
        after in prop::collection::vec(step(), 0..20),
    ) {
        let policy = if drops { Policy::DropOldest } else { Policy::Block };
        let steps = [&before[..], &between, &after];
        let changes = check(seed, policy, steps, [None, None]);
        for change in 0..=changes {
            // The second failure wanders: over the recovery, and over what follows it.
            let second = (change % 3 > 0).then_some(change.wrapping_mul(seed | 1) % 24);
            check(seed ^ change, policy, steps, [Some(change), second]);
        }
    }
}
