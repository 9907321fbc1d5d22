//! The join across crashes: what was output before them and after them, as a set, is the output of a
//! run without a crash.

use std::collections::BTreeSet;

use crate::history::{Topics, topics};
use proptest::prelude::*;
use weir_events::Side;
use weir_stream::{Join, JoinCounts};

const SIDES: [Side; 2] = [Side::Prediction, Side::Target];

/// One life of a process: how long it lives, in what order it reads, when it commits each side.
#[derive(Clone, Debug)]
struct Life {
    steps: usize,
    choices: Vec<bool>,
    commits: Vec<(bool, bool)>,
}

fn life() -> impl Strategy<Value = Life> {
    let choices = prop::collection::vec(any::<bool>(), 1..40);
    let commits =
        prop::collection::vec((prop::bool::weighted(0.2), prop::bool::weighted(0.2)), 1..40);
    (0..300usize, choices, commits).prop_map(|(steps, choices, commits)| Life {
        steps,
        choices,
        commits,
    })
}

/// What is left of a process after its death.
#[derive(Clone, Default, Debug)]
struct Durable {
    committed: [Option<usize>; 2],
    outputs: BTreeSet<String>,
}

/// Reads on from the committed offsets until the life ends, or both topics do.
fn live(topics: &Topics, life: &Life, durable: &mut Durable) -> JoinCounts {
    let mut join = Join::new(topics.config());
    let mut from = [0; 2];
    for side in SIDES {
        if let Some(offset) = durable.committed[side as usize] {
            join.resume(side);
            from[side as usize] = offset;
        }
    }
    let order = topics.interleaving(&life.choices);
    let unread = order.into_iter().filter(|&(side, place)| place >= from[side as usize]);
    let mut commits = life.commits.iter().cycle();
    let mut outputs = Vec::new();
    let mut ended = true;
    for (step, (side, place)) in unread.enumerate() {
        if step == life.steps {
            ended = false;
            break;
        }
        outputs.extend(topics.push(&mut join, side, place));
        let &(prediction, target) = commits.next().expect("cycles");
        for (side, commits) in SIDES.into_iter().zip([prediction, target]) {
            if let Some(offset) = join.hold_back(side).filter(|_| commits) {
                let offset = usize::try_from(offset).expect("not negative");
                let committed = &mut durable.committed[side as usize];
                assert!(*committed <= Some(offset), "a commit never falls");
                *committed = Some(offset);
            }
        }
    }
    if ended {
        outputs.extend(join.finish());
    }
    durable.outputs.extend(outputs.iter().map(|output| format!("{output:?}")));
    join.counts()
}

fn whole(choices: &[bool]) -> Life {
    Life { steps: usize::MAX, choices: choices.to_vec(), commits: vec![(false, false)] }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn crashes_change_no_output(
        topics in topics(200),
        lives in prop::collection::vec(life(), 1..4),
        last in prop::collection::vec(any::<bool>(), 1..40),
    ) {
        let mut undisturbed = Durable::default();
        live(&topics, &whole(&[true, false]), &mut undisturbed);
        let mut durable = Durable::default();
        for life in &lives {
            live(&topics, life, &mut durable);
        }
        live(&topics, &whole(&last), &mut durable);
        prop_assert_eq!(durable.outputs, undisturbed.outputs);
    }
}

/// If nothing were ever committed, the property above would hold of any join.
#[test]
fn restarts_skip_most_of_a_long_topic() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut resumed, mut reread) = (0, 0);
    for _ in 0..200 {
        let tree = (topics(200), life()).new_tree(&mut runner).expect("a history");
        let (topics, life) = proptest::strategy::ValueTree::current(&tree);
        let mut durable = Durable::default();
        live(&topics, &life, &mut durable);
        resumed += usize::from(durable.committed.iter().flatten().any(|&offset| offset > 20));
        reread += live(&topics, &whole(&[true, false]), &mut durable).prediction.reread;
    }
    assert!(resumed > 40 && reread > 400, "{resumed} resumed, {reread} events reread silently");
}

/// In order, an event a microsecond: what is held back is what the module's head says.
#[test]
fn holds_back_four_times_within_plus_lateness() {
    let events = |side| {
        let event =
            |id: u32| crate::history::Event { id: 2 * id + side, key: 0, time: i64::from(id) };
        (0..1_000).map(event).collect()
    };
    let topics = Topics { predictions: events(0), targets: events(1), within: 16, lateness: 10 };
    let mut join = Join::new(topics.config());
    for (side, place) in topics.interleaving(&[false, true]) {
        topics.push(&mut join, side, place);
    }
    let held = SIDES.map(|side| 999 - join.hold_back(side).expect("long enough"));
    // One more than 4W + L, because the bound is strict, and up to W/8 for the spacing of bases.
    assert!(held.iter().all(|held| (75..=77).contains(held)), "{held:?}");
}
