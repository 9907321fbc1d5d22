//! Windows that every partition closes, against the definition, for any interleaving.

use proptest::prelude::*;
use weir_stream::{Detector, DetectorOutput, Detectors, TumblingMean};

use crate::rows::Row;

use crate::history::{History, choices, histories, window};

/// Reads the rows at these places.
fn run(history: &History, order: &[usize]) -> (Vec<(usize, DetectorOutput)>, TumblingMean) {
    let mut detector = history.detector();
    detector.assign(&history.assigned());
    let mut outputs = Vec::new();
    for &place in order {
        let row = history.rows[place];
        let observed = detector.observe(row.position(place), &row.joined());
        outputs.extend(observed.into_iter().map(|output| (place, output)));
    }
    (outputs, detector)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// The definition has no order but that of each partition: so the windows do not depend on one.
    #[test]
    fn windows_are_those_of_the_definition_in_any_order(
        history in histories(120, 0..200),
        choices in choices(),
    ) {
        let order = history.order(&choices, &Default::default());
        let (outputs, detector) = run(&history, &order);
        prop_assert_eq!(outputs, history.expected(&order));
        let late = (0..history.rows.len()).filter(|&place| history.is_late(place)).count();
        prop_assert_eq!(detector.ignored().late, late as u64);
    }

    #[test]
    fn holds_back_the_rows_of_open_windows(
        history in histories(120, 0..200),
        choices in choices(),
        until in 0..120usize,
    ) {
        let order = history.order(&choices, &Default::default());
        let read = &order[..until.min(order.len())];
        let (_, detector) = run(&history, read);
        let slowest = history.slowest(read);
        for partition in history.assigned() {
            let is_needed = |&place: &usize| {
                let row = history.rows[place];
                row.partition == partition
                    && !history.is_late(place)
                    && slowest < Some(history.closes_at(window(row)))
            };
            let lowest = read.iter().copied().filter(is_needed).min();
            let lowest = lowest.map(|place| i64::try_from(place).expect("small"));
            prop_assert_eq!(detector.hold_back(partition), lowest);
        }
    }
}

/// If the histories became tame, the properties above would hold of nearly anything.
#[test]
fn the_histories_reach_every_outcome() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut reached = [0; 4];
    for _ in 0..200 {
        let tree = (histories(120, 0..200), choices()).new_tree(&mut runner).expect("a history");
        let (history, choices) = proptest::strategy::ValueTree::current(&tree);
        let order = history.order(&choices, &Default::default());
        let (outputs, detector) = run(&history, &order);
        let closed = outputs.len();
        let open = history.windows().len().saturating_sub(closed);
        let ignored = detector.ignored();
        for (sum, count) in reached.iter_mut().zip([closed, open]) {
            *sum += count as u64;
        }
        reached[2] += ignored.late;
        reached[3] += ignored.repeated;
    }
    assert!(reached.iter().all(|&count| count > 200), "{reached:?}");
}

/// A rule may be changed between two runs: the form of a commit is the same.
#[test]
fn a_commit_under_the_first_rule_is_resumed_under_the_second() {
    let row = |id: u32, partition, time| Row { id, partition, time, error: Some(400), level: 0 };
    let rows = [row(0, 0, 0), row(1, 0, 61), row(2, 1, 70), row(3, 1, 121), row(4, 0, 122)];
    let show = |detectors: &mut Detectors, place: usize| {
        detectors.observe(rows[place].position(place), &rows[place].joined())
    };
    let mut before = Detectors::new(vec![Box::new(TumblingMean::new(Default::default()))]);
    let closed: Vec<_> = (0..3).flat_map(|place| show(&mut before, place)).collect();
    assert_eq!(closed.len(), 2, "the window and its trigger");
    let history = History { rows: rows.to_vec(), partitions: 2, grace: 0, ahead_max: 600 };
    let mut after = Detectors::new(vec![Box::new(history.detector())]);
    after.assign(&history.assigned());
    for (partition, next, offset) in [(0, 2, 1), (1, 3, 2)] {
        let checkpoint = before.checkpoint(partition, next);
        assert_eq!(checkpoint.offset, offset);
        after.resume(partition, &checkpoint.metadata).expect("our own metadata");
    }
    let closed: Vec<_> = (1..5).flat_map(|place| show(&mut after, place)).collect();
    assert!(
        matches!(&closed[..], [DetectorOutput::Window(window), DetectorOutput::Trigger(trigger)]
            if window.rows == 2 && trigger.position.offset == 4),
        "{closed:?}"
    );
}
