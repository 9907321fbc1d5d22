//! Windows that every partition closes, across crashes: whatever was committed of which partition, the
//! outputs before and after, by id, are those of a run without a crash.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_stream::{Checkpoint, Detectors};

use crate::history::{History, choices, histories, settled};

/// One life of a process: how long it lives, in what order it reads, which partitions it commits after
/// each step (a bit for each), and whether what was output after the last commit is lost.
#[derive(Clone, Debug)]
struct Life {
    steps: usize,
    choices: Vec<usize>,
    commits: Vec<u8>,
    loses: bool,
}

fn life() -> impl Strategy<Value = Life> {
    let commits = prop::collection::vec(prop_oneof![4 => Just(0), 1 => 0..64u8], 1..40);
    let life = (0..150usize, choices(), commits, any::<bool>());
    life.prop_map(|(steps, choices, commits, loses)| Life { steps, choices, commits, loses })
}

/// What is left of a process after its death.
#[derive(Default, Debug)]
struct Durable {
    committed: BTreeMap<i32, Checkpoint>,
    outputs: BTreeMap<String, String>,
}

impl Durable {
    fn write(&mut self, outputs: &mut Vec<(String, String)>) {
        for (id, output) in outputs.drain(..) {
            let before = self.outputs.entry(id).or_insert_with(|| output.clone());
            assert_eq!(*before, output, "an output that comes again is the same");
        }
    }
}

/// Reads on from what is committed until the life ends, or all partitions do.
fn live(history: &History, life: &Life, durable: &mut Durable) {
    let mut detectors = Detectors::new(vec![Box::new(history.detector())]);
    detectors.assign(&history.assigned());
    let mut from = BTreeMap::new();
    for (&partition, checkpoint) in &durable.committed {
        detectors.resume(partition, &checkpoint.metadata).expect("our own metadata");
        from.insert(partition, usize::try_from(checkpoint.offset).expect("not negative"));
    }
    let mut nexts = BTreeMap::new();
    let mut outputs = Vec::new();
    let order = history.order(&life.choices, &from);
    for (place, commits) in order.into_iter().zip(life.commits.iter().cycle()).take(life.steps) {
        let row = history.rows[place];
        let observed = detectors.observe(row.position(place), &row.joined());
        outputs.extend(observed.into_iter().map(settled));
        nexts.insert(row.partition, i64::try_from(place + 1).expect("small"));
        if *commits == 0 {
            continue;
        }
        durable.write(&mut outputs);
        for (&partition, &next) in
            nexts.iter().filter(|(partition, _)| commits >> **partition & 1 == 1)
        {
            let checkpoint = detectors.checkpoint(partition, next);
            assert!(checkpoint.metadata.len() < 1_000);
            durable.committed.insert(partition, checkpoint);
        }
    }
    if !life.loses {
        durable.write(&mut outputs);
    }
}

fn whole(choices: Vec<usize>) -> Life {
    Life { steps: usize::MAX, choices, commits: vec![0], loses: false }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn crashes_change_no_output(
        history in histories(120, 0..200),
        lives in prop::collection::vec(life(), 1..5),
        last in choices(),
    ) {
        let mut undisturbed = Durable::default();
        live(&history, &whole(vec![0]), &mut undisturbed);
        let mut durable = Durable::default();
        for life in &lives {
            live(&history, life, &mut durable);
        }
        live(&history, &whole(last), &mut durable);
        prop_assert_eq!(durable.outputs, undisturbed.outputs);
    }
}

/// If nothing were ever committed or closed, the property above would hold of any detector.
#[test]
fn restarts_skip_rows_and_windows_close() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut resumed, mut closed) = (0, 0);
    for _ in 0..200 {
        let tree = (histories(120, 0..200), life()).new_tree(&mut runner).expect("a history");
        let (history, life) = proptest::strategy::ValueTree::current(&tree);
        let mut durable = Durable::default();
        live(&history, &life, &mut durable);
        resumed += durable.committed.values().filter(|checkpoint| checkpoint.offset > 20).count();
        closed += durable.outputs.len();
    }
    assert!(resumed > 100 && closed > 100, "{resumed} resumed, {closed} closed");
}
