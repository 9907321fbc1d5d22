//! The audit against cases by hand, and against an oracle that looks at all records for each question.

use std::collections::BTreeSet;

use proptest::prelude::*;
use weir_events::{Digest, EventId, ModelVersion, RowPosition, TopicNames};

use super::report::{Contradiction, Report, Served};
use super::show;
use super::state::{Audit, Topic};

fn id(event: u8) -> EventId {
    EventId::from_bytes([event; 16])
}

fn at(partition: i32, offset: i64) -> RowPosition {
    RowPosition { partition, offset }
}

/// Models 0 and 1 are versions 1 and 2; model 2 is version 2 as well, with another digest.
fn model(number: u8) -> Served {
    let version = ModelVersion(u64::from(number.min(1)) + 1);
    Served { version, digest: Digest::of(&[number]) }
}

fn content(number: u8) -> Digest {
    Digest::of(&[number, 0])
}

/// Two partitions: two events in the first, the second of them predicted again by the next version.
fn swapped() -> Audit {
    let mut audit = Audit::new(10);
    audit.measurement(id(1), at(0, 0));
    audit.measurement(id(2), at(0, 1));
    audit.measurement(id(3), at(1, 0));
    audit.prediction(id(1), at(0, 0), model(0));
    audit.prediction(id(2), at(0, 1), model(0));
    audit.prediction(id(2), at(0, 2), model(1));
    audit.prediction(id(3), at(1, 0), model(1));
    for event in 1..=3 {
        let used = model(u8::from(event == 3));
        audit.joined(id(event), at(0, i64::from(event)), used, content(event));
    }
    audit
}

#[test]
fn a_swap_in_order_is_well() {
    let mut audit = swapped();
    audit.joined(id(1), at(0, 9), model(0), content(1));
    assert_eq!(audit.missing(), 0);
    let report = audit.report();
    assert!(report.ok, "{report:?}");
    let ranges: Vec<_> = report
        .served
        .iter()
        .map(|range| (range.partition, range.from, range.to, range.records, range.model.version.0))
        .collect();
    assert_eq!(ranges, [(0, 0, 1, 2, 1), (0, 2, 2, 1, 2), (1, 0, 0, 1, 2)]);
    let later = &report.superseded.first[0];
    assert_eq!((later.id, later.offset, later.first), (id(2), 2, model(0)));
    assert_eq!((report.superseded.count, report.repeated.count), (1, 1));
    assert_eq!((report.counts.events, report.counts.predicted), (3, 3));
}

#[test]
fn what_is_missing_is_listed_by_place_and_dead_letters_are_not() {
    let mut audit = Audit::new(1);
    for (event, offset) in [(9, 0), (5, 1), (7, 2), (7, 3)] {
        audit.measurement(id(event), at(0, offset));
    }
    audit.dead_letter(id(5));
    audit.dead_letter(id(6));
    assert_eq!(audit.missing(), 2);
    let report = audit.report();
    assert!(!report.ok);
    assert_eq!((report.missing.count, report.missing.first.len()), (2, 1));
    assert_eq!(report.missing.first[0].id, id(9));
    assert_eq!((report.counts.events, report.counts.dead_lettered), (3, 1));
    assert_eq!(report.counts.measurements, 4);
}

#[test]
fn every_contradiction_is_found() {
    let mut audit = swapped();
    audit.joined(id(1), at(0, 4), model(1), content(1));
    audit.joined(id(3), at(0, 5), model(1), content(9));
    audit.joined(id(4), at(0, 6), model(0), content(4));
    audit.prediction(id(5), at(1, 1), model(0));
    audit.joined(id(5), at(0, 7), model(2), content(5));
    let found = audit.report().contradictions;
    let digests = [1, 2].map(|number| model(number).digest).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(
        found.first,
        [
            Contradiction::TwoModels {
                id: id(1),
                partition: 0,
                offset: 4,
                first: model(0),
                other: model(1)
            },
            Contradiction::TwoContents { id: id(3), partition: 0, offset: 5, model: model(1) },
            Contradiction::NoPrediction { id: id(4), joined: model(0) },
            Contradiction::NotFirst { id: id(5), joined: model(2), first: model(0) },
            Contradiction::TwoDigests {
                version: ModelVersion(2),
                digests: digests.into_iter().collect()
            },
        ]
    );
}

#[test]
fn where_predictions_were_deleted_only_what_is_certain_is_told() {
    let mut audit = swapped();
    audit.predictions_are_cut();
    // Of this one the prediction is gone; of that one the first may be.
    audit.joined(id(4), at(0, 4), model(0), content(4));
    audit.prediction(id(5), at(1, 1), model(1));
    audit.joined(id(5), at(0, 5), model(0), content(5));
    // This one has used a prediction that is there and is not the first.
    audit.prediction(id(6), at(1, 2), model(0));
    audit.prediction(id(6), at(1, 3), model(1));
    audit.joined(id(6), at(0, 6), model(1), content(6));
    let report = audit.report();
    assert_eq!(report.counts.not_judged, 2);
    let joined = Contradiction::NotFirst { id: id(6), joined: model(1), first: model(0) };
    assert_eq!(report.contradictions.first, [joined]);
}

#[test]
fn people_and_programs_are_told() {
    let mut audit = swapped();
    audit.measurement(id(8), at(1, 7));
    audit.joined(id(1), at(0, 4), model(1), content(1));
    audit.unreadable(Topic::Prediction);
    let report = audit.report();
    let names = TopicNames { measurement: "m\u{1b}[2J".into(), ..TopicNames::default() };
    let text = anstream::adapter::strip_str(&show::text(&report, &names)).to_string();
    for part in [
        "partition  from  to  records  version  digest\n0          0     1   2        v1       ",
        "\n4 events: 3 predicted, 0 dead letters, 1 missing\n",
        "\n4 predictions by 2 versions: 1 superseded\n",
        "\n4 joined rows: 0 repeated, 0 not judged\n",
        "\nUnreadable, left out: 0 measurements, 1 predictions, 0 rows\n",
        "\n1 missing, without prediction\n  08080808080808080808080808080808  m\\u{1b}[2J/1/7\n",
        "\n1 contradictions\n  01010101010101010101010101010101  weight-diff/0/4  joined with v2 ",
        "\nNot all is well.\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["ok"], false);
    assert_eq!((&json["events"], &json["predicted"]), (&4.into(), &3.into()));
    assert_eq!(json["served"][1]["version"], 2);
    assert_eq!(json["superseded"]["first"][0]["first"]["version"], 1);
    assert_eq!(json["contradictions"]["first"][0]["kind"], "two-models");
    let well = show::text(&swapped().report(), &names);
    assert!(well.ends_with("\nAll is well: nothing is missing, nothing is contradictory.\n"));
    let nothing = show::text(&Audit::new(1).report(), &names);
    assert!(nothing.ends_with("\nNothing was measured: there is nothing to check.\n"));
}

/// A record of one of the topics.
#[derive(Clone, Copy, Debug)]
enum Given {
    Measured(u8),
    Dead(u8),
    Predicted(u8, u8),
    Joined(u8, u8, u8),
}

fn given() -> impl Strategy<Value = Given> {
    let (event, model) = (0_u8..6, 0_u8..3);
    prop_oneof![
        3 => event.clone().prop_map(Given::Measured),
        1 => event.clone().prop_map(Given::Dead),
        4 => (event.clone(), model.clone()).prop_map(|(event, model)| Given::Predicted(event, model)),
        3 => (event, model, 0_u8..2).prop_map(|(event, model, content)| Given::Joined(event, model, content)),
    ]
}

/// Records with their places. An event has one partition, as its key gives it one.
type Placed = Vec<(Given, RowPosition)>;

fn placed(given: &[Given]) -> Placed {
    let mut ends = [[0_i64; 2]; 4];
    let mut place = |topic: usize, event: u8| {
        let partition = event % 2;
        let end = &mut ends[topic][usize::from(partition)];
        *end += 1;
        at(i32::from(partition), *end - 1)
    };
    let place = |record: &Given| match *record {
        Given::Measured(event) => place(0, event),
        Given::Dead(event) => place(1, event),
        Given::Predicted(event, _) => place(2, event),
        Given::Joined(event, ..) => place(3, event),
    };
    given.iter().copied().zip(given.iter().map(place)).collect()
}

fn topic(record: &Given) -> u8 {
    match record {
        Given::Measured(_) => 0,
        Given::Dead(_) => 1,
        Given::Predicted(..) => 2,
        Given::Joined(..) => 3,
    }
}

fn audited(records: &Placed) -> Report {
    let mut audit = Audit::new(1_000);
    for &(record, place) in records {
        match record {
            Given::Measured(event) => audit.measurement(id(event), place),
            Given::Dead(event) => audit.dead_letter(id(event)),
            Given::Predicted(event, by) => audit.prediction(id(event), place, model(by)),
            Given::Joined(event, by, says) => {
                audit.joined(id(event), place, model(by), content(says));
            }
        }
    }
    let waiting = audit.missing();
    let report = audit.report();
    assert_eq!(report.missing.count, waiting, "counted as it goes");
    report
}

/// What must be found, by asking all records for each event.
#[derive(PartialEq, Debug)]
struct Found {
    missing: BTreeSet<EventId>,
    superseded: BTreeSet<RowPosition>,
    repeated: u64,
    two_models: u64,
    two_contents: u64,
    not_first: BTreeSet<EventId>,
    no_prediction: BTreeSet<EventId>,
    two_digests: u64,
    /// The model of each prediction, by its place.
    served: Vec<(RowPosition, Served)>,
}

fn oracle(records: &Placed) -> Found {
    let mut found = Found {
        missing: BTreeSet::new(),
        superseded: BTreeSet::new(),
        repeated: 0,
        two_models: 0,
        two_contents: 0,
        not_first: BTreeSet::new(),
        no_prediction: BTreeSet::new(),
        two_digests: 0,
        served: Vec::new(),
    };
    for event in 0..6 {
        let any = |wanted: fn(&Given, u8) -> bool| records.iter().any(|(r, _)| wanted(r, event));
        let predictions: Vec<(u8, RowPosition)> = records
            .iter()
            .filter_map(|&(record, place)| match record {
                Given::Predicted(of, by) if of == event => Some((by, place)),
                _ => None,
            })
            .collect();
        let rows: Vec<(u8, u8)> = records
            .iter()
            .filter_map(|&(record, _)| match record {
                Given::Joined(of, by, says) if of == event => Some((by, says)),
                _ => None,
            })
            .collect();
        let is_measured = any(|record, e| matches!(record, Given::Measured(of) if *of == e));
        let is_dead = any(|record, e| matches!(record, Given::Dead(of) if *of == e));
        if is_measured && !is_dead && predictions.is_empty() {
            found.missing.insert(id(event));
        }
        found.superseded.extend(predictions.iter().skip(1).map(|(_, place)| *place));
        found.served.extend(predictions.iter().map(|&(by, place)| (place, model(by))));
        let Some(&first) = rows.first() else { continue };
        for &row in &rows[1..] {
            found.repeated += u64::from(row == first);
            found.two_models += u64::from(row.0 != first.0);
            found.two_contents += u64::from(row.0 == first.0 && row.1 != first.1);
        }
        match predictions.first() {
            None => _ = found.no_prediction.insert(id(event)),
            Some(&(by, _)) if by != first.0 => _ = found.not_first.insert(id(event)),
            Some(_) => {}
        }
    }
    let names = |wanted: u8| {
        records.iter().any(|(record, _)| match *record {
            Given::Predicted(_, by) | Given::Joined(_, by, _) => by == wanted,
            _ => false,
        })
    };
    found.two_digests = u64::from(names(1) && names(2));
    found.served.sort_by_key(|(place, _)| *place);
    found
}

fn found(report: &Report) -> Found {
    let contradictions = &report.contradictions.first;
    let count = |wanted: fn(&Contradiction) -> bool| {
        contradictions.iter().filter(|found| wanted(found)).count() as u64
    };
    let ids = |of: fn(&Contradiction) -> Option<EventId>| contradictions.iter().filter_map(of);
    let served = report.served.iter().flat_map(|range| {
        let places = (range.from..=range.to).map(|offset| at(range.partition, offset));
        places.map(|place| (place, range.model))
    });
    Found {
        missing: report.missing.first.iter().map(|missing| missing.id).collect(),
        superseded: report
            .superseded
            .first
            .iter()
            .map(|later| at(later.partition, later.offset))
            .collect(),
        repeated: report.repeated.count,
        two_models: count(|found| matches!(found, Contradiction::TwoModels { .. })),
        two_contents: count(|found| matches!(found, Contradiction::TwoContents { .. })),
        not_first: ids(|found| match found {
            Contradiction::NotFirst { id, .. } => Some(*id),
            _ => None,
        })
        .collect(),
        no_prediction: ids(|found| match found {
            Contradiction::NoPrediction { id, .. } => Some(*id),
            _ => None,
        })
        .collect(),
        two_digests: count(|found| matches!(found, Contradiction::TwoDigests { .. })),
        served: served.collect(),
    }
}

proptest! {
    /// In whatever order topics are read, what is found is what all records say.
    #[test]
    fn the_audit_is_the_oracle(given in prop::collection::vec(given(), 0..40)) {
        let records = placed(&given);
        let expected = oracle(&records);
        let report = audited(&records);
        prop_assert_eq!(&found(&report), &expected);
        let is_well = report.missing.count + report.contradictions.count == 0;
        prop_assert_eq!(report.ok, is_well);
        // One topic after the other, forwards and backwards; and one partition after the other, as a scan reads.
        let mut topics = records.clone();
        topics.sort_by_key(|(record, _)| topic(record));
        prop_assert_eq!(&found(&audited(&topics)), &expected);
        topics.sort_by_key(|(record, place)| (std::cmp::Reverse(topic(record)), *place));
        prop_assert_eq!(&found(&audited(&topics)), &expected);
    }
}
