//! Which partitions are idle, against the definition; and what idleness does to windows.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use weir_stream::{
    Closing, Detector, DetectorOutput, Detectors, IdleWatch, TumblingMean, TumblingMeanConfig,
};

use crate::rows::Row;

#[derive(Clone, Copy, Debug)]
enum Event {
    Record,
    CaughtUp(bool),
    Paused(bool),
}

/// Events of two partitions, at rising times of seconds; and when changes are asked for.
fn events() -> impl Strategy<Value = Vec<(u64, i32, Event, bool)>> {
    let event = prop_oneof![
        3 => Just(Event::Record),
        3 => prop::bool::weighted(0.8).prop_map(Event::CaughtUp),
        3 => prop::bool::weighted(0.3).prop_map(Event::Paused),
    ];
    let event = (1..12u64, 0..2i32, event, prop::bool::weighted(0.6));
    prop::collection::vec(event, 0..60).prop_map(|mut events| {
        let mut now = 0;
        events.iter_mut().for_each(|event| {
            now += event.0;
            event.0 = now;
        });
        events
    })
}

/// By the definition, second by second: whether a partition is idle at a time.
fn is_idle(events: &[(u64, i32, Event, bool)], partition: i32, now: u64, after: u64) -> bool {
    let own = || events.iter().filter(|event| event.1 == partition);
    let is_quiet_from = |time: u64| {
        let (mut is_caught_up, mut is_paused) = (false, false);
        for (_, _, event, _) in own().filter(|event| event.0 <= time) {
            match *event {
                Event::CaughtUp(value) => is_caught_up = value,
                Event::Paused(value) => is_paused = value,
                Event::Record => {}
            }
        }
        is_caught_up && !is_paused
    };
    let Some(start) = now.checked_sub(after) else { return false };
    let is_silent = own()
        .all(|&(time, _, event, _)| !matches!(event, Event::Record) || time <= start || time > now);
    after > 0 && is_silent && (start..=now).all(is_quiet_from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn idle_is_what_the_definition_says(events in events(), after in 0..25u64) {
        let mut watch = IdleWatch::new(Some(Duration::from_secs(after)));
        let mut told = BTreeMap::from([(0, false), (1, false)]);
        // Partitions that were idle when last asked, and of which something happened since.
        let mut asked = 0;
        for (place, &(time, partition, event, asks)) in events.iter().enumerate() {
            let now = Duration::from_secs(time);
            match event {
                Event::Record => watch.record(partition, now),
                Event::CaughtUp(value) => watch.caught_up(partition, value, now),
                Event::Paused(value) => watch.paused(partition, value, now),
            }
            if !asks {
                continue;
            }
            // Late enough that a silence may have passed since, but before the next event.
            let next = events.get(place + 1).map_or(time + 30, |next| next.0 - 1);
            let known = &events[..=place];
            let changes = watch.changes(Duration::from_secs(next));
            prop_assert!(changes.is_sorted_by_key(|&(_, is_idle)| is_idle), "{:?}", changes);
            for (partition, value) in changes {
                prop_assert_ne!(told.insert(partition, value), Some(value), "no change");
                if !value {
                    let was_idle_throughout =
                        (asked..=next).all(|time| is_idle(known, partition, time, after));
                    prop_assert!(!was_idle_throughout, "an interruption that was none");
                }
            }
            for (&partition, &told) in &told {
                prop_assert_eq!(told, is_idle(known, partition, next, after));
            }
            asked = next;
        }
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn silence_of_our_own_making_does_not_count() {
    let mut watch = IdleWatch::new(Some(seconds(10)));
    watch.caught_up(3, true, seconds(0));
    assert_eq!(watch.changes(seconds(9)), []);
    assert_eq!(watch.changes(seconds(10)), [(3, true)]);
    watch.paused(3, true, seconds(11));
    assert_eq!(watch.changes(seconds(11)), [(3, false)]);
    assert_eq!(watch.changes(seconds(100)), []);
    watch.paused(3, false, seconds(100));
    assert_eq!(watch.changes(seconds(109)), [], "it begins anew");
    assert_eq!(watch.changes(seconds(110)), [(3, true)]);
    // Interrupted and silent again between two questions: whoever waits must hear of both.
    watch.record(3, seconds(111));
    watch.caught_up(2, true, seconds(111));
    assert_eq!(watch.changes(seconds(130)), [(3, false), (2, true), (3, true)]);
}

#[test]
fn without_a_time_nothing_is_ever_idle() {
    for after in [None, Some(Duration::ZERO)] {
        let mut watch = IdleWatch::new(after);
        watch.caught_up(0, true, seconds(0));
        assert_eq!(watch.changes(seconds(1_000_000)), []);
    }
}

/// Windows of a minute, without grace, over two partitions.
fn detector(ahead_max: u64) -> TumblingMean {
    let closing = Closing::EveryPartition { grace: Duration::ZERO, ahead_max: seconds(ahead_max) };
    let mut detector = TumblingMean::new(TumblingMeanConfig { closing, ..Default::default() });
    detector.assign(&[0, 1]);
    detector
}

fn row(id: u32, partition: i32, time: i64) -> Row {
    Row { id, partition, time, error: Some(400), level: 0 }
}

fn observe(detector: &mut impl Detector, row: Row) -> Vec<String> {
    let place = usize::try_from(row.id).expect("small");
    names(detector.observe(row.position(place), &row.joined()))
}

/// Of each output, the seconds at which its window starts, and the offset of the row that closed it.
fn names(outputs: Vec<DetectorOutput>) -> Vec<String> {
    let name = |output| match output {
        DetectorOutput::Window(_) | DetectorOutput::Compared(_) => None,
        DetectorOutput::Trigger(trigger) => {
            let start = trigger.start.as_micros() / 1_000_000;
            Some(format!("{start} by {}", trigger.position.offset))
        }
    };
    outputs.into_iter().filter_map(name).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn an_idle_partition_holds_no_window_open_until_it_resumes() {
    let mut detector = detector(600);
    assert_eq!(observe(&mut detector, row(0, 0, 10)), NONE);
    assert_eq!(observe(&mut detector, row(1, 0, 130)), NONE, "nothing is known of partition 1");
    assert_eq!(observe(&mut detector, row(2, 0, 125)), NONE);
    assert_eq!(names(detector.set_idle(1, true)), ["0 by 1"], "by the newest row, not the last");
    assert_eq!(observe(&mut detector, row(3, 0, 190)), ["120 by 3"]);
    // It comes back: late to what is closed, in time for what is open, and waited for again.
    assert_eq!(observe(&mut detector, row(4, 1, 140)), NONE);
    assert_eq!(detector.ignored().late, 1);
    assert_eq!(observe(&mut detector, row(5, 0, 300)), NONE);
    assert_eq!(observe(&mut detector, row(6, 1, 200)), NONE);
    assert_eq!(observe(&mut detector, row(7, 1, 250)), ["180 by 7"]);
    assert_eq!(detector.ignored().late, 1);
}

#[test]
fn when_all_are_idle_every_open_window_closes() {
    let mut detector = detector(600);
    assert_eq!(names(detector.set_idle(0, true)), NONE, "none is open");
    observe(&mut detector, row(0, 0, 10));
    observe(&mut detector, row(1, 1, 130));
    assert_eq!(names(detector.set_idle(1, true)), NONE);
    assert_eq!(names(detector.set_idle(1, false)), NONE);
    assert_eq!(names(detector.set_idle(0, true)), ["0 by 1"], "partition 1 is at 130");
    assert_eq!(names(detector.set_idle(1, true)), ["120 by 1"]);
    // What is closed stays closed, what follows is open.
    assert_eq!(observe(&mut detector, row(2, 0, 179)), NONE);
    assert_eq!(observe(&mut detector, row(3, 0, 180)), NONE);
    assert_eq!(detector.ignored().late, 1);
    assert_eq!(names(detector.set_idle(0, true)), ["180 by 3"]);
}

fn show(detectors: &mut Detectors, rows: &[Row], place: usize) -> Vec<String> {
    names(detectors.observe(rows[place].position(place), &rows[place].joined()))
}

/// Detectors that go on after rows 0 and 1 of partition 0, and row 2 of partition 1, were read.
fn resumed(rows: &[Row; 3]) -> Detectors {
    let mut before = Detectors::new(vec![Box::new(detector(600))]);
    for (place, row) in rows.iter().enumerate() {
        assert_eq!(before.observe(row.position(place), &row.joined()), []);
    }
    let mut after = Detectors::new(vec![Box::new(detector(600))]);
    for (partition, next) in [(0, 2), (1, 3)] {
        let metadata = before.checkpoint(partition, next).metadata;
        after.resume(partition, &metadata).expect("our own metadata");
    }
    after
}

#[test]
fn while_rows_are_reread_idleness_is_remembered_and_closes_nothing() {
    let rows = [row(0, 0, 10), row(1, 0, 130), row(2, 1, 20)];
    let mut detectors = resumed(&rows);
    assert_eq!(show(&mut detectors, &rows, 2), NONE);
    assert_eq!(show(&mut detectors, &rows, 0), NONE);
    assert_eq!(names(detectors.set_idle(1, true)), NONE, "the row at 130 is not reread yet");
    assert_eq!(show(&mut detectors, &rows, 1), ["0 by 1"]);
}

#[test]
fn a_row_that_is_reread_ends_what_was_remembered() {
    let rows = [row(0, 0, 10), row(1, 0, 130), row(2, 1, 20)];
    let mut detectors = resumed(&rows);
    assert_eq!(show(&mut detectors, &rows, 0), NONE);
    assert_eq!(show(&mut detectors, &rows, 1), NONE);
    assert_eq!(names(detectors.set_idle(1, true)), NONE, "its row is not reread yet");
    assert_eq!(show(&mut detectors, &rows, 2), NONE, "it has rows: it is not idle");
    assert_eq!(detectors.ignored().map(|(_, ignored)| ignored.late).sum::<u64>(), 0);
    assert_eq!(names(detectors.set_idle(1, true)), ["0 by 1"]);
}

/// A partition far ahead is paused, the slowest never; what is open stays within the bound.
#[test]
fn a_partition_far_ahead_of_the_slowest_is_paused() {
    let mut detector = detector(100);
    assert!(!detector.is_ahead(0) && !detector.is_ahead(1));
    observe(&mut detector, row(0, 0, 10));
    assert!(
        !detector.is_ahead(0),
        "nothing is known of partition 1: 100 s from the oldest window's start"
    );
    observe(&mut detector, row(1, 0, 101));
    assert!(detector.is_ahead(0) && !detector.is_ahead(1));
    observe(&mut detector, row(2, 1, 5));
    assert!(!detector.is_ahead(0), "96 s ahead");
    observe(&mut detector, row(3, 0, 106));
    assert!(detector.is_ahead(0) && !detector.is_ahead(1));
    detector.set_idle(1, true);
    assert!(!detector.is_ahead(0) && !detector.is_ahead(1), "the slowest is not waited for");
    observe(&mut detector, row(4, 1, 4));
    assert!(detector.is_ahead(0), "it is again");
}
