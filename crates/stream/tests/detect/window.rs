//! Windows against the batch formula: group all rows, then take the mean of each group.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use weir_events::{EventTime, Trigger, WindowClosed};
use weir_stream::{Detector, DetectorOutput, TumblingMean, TumblingMeanConfig};

use crate::rows::{Row, rows};

pub(crate) const LENGTH: i64 = 60;

pub(crate) fn micros(seconds: i64) -> EventTime {
    EventTime::from_micros(seconds * 1_000_000)
}

/// Runs the detector; each output with the place of the row that caused it.
fn run(rows: &[Row]) -> (Vec<(usize, DetectorOutput)>, TumblingMean) {
    let mut detector = TumblingMean::new(TumblingMeanConfig::default());
    let mut outputs = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        let observed = detector.observe(row.position(place), &row.joined());
        outputs.extend(observed.into_iter().map(|output| (place, output)));
    }
    (outputs, detector)
}

/// The outputs by the definition.
fn expected(rows: &[Row]) -> Vec<(usize, DetectorOutput)> {
    let window = |row: &Row| row.time.div_euclid(LENGTH);
    let mut groups: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        let is_late = rows[..place].iter().any(|earlier| window(earlier) > window(row));
        let group = groups.entry(window(row)).or_default();
        if !is_late && group.iter().all(|earlier| earlier.id != row.id) {
            group.push(*row);
        }
    }
    let mut outputs = Vec::new();
    for (index, group) in groups {
        let mut group: Vec<_> = group.into_iter().filter(|row| row.error.is_some()).collect();
        let closing = rows.iter().position(|row| window(row) > index);
        let (Some(place), false) = (closing, group.is_empty()) else { continue };
        let (start, end) = (micros(index * LENGTH), micros((index + 1) * LENGTH));
        let (mean, rows_in) = (mean(&group), group.len() as u64);
        let triggered = mean > 0.15;
        let closed = WindowClosed { start, end, rows: rows_in, mean_error: mean, triggered };
        outputs.push((place, DetectorOutput::Window(closed)));
        if !triggered {
            continue;
        }
        let levels: BTreeSet<_> = group.iter().map(|row| row.level_name()).collect();
        group.sort_by_key(|row| row.time);
        let (first, last) = (group[0].key(), group[group.len() - 1].key());
        outputs.push((
            place,
            DetectorOutput::Trigger(Trigger {
                id: format!("window-mean/{start}"),
                detector: "window-mean".into(),
                levels: levels.into_iter().collect(),
                first,
                last,
                mean_error: Some(mean),
                rows: rows_in,
                start,
                end,
                closed_by: rows[place].event_id(),
                closed_at: micros(rows[place].time),
                position: rows[place].position(place),
            }),
        ));
    }
    outputs
}

/// The mean of the errors as doubles, rounded once: computed in integers.
pub(crate) fn mean(group: &[Row]) -> f64 {
    /// No double from 0.001 up has a bit below this.
    const SCALE: f64 = (1u64 << 62) as f64;
    let error = |row: &Row| row.error.map_or(0.0, |error| f64::from(error) / 1000.0);
    let sum: i128 = group.iter().map(|row| (error(row) * SCALE) as i128).sum();
    let count = i128::try_from(group.len()).expect("small");
    // Twenty more bits, so that what the division cuts off decides no rounding.
    ((sum << 20) / count) as f64 / SCALE / f64::from(1 << 20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn windows_are_those_of_the_batch_formula(rows in rows(120, 3)) {
        let (outputs, _) = run(&rows);
        prop_assert_eq!(outputs, expected(&rows));
    }

    #[test]
    fn holds_back_the_rows_of_the_open_window(rows in rows(60, 3)) {
        let (_, detector) = run(&rows);
        let window = |row: &Row| row.time.div_euclid(LENGTH);
        let open = rows.iter().map(window).max();
        for partition in 0..4 {
            let of_window = |row: &Row| row.partition == partition && Some(window(row)) == open;
            let lowest = rows.iter().enumerate().position(|(place, row)| {
                // A repetition from another partition is not needed to rebuild the window.
                of_window(row) && rows[..place].iter().all(|earlier| earlier.id != row.id)
            });
            let lowest = lowest.map(|place| i64::try_from(place).expect("small"));
            prop_assert_eq!(detector.hold_back(partition), lowest);
        }
    }
}

#[test]
fn a_mean_at_the_threshold_does_not_trigger() {
    let row = |id, time| Row { id, partition: 0, time, error: Some(150), level: 0 };
    let mut rows: Vec<_> = (0..49).map(|id| row(id, i64::from(id))).collect();
    rows.push(row(49, 60));
    let (outputs, _) = run(&rows);
    assert!(
        matches!(&outputs[..], [(49, DetectorOutput::Window(window))] if !window.triggered && window.rows == 49),
        "{outputs:?}"
    );
}

#[test]
fn leaves_out_and_counts_late_and_repeated_rows() {
    let row = |id, time| Row { id, partition: 0, time, error: Some(10), level: 0 };
    let (outputs, detector) = run(&[row(0, 0), row(0, 0), row(1, 61), row(2, 59), row(1, 61)]);
    assert_eq!(outputs.len(), 1);
    let ignored = detector.ignored();
    assert_eq!((ignored.late, ignored.repeated), (1, 2));
}

#[test]
fn a_length_of_zero_is_a_microsecond() {
    let config = TumblingMeanConfig { length: Duration::ZERO, ..TumblingMeanConfig::default() };
    let mut detector = TumblingMean::new(config);
    let row = |id, time| Row { id, partition: 0, time, error: Some(10), level: 0 };
    assert_eq!(detector.observe(row(0, 0).position(0), &row(0, 0).joined()), []);
    let outputs = detector.observe(row(1, 1).position(1), &row(1, 1).joined());
    let [DetectorOutput::Window(window)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(window.end.as_micros() - window.start.as_micros(), 1);
}
