//! The join against its definition: random histories, every output of every push compared.

use crate::history::{Event, Fate, Topics, event_id, prediction, target, topics};
use proptest::prelude::*;
use weir_events::{Joined, Outcome, Side, Unjoined, UnjoinedReason, relative_error};
use weir_stream::{Join, JoinCounts, JoinOutput, SideCounts};

fn output(topics: &Topics, fate: Fate) -> JoinOutput {
    match fate {
        Fate::Joined { prediction: p, target: t } => {
            let (p, t) = (prediction(topics.predictions[p]), target(topics.targets[t]));
            let time = p.measurement.time.max(t.time);
            let error = Some(relative_error(1.5, t.value));
            JoinOutput::Joined(Joined { prediction: p, actual: t.value, time, error })
        }
        Fate::Unjoined { side, place, reason, .. } => {
            let event = topics.side(side)[place];
            let (p, t) = (prediction(event), target(event));
            let value = if side == Side::Prediction { 1.5 } else { t.value };
            JoinOutput::Unjoined(Unjoined {
                reason,
                side,
                key: t.key,
                id: event_id(event.id),
                time: p.measurement.time,
                value: Some(value),
            })
        }
    }
}

fn add_up(counts: JoinCounts) -> bool {
    let add_up = |side: SideCounts| {
        let SideCounts {
            received,
            joined,
            unmatched,
            late,
            duplicate,
            superseded,
            reread,
            pending,
        } = side;
        received == joined + unmatched + late + duplicate + superseded + reread + pending
    };
    add_up(counts.prediction)
        && add_up(counts.target)
        && counts.prediction.joined == counts.target.joined
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn every_output_is_what_the_definition_says(
        topics in topics(60),
        choices in prop::collection::vec(any::<bool>(), 1..60),
    ) {
        let order = topics.interleaving(&choices);
        let mut join = Join::new(topics.config());
        let mut expected = topics.expected(&order).into_iter();
        for (step, &(side, place)) in order.iter().enumerate() {
            let fates = expected.next().expect("one for each step");
            let fates: Vec<_> = fates.into_iter().map(|fate| output(&topics, fate)).collect();
            prop_assert_eq!(topics.push(&mut join, side, place), fates, "step {}", step);
            prop_assert!(add_up(join.counts()));
            prop_assert!(!(join.is_full(Side::Prediction) && join.is_full(Side::Target)));
        }
        let fates = expected.next().expect("one for the end");
        let fates: Vec<_> = fates.into_iter().map(|fate| output(&topics, fate)).collect();
        prop_assert_eq!(join.finish(), fates);
        let counts = join.counts();
        prop_assert!(add_up(counts) && counts.prediction.pending + counts.target.pending == 0);
    }

    #[test]
    fn the_outcome_does_not_depend_on_the_interleaving(
        topics in topics(60),
        choices in prop::collection::vec(any::<bool>(), 1..60),
    ) {
        let run = |choices: &[bool]| {
            let mut join = Join::new(topics.config());
            let order = topics.interleaving(choices);
            let outputs = order.into_iter().flat_map(|(side, place)| topics.push(&mut join, side, place));
            let mut outputs: Vec<_> = outputs.map(|output| format!("{output:?}")).collect();
            outputs.extend(join.finish().iter().map(|output| format!("{output:?}")));
            outputs.sort();
            outputs
        };
        let one_after_the_other = run(&[false]);
        prop_assert_eq!(&run(&choices), &one_after_the_other);
        prop_assert_eq!(&run(&[true]), &one_after_the_other);
    }
}

/// If the histories became tame, the properties above would hold of nearly anything.
#[test]
fn the_histories_reach_every_outcome() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut reached = [0; 6];
    for _ in 0..200 {
        let tree = topics(60).new_tree(&mut runner).expect("a history");
        let topics = proptest::strategy::ValueTree::current(&tree);
        let order = topics.interleaving(&[true, false]);
        let fates = topics.expected(&order);
        let (end, pushes) = fates.split_last().expect("the end");
        reached[5] += end.len();
        for fate in pushes.iter().flatten() {
            reached[match fate {
                Fate::Joined { .. } => 0,
                Fate::Unjoined { reason: UnjoinedReason::Unmatched, .. } => 1,
                Fate::Unjoined { reason: UnjoinedReason::Late, .. } => 2,
                Fate::Unjoined { reason: UnjoinedReason::Duplicate, .. } => 3,
                Fate::Unjoined { reason: UnjoinedReason::Superseded, .. } => 4,
            }] += 1;
        }
    }
    assert!(reached.iter().all(|&count| count > 500), "{reached:?}");
}

/// Nothing matches, and both sides have more pending than allowed: a shell that obeys still reads
/// everything, and holds no more than the cap and one horizon of the side behind.
#[test]
fn a_shell_that_pauses_full_sides_never_stops() {
    let events = |side: u32| {
        let event = |id: u32| Event {
            id: 2 * id + side,
            key: u8::try_from(side).expect("0 or 1"),
            time: i64::from(id) * 10,
        };
        (0..2_000).map(event).collect()
    };
    let (within, lateness) = (4, 300);
    let topics = Topics { predictions: events(0), targets: events(1), within, lateness };
    let mut join = Join::new(topics.config());
    let mut read = [0; 2];
    let (mut paused, mut pending_max) = (0, 0);
    // Reads predictions as fast as it may.
    while read[0] < 2_000 || read[1] < 2_000 {
        let may_read = |side: Side| read[side as usize] < 2_000 && !join.is_full(side);
        let side = [Side::Prediction, Side::Target].into_iter().find(|&side| may_read(side));
        let side = side.expect("one side may be read");
        paused += usize::from(side == Side::Target && read[0] < 2_000);
        topics.push(&mut join, side, read[side as usize]);
        read[side as usize] += 1;
        let counts = join.counts();
        pending_max = pending_max.max(counts.prediction.pending).max(counts.target.pending);
    }
    assert!(paused > 1_000, "{paused}");
    // W + L is 304 microseconds, an event comes every 10.
    assert!((11..=10 + 32).contains(&pending_max), "{pending_max}");
}

/// After a crash another model may predict again what is in the topic already: whoever reads it, and
/// when, joins the first prediction. A target that comes twice is no second event of its key either.
#[test]
fn what_is_written_again_is_superseded_not_a_duplicate() {
    let event = |id, time| Event { id, key: 0, time };
    let (within, lateness) = (10, 5);
    let other = Event { id: 4, key: 1, time: 20 };
    let predictions = vec![event(0, 0), event(0, 0), event(2, 3), other, event(0, 0)];
    let targets = vec![event(1, 4), event(1, 4)];
    let topics = Topics { predictions, targets, within, lateness };
    let mut join = Join::new(topics.config());
    let mut reasons = Vec::new();
    for place in 0..topics.predictions.len() {
        let mut prediction = prediction(topics.predictions[place]);
        prediction.outcome = Outcome::Value(if place == 0 { 1.5 } else { 9.0 });
        reasons.extend(join.push_prediction(i64::try_from(place).expect("small"), prediction));
    }
    reasons.extend((0..2).flat_map(|place| topics.push(&mut join, Side::Target, place)));
    let reasons: Vec<_> = reasons
        .iter()
        .map(|output| match output {
            JoinOutput::Joined(row) => (Side::Prediction, row.prediction.outcome.value(), None),
            JoinOutput::Unjoined(event) => (event.side, event.value, Some(event.reason)),
        })
        .collect();
    let refused = |side, value, reason| (side, Some(value), Some(reason));
    assert_eq!(
        reasons,
        [
            refused(Side::Prediction, 9.0, UnjoinedReason::Superseded),
            refused(Side::Prediction, 9.0, UnjoinedReason::Duplicate),
            // Late too, but known.
            refused(Side::Prediction, 9.0, UnjoinedReason::Superseded),
            (Side::Prediction, Some(1.5), None),
            refused(Side::Target, 2.0, UnjoinedReason::Superseded),
        ]
    );
}
