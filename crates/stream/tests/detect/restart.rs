//! Detectors across crashes: the outputs before them and after them, as a set, are those of a run
//! without a crash.

use std::collections::BTreeSet;

use proptest::prelude::*;
use weir_events::Key;
use weir_stream::{
    Checkpoint, DetectorOutput, Detectors, TumblingMean, TumblingMeanConfig, UnseenLevel,
    UnseenLevelConfig,
};

use crate::rows::{Row, rows};

fn detectors() -> Detectors {
    Detectors::new(vec![
        Box::new(TumblingMean::new(TumblingMeanConfig::default())),
        Box::new(UnseenLevel::new(UnseenLevelConfig { rows: 4 })),
    ])
}

/// Reads from the checkpoint to a place, commits now and then, and gives the outputs.
fn live(
    rows: &[Row],
    until: usize,
    commit_every: usize,
    committed: &mut Option<Checkpoint>,
) -> Vec<String> {
    let mut detectors = detectors();
    let mut from = 0;
    if let Some(checkpoint) = committed {
        detectors.resume(0, &checkpoint.metadata).expect("our own metadata");
        from = usize::try_from(checkpoint.offset).expect("not negative");
    }
    let mut outputs = Vec::new();
    for (place, row) in rows.iter().enumerate().take(until).skip(from) {
        outputs.extend(detectors.observe(row.position(place), &row.joined()));
        if place % commit_every == 0 {
            *committed = Some(detectors.checkpoint(0, i64::try_from(place + 1).expect("small")));
        }
    }
    outputs.iter().map(|output| format!("{output:?}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn crashes_change_no_output(
        rows in rows(120, 1),
        crashes in prop::collection::vec((0..120usize, 1..20usize), 1..4),
    ) {
        let undisturbed: BTreeSet<_> = live(&rows, rows.len(), 1_000, &mut None).into_iter().collect();
        let mut committed = None;
        let mut outputs = BTreeSet::new();
        for (until, commit_every) in crashes {
            outputs.extend(live(&rows, until, commit_every, &mut committed));
        }
        outputs.extend(live(&rows, rows.len(), 7, &mut committed));
        prop_assert_eq!(outputs, undisturbed);
    }
}

/// What does not depend on the order in which the partitions are reread: not the last bits of a mean,
/// and not which of two rows of the same time came first.
fn settled(outputs: Vec<DetectorOutput>) -> impl Iterator<Item = String> {
    outputs.into_iter().map(|output| match output {
        DetectorOutput::Window(mut window) => {
            window.mean_error = (window.mean_error * 1e12).round();
            format!("{window:?}")
        }
        DetectorOutput::Trigger(mut trigger) => {
            trigger.mean_error = trigger.mean_error.map(|mean| (mean * 1e12).round());
            let any = Key::new("any").expect("not empty");
            (trigger.first, trigger.last) = (any.clone(), any);
            format!("{trigger:?}")
        }
        DetectorOutput::Compared(compared) => format!("{compared:?}"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Three partitions, reread one after the other, with new rows of each as early as can be.
    #[test]
    fn the_order_in_which_partitions_are_reread_changes_no_output(
        rows in rows(120, 3),
        commit in 0..120usize,
        order in Just([0, 1, 2]).prop_shuffle(),
    ) {
        let commit = commit.min(rows.len());
        let observe = |detectors: &mut Detectors, place: usize| {
            let row: Row = rows[place];
            settled(detectors.observe(row.position(place), &row.joined()))
        };
        let mut whole = detectors();
        let mut outputs = BTreeSet::new();
        let mut checkpoints = vec![];
        for place in 0..rows.len() {
            outputs.extend(observe(&mut whole, place));
            if place + 1 == commit {
                let next = i64::try_from(commit).expect("small");
                checkpoints = order.map(|partition| (partition, whole.checkpoint(partition, next))).to_vec();
                // The process dies here: what follows is output by its successor.
                outputs.clear();
            }
        }
        let mut resumed = detectors();
        for (partition, checkpoint) in &checkpoints {
            resumed.resume(*partition, &checkpoint.metadata).expect("our own metadata");
        }
        let start = if checkpoints.is_empty() { 0 } else { commit };
        let mut new = (start..rows.len()).peekable();
        let mut again = BTreeSet::new();
        for (index, (partition, checkpoint)) in checkpoints.iter().enumerate() {
            let from = usize::try_from(checkpoint.offset).expect("not negative");
            for place in (from..commit).filter(|&place| rows[place].partition == *partition) {
                again.extend(observe(&mut resumed, place));
            }
            let reread = &order[..=index];
            while let Some(place) = new.next_if(|&place| reread.contains(&rows[place].partition)) {
                again.extend(observe(&mut resumed, place));
            }
        }
        for place in new {
            again.extend(observe(&mut resumed, place));
        }
        prop_assert!((0..3).all(|partition| !resumed.is_waiting(partition)));
        prop_assert_eq!(again, outputs);
    }
}

#[test]
fn on_one_row_the_window_reports_before_the_level() {
    let row = |id: u32, error| Row { id, partition: 0, time: i64::from(id) * 15, error, level: 0 };
    let errors = [Some(400), None, None, None, None];
    let rows: Vec<_> = errors.into_iter().zip(0..).map(|(error, id)| row(id, error)).collect();
    let mut detectors = detectors();
    let outputs: Vec<_> = rows
        .iter()
        .enumerate()
        .flat_map(|(place, row)| detectors.observe(row.position(place), &row.joined()))
        .collect();
    let names: Vec<_> = outputs
        .iter()
        .map(|output| match output {
            DetectorOutput::Window(_) => "window",
            DetectorOutput::Trigger(trigger) => &trigger.detector,
            DetectorOutput::Compared(_) => "comparison",
        })
        .collect();
    assert_eq!(names, ["window", "window-mean", "unseen-level"]);
}

/// A window that is rebuilt must not see rows that only the count of unseen levels held back.
#[test]
fn each_detector_goes_on_at_its_own_row() {
    let row = |id: u32, time, error| Row { id, partition: 0, time, error, level: 0 };
    let rows = [row(0, 0, None), row(1, 1, Some(10)), row(2, 61, Some(10))];
    let mut before = detectors();
    for (place, row) in rows.iter().enumerate() {
        before.observe(row.position(place), &row.joined());
    }
    let checkpoint = before.checkpoint(0, 3);
    assert_eq!(checkpoint.offset, 0);
    let mut after = detectors();
    after.resume(0, &checkpoint.metadata).expect("our own metadata");
    let seen = rows.iter().enumerate();
    let outputs: Vec<_> =
        seen.flat_map(|(place, row)| after.observe(row.position(place), &row.joined())).collect();
    assert_eq!(outputs, []);
    assert_eq!(after.checkpoint(0, 3), checkpoint);
}

#[test]
fn foreign_metadata_is_an_error_and_none_is_a_beginning() {
    assert!(detectors().resume(0, "by hand").is_err());
    assert!(
        detectors()
            .resume(0, r#"{"last":null,"detectors":{"window-mean":{"from":1,"state":3}}}"#)
            .is_err()
    );
    assert!(detectors().resume(0, "").is_ok());
}
