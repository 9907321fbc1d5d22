//! Unseen levels against a count that remembers every row.

use proptest::prelude::*;
use weir_events::{EventTime, RowPosition, Trigger};
use weir_stream::{
    Detector, DetectorOutput, Detectors, TumblingMean, TumblingMeanConfig, UnseenLevel,
    UnseenLevelConfig,
};

use crate::rows::{Row, rows};

fn run(rows: &[Row], count: u64) -> (Vec<DetectorOutput>, UnseenLevel) {
    let mut detector = UnseenLevel::new(UnseenLevelConfig { rows: count });
    let places = rows.iter().enumerate();
    let outputs = places
        .flat_map(|(place, row)| detector.observe(row.position(place), &row.joined()))
        .collect();
    (outputs, detector)
}

/// Rows with their places.
type Group = Vec<(usize, Row)>;

/// The groups of rows that make a trigger, and the rows left over.
fn groups(rows: &[Row], count: usize) -> (Vec<Group>, Group) {
    let (mut groups, mut open): (Vec<Group>, Group) = (vec![], vec![]);
    for (place, &row) in rows.iter().enumerate().filter(|(_, row)| row.error.is_none()) {
        let newest = groups.iter().flatten().map(|(_, row)| row.time).max();
        let mut counted = groups.iter().flatten().chain(&open);
        if newest.is_some_and(|newest| row.time < newest)
            || counted.any(|(_, seen)| seen.id == row.id)
        {
            continue;
        }
        open.push((place, row));
        if open.len() == count {
            groups.push(std::mem::take(&mut open));
        }
    }
    (groups, open)
}

fn trigger(group: &[(usize, Row)]) -> DetectorOutput {
    let time = |row: Row| EventTime::from_micros(row.time * 1_000_000);
    let (place, closing) = group[group.len() - 1];
    let mut by_time: Vec<Row> = group.iter().map(|&(_, row)| row).collect();
    by_time.sort_by_key(|row| row.time);
    let (first, last) = (by_time[0], by_time[by_time.len() - 1]);
    let mut levels: Vec<String> = by_time.iter().map(|row| row.level_name()).collect();
    levels.sort();
    levels.dedup();
    DetectorOutput::Trigger(Trigger {
        id: format!("unseen-level/{}", closing.event_id()),
        detector: "unseen-level".into(),
        levels,
        first: first.key(),
        last: last.key(),
        mean_error: None,
        rows: group.len() as u64,
        start: time(first),
        end: time(last),
        closed_by: closing.event_id(),
        closed_at: time(closing),
        position: closing.position(place),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn triggers_are_those_of_a_count_that_remembers_every_row(
        rows in rows(120, 3),
        count in 1..6usize,
    ) {
        let (outputs, detector) = run(&rows, count as u64);
        let (groups, open) = groups(&rows, count);
        prop_assert_eq!(outputs, groups.iter().map(|group| trigger(group)).collect::<Vec<_>>());
        for partition in 0..3 {
            let held = open.iter().find(|(_, row)| row.partition == partition);
            let offset = held.map(|(place, row)| row.position(*place).offset);
            prop_assert_eq!(detector.hold_back(partition), offset);
        }
    }
}

#[test]
fn every_tenth_row_triggers() {
    let row = |id: u32| Row { id, partition: 0, time: i64::from(id / 4), error: None, level: 0 };
    let (outputs, _) = run(&(0..35).map(row).collect::<Vec<_>>(), 10);
    assert_eq!(outputs.len(), 3);
}

/// Two triggers whose first rows have one time: with the time in their ids, the second was taken for a
/// repetition of the first and never answered.
#[test]
fn triggers_that_start_at_one_time_have_ids_of_their_own() {
    let row = |id: u32| Row { id, partition: 0, time: 7, error: None, level: 0 };
    let ids = |rows: &[Row]| -> Vec<String> {
        let trigger = |output| match output {
            DetectorOutput::Trigger(trigger) => trigger.id,
            other => panic!("no trigger: {other:?}"),
        };
        run(rows, 2).0.into_iter().map(trigger).collect()
    };
    let rows: Vec<Row> = (0..4).map(row).collect();
    let expected = [1, 3].map(|id| format!("unseen-level/{}", row(id).event_id()));
    assert_eq!(ids(&rows), expected);
    assert_eq!(ids(&rows), expected, "the same rows read again");
}

/// The ids of the rows at one time used to fill the commit until Kafka refused it.
#[test]
fn however_many_rows_share_a_time_the_commit_fits() {
    let until = EventTime::from_micros(EventTime::MIN.as_micros() + 1);
    let mut detectors = Detectors::new(vec![
        Box::new(TumblingMean::new(TumblingMeanConfig::default())),
        Box::new(UnseenLevel::new(UnseenLevelConfig { rows: 300 })),
    ]);
    let partition = 0;
    for id in 0..1_000_u32 {
        let mut row = Row { id, partition, time: 0, error: None, level: 0 }.joined();
        row.time = until;
        let offset = i64::MAX - 1_000 + i64::from(id);
        detectors.observe(RowPosition { partition, offset }, &row);
    }
    let metadata = detectors.checkpoint(partition, i64::MAX).metadata;
    assert!(metadata.contains(&until.to_string()), "{metadata}");
    assert!(metadata.len() < 4_096, "{} bytes", metadata.len());
}

/// Of the rows at the time that a trigger reached, the newest are known; a restart changes nothing in that.
#[test]
fn the_newest_rows_of_a_time_are_remembered_across_a_restart() {
    let row = |id: u32| Row { id, partition: 0, time: 7, error: None, level: 0 }.joined();
    let position = RowPosition { partition: 0, offset: 0 };
    let config = UnseenLevelConfig { rows: 100 };
    let mut before = UnseenLevel::new(config);
    let outputs: Vec<_> = (0..100).flat_map(|id| before.observe(position, &row(id))).collect();
    assert_eq!(outputs.len(), 1);
    let mut after = UnseenLevel::new(config);
    for _partition in 0..2 {
        after.restore(&before.state()).expect("its own state");
    }
    assert_eq!(after.state(), before.state());
    for detector in [&mut before, &mut after] {
        for id in 36..100 {
            detector.observe(position, &row(id));
        }
        assert_eq!((detector.ignored().repeated, detector.hold_back(0)), (64, None));
        // What is forgotten counts again; a trigger of it is one more retraining, not a lost one.
        detector.observe(position, &row(35));
        assert_eq!((detector.ignored().repeated, detector.hold_back(0)), (64, Some(0)));
    }
}
