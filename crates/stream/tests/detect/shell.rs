//! Detectors and [`IdleWatch`] as a shell drives them: with pauses of all kinds, stalls, crashes and a
//! clock. The topic is complete from the start, so that silence is real at its end only.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use weir_stream::{Checkpoint, DetectorOutput, Detectors, IdleWatch};

use crate::history::{History, histories, settled};

const AFTER: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
enum Step {
    /// Read a row of one of the partitions that may be read.
    Read(usize),
    /// Let time pass.
    Wait(u64),
    /// Back-pressure: hold a partition back, or no longer.
    Hold(i32, bool),
    /// Commit these partitions, a bit for each.
    Commit(u8),
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        60 => (0..60usize).prop_map(Step::Read),
        10 => (0..50u64).prop_map(Step::Wait),
        10 => (0..6i32, any::<bool>()).prop_map(|(partition, held)| Step::Hold(partition, held)),
        5 => (0..64u8).prop_map(Step::Commit),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 0..300)
}

/// What is left after a crash.
#[derive(Default)]
struct Durable {
    committed: BTreeMap<i32, Checkpoint>,
    outputs: BTreeMap<String, String>,
}

struct Shell<'a> {
    history: &'a History,
    detectors: Detectors,
    watch: IdleWatch,
    now: Duration,
    /// By partition, the place to read from next.
    nexts: BTreeMap<i32, usize>,
    held: [bool; 6],
    /// How often a partition was held back or paused for longer than a silence.
    long_holds: usize,
    paused_since: [Option<Duration>; 6],
    durable: &'a mut Durable,
}

impl<'a> Shell<'a> {
    fn start(history: &'a History, durable: &'a mut Durable, now: Duration) -> Self {
        let mut detectors = Detectors::new(vec![Box::new(history.detector())]);
        detectors.assign(&history.assigned());
        let mut nexts: BTreeMap<_, _> =
            history.assigned().into_iter().map(|partition| (partition, 0)).collect();
        for (&partition, checkpoint) in &durable.committed {
            detectors.resume(partition, &checkpoint.metadata).expect("our own metadata");
            nexts.insert(partition, usize::try_from(checkpoint.offset).expect("not negative"));
        }
        let watch = IdleWatch::new(Some(AFTER));
        let (held, paused_since, long_holds) = ([false; 6], [None; 6], 0);
        Self { history, detectors, watch, now, nexts, held, long_holds, paused_since, durable }
    }

    fn write(&mut self, outputs: Vec<DetectorOutput>) {
        for (id, output) in outputs.into_iter().map(settled) {
            let before = self.durable.outputs.entry(id).or_insert_with(|| output.clone());
            assert_eq!(*before, output, "an output that comes again is the same");
        }
    }

    fn next(&self, partition: i32) -> Option<usize> {
        self.history.places(partition, self.nexts[&partition]).next()
    }

    fn is_paused(&self, partition: i32) -> bool {
        self.held[partition.unsigned_abs() as usize] || self.detectors.is_waiting(partition)
    }

    /// What a shell does after each batch and each tick.
    fn tell(&mut self) {
        for partition in self.history.assigned() {
            let is_caught_up = self.next(partition).is_none();
            let is_paused = self.is_paused(partition);
            self.watch.caught_up(partition, is_caught_up, self.now);
            self.watch.paused(partition, is_paused, self.now);
            let since = &mut self.paused_since[partition.unsigned_abs() as usize];
            match (is_paused && !is_caught_up, *since) {
                (true, None) => *since = Some(self.now),
                (false, Some(_)) => *since = None,
                (true, Some(start)) if self.now - start > AFTER => {
                    self.long_holds += 1;
                    *since = Some(self.now);
                }
                _ => {}
            }
        }
        for (partition, is_idle) in self.watch.changes(self.now) {
            assert!(!is_idle || self.next(partition).is_none(), "only the end is silence");
            let outputs = self.detectors.set_idle(partition, is_idle);
            self.write(outputs);
        }
    }

    /// Reads a row; false if none may be read.
    fn read(&mut self, choice: usize) -> bool {
        let may_read =
            |&partition: &i32| self.next(partition).is_some() && !self.is_paused(partition);
        let partitions: Vec<_> = self.history.assigned().into_iter().filter(may_read).collect();
        let Some(last) = partitions.len().checked_sub(1) else { return false };
        let partition = partitions[choice % (last + 1)];
        let place = self.next(partition).expect("it may be read");
        let row = self.history.rows[place];
        self.nexts.insert(partition, place + 1);
        self.watch.record(partition, self.now);
        let outputs = self.detectors.observe(row.position(place), &row.joined());
        self.write(outputs);
        self.tell();
        true
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.tell();
    }

    fn commit(&mut self, partitions: u8) {
        for (&partition, &next) in
            self.nexts.iter().filter(|(partition, _)| partitions >> **partition & 1 == 1)
        {
            let next = i64::try_from(next).expect("small");
            self.durable.committed.insert(partition, self.detectors.checkpoint(partition, next));
        }
    }

    /// Reads to the end, and lets silence close the rest. One silence after the other at worst: a
    /// partition at its end may be paused until a slower one is idle, and its own begins only then.
    fn finish(&mut self) {
        self.held = [false; 6];
        self.tell();
        let partitions = self.history.assigned();
        for _ in 0..=2 * partitions.len() {
            while self.read(0) {}
            self.wait(AFTER.as_secs());
        }
        let is_read = partitions.iter().all(|&partition| self.next(partition).is_none());
        assert!(is_read, "once what is silent is idle, the rest may be read");
    }
}

/// Runs the steps, and gives the late rows and the long holds if there was no crash.
fn drive(history: &History, steps: &[Step], durable: &mut Durable) -> Option<(u64, usize)> {
    let mut crashed = false;
    let mut shell = Shell::start(history, durable, Duration::ZERO);
    shell.tell();
    for step in steps {
        match *step {
            Step::Read(choice) => drop(shell.read(choice)),
            Step::Wait(seconds) => shell.wait(seconds),
            Step::Hold(partition, held) => {
                shell.held[partition.unsigned_abs() as usize] = held;
                shell.tell();
            }
            Step::Commit(partitions) => shell.commit(partitions),
            Step::Crash => {
                crashed = true;
                let now = shell.now;
                shell = Shell::start(history, shell.durable, now);
                shell.tell();
            }
        }
    }
    shell.finish();
    let late = shell.detectors.ignored().map(|(_, ignored)| ignored.late).sum();
    (!crashed).then_some((late, shell.long_holds))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// However long a partition was held back, its rows are late by its own progress only; and however
    /// often the process died, all windows are whole.
    #[test]
    fn nothing_but_silence_is_idle(history in histories(120, 0..400), steps in steps()) {
        let mut durable = Durable::default();
        if let Some((late, _)) = drive(&history, &steps, &mut durable) {
            let own = (0..history.rows.len()).filter(|&place| history.is_late(place)).count();
            prop_assert_eq!(late, own as u64);
        }
        prop_assert_eq!(durable.outputs, history.whole());
    }
}

/// If no partition were ever held back for long, the property above would hold of any silence.
#[test]
fn partitions_are_held_back_for_longer_than_a_silence() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut whole, mut crashed, mut holds) = (0, 0, 0);
    for _ in 0..200 {
        let tree = (histories(120, 0..400), steps()).new_tree(&mut runner).expect("a history");
        let (history, steps) = proptest::strategy::ValueTree::current(&tree);
        match drive(&history, &steps, &mut Durable::default()) {
            Some((_, long_holds)) => (whole, holds) = (whole + 1, holds + long_holds),
            None => crashed += 1,
        }
    }
    assert!(
        whole > 20 && crashed > 50 && holds > 50,
        "{whole} whole, {crashed} crashed, {holds} holds"
    );
}
