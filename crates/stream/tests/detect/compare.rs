//! Two versions on the same rows, against the mean of the definition.

use proptest::prelude::*;
use weir_events::{Compared, Digest, Joined, ModelVersion, RowPosition, Shadow, relative_error};
use weir_stream::{Comparison, ComparisonConfig, Detector as _, DetectorOutput, Detectors};

use crate::rows::Row;

const CONFIG: ComparisonConfig = ComparisonConfig { shadow_rows: 5, probation_rows: 3 };

fn row(id: u32, versions: (u64, u64), values: (f64, Option<f64>)) -> Joined {
    let mut row = Row { id, partition: 0, time: i64::from(id), error: Some(0), level: 0 }.joined();
    row.actual = 2.0;
    row.prediction.outcome = weir_events::Outcome::Value(values.0);
    row.prediction.model.version = ModelVersion(versions.0);
    row.prediction.shadow = Some(Shadow {
        value: values.1,
        version: ModelVersion(versions.1),
        digest: Digest::of(b"shadow"),
    });
    row
}

fn place(partition: i32, offset: i64) -> RowPosition {
    RowPosition { partition, offset }
}

fn compared(outputs: Vec<DetectorOutput>) -> Vec<Compared> {
    let compared = |output| match output {
        DetectorOutput::Compared(compared) => compared,
        other => panic!("{other:?}"),
    };
    outputs.into_iter().map(compared).collect()
}

#[test]
fn a_version_in_probation_has_its_own_count_and_a_missing_answer_is_an_error_of_one() {
    let mut detector = Comparison::new(CONFIG);
    let mut found = Vec::new();
    for id in 0..9 {
        let row = row(id, (4, 3), (2.2, (id != 0).then_some(2.0)));
        found.extend(compared(detector.observe(place(0, i64::from(id)), &row)));
    }
    let [compared] = &found[..] else { panic!("once: {found:?}") };
    assert_eq!(
        (compared.served, compared.shadow, compared.rows),
        (ModelVersion(4), ModelVersion(3), 3)
    );
    assert!((compared.served_error - 0.1).abs() < 1e-12, "{compared:?}");
    assert!((compared.shadow_error - 1.0 / 3.0).abs() < 1e-12, "{compared:?}");
    let off = ComparisonConfig { shadow_rows: 0, probation_rows: 0 };
    let mut detector = Comparison::new(off);
    assert!(
        (0..9).all(|id| detector.observe(place(0, 1), &row(id, (4, 3), (2.2, None))).is_empty())
    );
}

/// A challenger that somebody promoted before its time is not waited for.
#[test]
fn a_pair_without_rows_holds_nothing_back() {
    let mut detector = Comparison::new(CONFIG);
    assert!(detector.observe(place(0, 0), &row(0, (4, 5), (2.2, None))).is_empty());
    assert_eq!(detector.hold_back(0), Some(0));
    for id in 1..1100 {
        let mut other = row(id, (5, 5), (2.2, None));
        other.prediction.shadow = None;
        assert!(detector.observe(place(0, i64::from(id)), &other).is_empty());
    }
    assert_eq!(detector.hold_back(0), None);
}

proptest! {
    /// Rows of two partitions, repeated, with a restart anywhere: each pair is reported once, as if there had been none.
    #[test]
    fn a_restart_changes_nothing(
        rows in proptest::collection::vec((0u32..12, 0i32..2, 1u64..3, 1.0f64..4.0, 1.0f64..4.0), 1..40),
        stop in any::<prop::sample::Index>(),
    ) {
        let rows: Vec<(RowPosition, Joined)> = rows.iter().zip(0i64..).map(|(row, offset)| {
            let (id, partition, served, left, right) = *row;
            // One row of an id has one content, and lies in one partition.
            let id = id * 2 + u32::try_from(partition).expect("not negative") + 100 * u32::try_from(served).expect("small");
            (place(partition, offset), self::row(id, (served, 9), (left, Some(right))))
        }).collect();
        let make = || Detectors::new(vec![Box::new(Comparison::new(CONFIG))]);
        let mut whole = make();
        let expected: Vec<Compared> =
            rows.iter().flat_map(|(at, row)| compared(whole.observe(*at, row))).collect();
        for found in &expected {
            let mut seen = std::collections::BTreeSet::new();
            let first: Vec<&Joined> = rows.iter().map(|(_, row)| row)
                .filter(|row| row.prediction.model.version == found.served)
                .filter(|row| seen.insert(row.prediction.measurement.id))
                .take(5).collect();
            let mean: f64 = first.iter()
                .map(|row| relative_error(row.prediction.outcome.value().expect("a value"), 2.0))
                .sum::<f64>() / 5.0;
            prop_assert!((mean - found.served_error).abs() < 1e-12);
        }
        let stop = stop.index(rows.len());
        let mut before = make();
        let mut found: Vec<Compared> =
            rows[..stop].iter().flat_map(|(at, row)| compared(before.observe(*at, row))).collect();
        let next = |partition: i32| {
            let seen = rows[..stop].iter().rev().find(|(at, _)| at.partition == partition);
            seen.map_or(0, |(at, _)| at.offset + 1)
        };
        let checkpoints = [0, 1].map(|partition| before.checkpoint(partition, next(partition)));
        let mut after = make();
        for (partition, checkpoint) in (0..).zip(&checkpoints) {
            after.resume(partition, &checkpoint.metadata).expect("its own");
        }
        for (at, row) in &rows {
            let index = usize::try_from(at.partition).expect("not negative");
            if at.offset >= checkpoints[index].offset {
                found.extend(compared(after.observe(*at, row)));
            }
        }
        prop_assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert_eq!((found.served, found.rows), (expected.served, expected.rows));
            // Rereading may take the rows of different partitions in another order.
            prop_assert!((found.served_error - expected.served_error).abs() < 1e-9);
        }
    }
}
