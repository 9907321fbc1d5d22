//! How far out of order joined rows are written: at most `within + lateness`, so that a window with this
//! grace has no late row. The proof is at the head of the module of windows.

use std::collections::HashSet;
use std::time::Duration;

use crate::history::{Event, Topics, topics};
use proptest::prelude::*;
use weir_events::{Joined, RowPosition, Side};
use weir_stream::{Closing, Detector, Join, JoinOutput, TumblingMean, TumblingMeanConfig};

/// Where a process died and its successor went on: after so many steps, in another order.
type Crash = (usize, Vec<bool>);

/// The rows in the order in which they are written, with those that come again after the crash.
fn written(topics: &Topics, choices: &[bool], crash: Option<&Crash>) -> Vec<Joined> {
    let mut join = Join::new(topics.config());
    let mut rows = Vec::new();
    let mut push = |join: &mut Join, side, place| {
        rows.extend(topics.push(join, side, place).into_iter().filter_map(|output| match output {
            JoinOutput::Joined(row) => Some(row),
            JoinOutput::Unjoined(_) => None,
        }));
    };
    let steps = crash.map_or(usize::MAX, |crash| crash.0);
    for (side, place) in topics.interleaving(choices).into_iter().take(steps) {
        push(&mut join, side, place);
    }
    if let Some((_, choices)) = crash {
        let held = [Side::Prediction, Side::Target].map(|side| join.hold_back(side));
        let mut successor = Join::new(topics.config());
        for (side, _) in
            [Side::Prediction, Side::Target].into_iter().zip(held).filter(|at| at.1.is_some())
        {
            successor.resume(side);
        }
        let from =
            held.map(|held| held.map_or(0, |held| usize::try_from(held).expect("not negative")));
        for (side, place) in topics.interleaving(choices) {
            if place >= from[side as usize] {
                push(&mut successor, side, place);
            }
        }
    }
    rows
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}

/// How far the first writing of a row lies, at most, behind a row written before it.
fn disorder(rows: &[Joined]) -> Duration {
    let (mut seen, mut newest, mut most) = (HashSet::new(), None, Duration::ZERO);
    for row in rows.iter().filter(|row| seen.insert(row.prediction.measurement.id)) {
        newest = newest.max(Some(row.time));
        most = most.max(newest.map_or(Duration::ZERO, |newest| newest.distance(row.time)));
    }
    most
}

/// Pairs that all join, at any distance allowed, with both topics as disordered as is allowed.
fn pairs(len_max: usize) -> impl Strategy<Value = Topics> {
    (1..8i64, 0..12i64).prop_flat_map(move |(within, lateness)| {
        let pair = (0..3i64, -within..=within, 0..=lateness, 0..=lateness);
        prop::collection::vec(pair, 0..len_max).prop_map(move |draws| {
            let (mut predictions, mut targets, mut time) = (vec![], vec![], 0);
            for ((gap, distance, early, late), key) in draws.into_iter().zip(0..) {
                time += gap;
                let event = |side, time| Event { id: 2 * u32::from(key) + side, key, time };
                predictions.push((time + early, event(0, time)));
                targets.push((time + distance + late, event(1, time + distance)));
            }
            let sorted = |mut topic: Vec<(i64, Event)>| {
                topic.sort_by_key(|&(read, _)| read);
                topic.into_iter().map(|(_, event)| event).collect()
            };
            let (predictions, targets) = (sorted(predictions), sorted(targets));
            Topics { predictions, targets, within, lateness }
        })
    })
}

fn choices() -> impl Strategy<Value = Vec<bool>> {
    prop::collection::vec(any::<bool>(), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_grace_of_within_plus_lateness_is_enough(
        topics in prop_oneof![topics(120), pairs(120)],
        choices in choices(),
        crash in prop::option::of((0..240usize, self::choices())),
        length in 1..40i64,
    ) {
        let rows = written(&topics, &choices, crash.as_ref());
        let grace = micros(topics.within + topics.lateness);
        prop_assert!(disorder(&rows) <= grace);

        let closing = Closing::EveryPartition { grace, ahead_max: Duration::MAX };
        let config = TumblingMeanConfig { length: micros(length), closing, ..Default::default() };
        let mut detector = TumblingMean::new(config);
        let mut seen = HashSet::new();
        for (row, offset) in rows.iter().zip(0..) {
            let late = detector.ignored().late;
            detector.observe(RowPosition { partition: 0, offset }, row);
            let is_first = seen.insert(row.prediction.measurement.id);
            prop_assert!(!is_first || detector.ignored().late == late, "a late row, not repeated");
        }
    }
}

/// The bound is sharp: one microsecond less of grace, and this row would be late.
#[test]
fn rows_come_out_of_order_by_all_of_within_plus_lateness() {
    let event = |id, key, time| Event { id, key, time };
    let topics = Topics {
        predictions: vec![event(0, 1, 100), event(2, 2, 95)],
        targets: vec![event(1, 2, 95), event(3, 1, 110)],
        within: 10,
        lateness: 5,
    };
    let rows = written(&topics, &[false, true, true, false], None);
    assert_eq!(rows.iter().map(|row| row.time.as_micros()).collect::<Vec<_>>(), [110, 95]);
    assert_eq!(disorder(&rows), micros(15));
}

/// If rows came in order anyway, the property above would hold of any grace.
#[test]
fn random_rows_come_out_of_order_by_more_than_either_alone() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut reached = [0; 2];
    for _ in 0..400 {
        let tree = (pairs(120), choices()).new_tree(&mut runner).expect("a history");
        let (topics, choices) = proptest::strategy::ValueTree::current(&tree);
        let disorder = disorder(&written(&topics, &choices, None));
        reached[0] += usize::from(disorder > micros(topics.within.max(topics.lateness)));
        reached[1] += usize::from(disorder == micros(topics.within + topics.lateness));
    }
    assert!(reached[0] > 100 && reached[1] > 10, "{reached:?}");
}
