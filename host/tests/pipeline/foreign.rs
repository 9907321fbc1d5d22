//! Records that other programs write to Weir's topics: bad ones are set aside with their reason, good
//! ones are taken, and neither disturbs its neighbours.

use weir_events::{Digest, EventId, TopicNames, headers};
use weir_kafka::{NewRecord, Record};

use crate::fish::{Event, Fish, fish, training_rows};
use crate::line::Line;

/// A foreign record with the reason for which it is refused.
struct Bad {
    payload: Vec<u8>,
    reason: &'static str,
}

fn bad(payload: impl Into<Vec<u8>>, reason: &'static str) -> Bad {
    Bad { payload: payload.into(), reason }
}

fn foreign(payload: &[u8]) -> Event {
    Event { key: b"\xff\xfe".to_vec(), id: Some("no id".into()), payload: payload.into() }
}

/// What any of the topics refuses.
fn unreadable() -> Vec<Bad> {
    vec![
        bad("{not json", "malformed-json"),
        bad(&b"\xff\x00"[..], "malformed-json"),
        bad("[".repeat(100_000), "malformed-json"),
        bad("{}", "missing-field"),
    ]
}

fn measurements() -> Vec<Bad> {
    let of = |rest: &str| format!(r#"{{"Species":"salmon","Fish_Id":"x",{rest}}}"#);
    let mut all = unreadable();
    all.extend([
        bad("", "empty-payload"),
        bad("[]", "not-an-object"),
        bad(of(r#""Length":80"#), "missing-field"),
        bad(of(r#""Length":"80","Height":19"#), "wrong-type"),
        bad(of(r#""Length":1e999,"Height":19"#), "not-finite"),
        bad(of(r#""Length":-3,"Height":19"#), "out-of-range"),
        bad(of(r#""Length":80,"Height":19,"Timestamp":"yesterday""#), "bad-timestamp"),
        bad(r#"{"Species":"","Fish_Id":"x","Length":80,"Height":19}"#, "bad-text"),
        bad(r#"{"Species":"salmon","Fish_Id":"","Length":80,"Height":19}"#, "bad-text"),
    ]);
    all
}

fn targets() -> Vec<Bad> {
    let mut all = unreadable();
    all.extend([
        bad("7", "not-an-object"),
        bad(r#"{"Fish_Id":"x","Weight":0}"#, "target-not-positive"),
        bad(r#"{"Fish_Id":"x","Weight":"4"}"#, "wrong-type"),
    ]);
    all
}

fn predictions() -> Vec<Bad> {
    let of = |inner: &str| {
        let head = r#""Species":"salmon","Fish_Id":"x","Length":80,"Height":19"#;
        format!(r#"{{{head},"Timestamp":"2026-01-05T08:00:00Z","Prediction":{inner}}}"#)
    };
    let mut all = unreadable();
    all.extend([
        bad(of("4.5"), "missing-field"),
        bad(of(r#"{"Weight":4.5}"#), "missing-field"),
        bad(of(r#"{"Weight":"4.5"}"#), "wrong-type"),
        bad(of(r#"{"Weight":null,"Reason":"because"}"#), "wrong-type"),
        bad(
            of(r#"{"Weight":4.5,"ModelVersion":-1,"ModelDigest":"","ModelTime":""}"#),
            "wrong-type",
        ),
    ]);
    all
}

fn joined() -> Vec<Bad> {
    let of = |actual: &str| {
        let head = r#""Species":"salmon","Fish_Id":"x","Length":80,"Height":19"#;
        let id = "00112233445566778899aabbccddeeff";
        let times = r#""Timestamp":"2026-01-05T08:00:00Z","MeasuredAt":"2026-01-05T08:00:00Z""#;
        format!(r#"{{{head},{times},"Id":"{id}","PredictedWeight":4.5,"ActualWeight":{actual}}}"#)
    };
    let mut all = unreadable();
    all.extend([
        bad(of("-1"), "target-not-positive"),
        bad(of("null"), "missing-field"),
        bad(of("4.5"), "missing-field"),
    ]);
    all
}

fn triggers() -> Vec<Bad> {
    let mut all = unreadable();
    all.push(bad(r#"{"Key":7}"#, "wrong-type"));
    all
}

impl Line {
    async fn write_foreign(&self, topic: &str, records: &[Bad]) {
        let events: Vec<_> = records.iter().map(|bad| foreign(&bad.payload)).collect();
        self.write(topic, &events).await;
    }

    /// A topic's dead letters are these, in order, each with its source.
    async fn assert_dead_letters(&self, topic: &str, bad: &[Bad]) {
        let letters = self.records(&TopicNames::dead_letter(topic)).await;
        let all = self.records(topic).await;
        let reasons: Vec<_> = letters.iter().map(|letter| letter.header(headers::REASON)).collect();
        let expected: Vec<_> = bad.iter().map(|bad| Some(bad.reason)).collect();
        assert_eq!(reasons, expected, "{topic}");
        for (letter, bad) in letters.iter().zip(bad) {
            let kept = bad.payload.len().min(64 * 1024);
            assert_eq!(letter.payload(), &bad.payload[..kept]);
            assert_eq!(letter.key.as_deref(), Some(&b"\xff\xfe"[..]));
            let is_source = |record: &&Record| {
                let place = record.position;
                let source = format!("{topic}/{}/{}", place.partition, place.offset);
                letter.header(headers::SOURCE) == Some(&source)
            };
            let source = all.iter().find(is_source).expect("the source is named");
            assert_eq!(source.payload(), bad.payload);
            let size = bad.payload.len().to_string();
            assert_eq!(letter.header(headers::SIZE), Some(&*size));
            let digest = Digest::of(&bad.payload).to_string();
            assert_eq!(letter.header(headers::DIGEST), Some(&*digest));
            let place = source.position;
            let id = EventId::of_position(topic, place.partition, place.offset).to_string();
            assert_eq!(letter.header(headers::ID), Some(&*id));
            assert!(letter.header(headers::DETAIL).is_some_and(|detail| !detail.is_empty()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_records_are_set_aside() {
    let line = Line::start(1);
    line.publish(&training_rows(&["salmon"])).await;
    let host = line.host();
    line.ready().await;
    let topics = &line.config.topics;
    let places = [
        (&topics.measurement, measurements()),
        (&topics.target, targets()),
        (&topics.prediction, predictions()),
        (&topics.joined, joined()),
        (&topics.trigger, triggers()),
    ];
    line.pass(&fish(0..30, "salmon")).await;
    for (topic, bad) in &places {
        line.write_foreign(topic, bad).await;
    }
    line.pass(&fish(30..61, "walleye")).await;
    line.settled().await;
    for (topic, bad) in &places {
        line.assert_dead_letters(topic, bad).await;
    }
    // The neighbours: all joined, both windows closed with all rows, retraining done.
    assert_eq!(line.predictions_of_ours().await, 61);
    let windows: Vec<_> = line.windows().await.iter().map(|w| (w.rows, w.triggered)).collect();
    assert_eq!(windows, [(30, false), (30, true)]);
    let versions = line.versions().await;
    assert_eq!(versions.last().expect("a version").rows.n, 50);
    host.stop().await;
    assert_eq!(line.stored().await, 61);
}

impl Line {
    async fn predictions_of_ours(&self) -> usize {
        let records = self.records(&self.config.topics.prediction).await;
        records.iter().filter(|record| record.key_text().is_some()).count()
    }
}

/// An event that is sent again after a fix is the same event.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_has_the_id_of_its_event() {
    let line = Line::start(1);
    line.publish(&training_rows(&["salmon"])).await;
    let host = line.host();
    line.ready().await;
    let id = EventId::from_bytes([7; 16]).to_string();
    let topic = &line.config.topics.measurement;
    let event = Event { id: Some(id.clone()), ..foreign(b"{}") };
    line.write(topic, &[event]).await;
    line.settled().await;
    let letters = line.records(&TopicNames::dead_letter(topic)).await;
    let ids: Vec<_> = letters.iter().map(|letter| letter.header(headers::ID)).collect();
    assert_eq!(ids, [Some(id.as_str())]);
    host.stop().await;
}

/// A tombstone is an empty payload; a record without id is known by its place.
#[tokio::test(flavor = "multi_thread")]
async fn records_without_id_or_payload() {
    let line = Line::start(1);
    line.publish(&training_rows(&["salmon"])).await;
    let host = line.host();
    line.ready().await;
    let topics = &line.config.topics;
    for topic in [&topics.measurement, &topics.target, &topics.prediction, &topics.joined] {
        let tombstone =
            NewRecord { topic, key: None, payload: None, headers: &[], timestamp: None };
        line.producer.send_patiently(&tombstone).await.expect("taken").await.expect("delivered");
    }
    let anonymous = |event: Event| Event { id: None, key: b"another key".to_vec(), ..event };
    let all = fish(0..5, "salmon");
    let measurements: Vec<_> = all.iter().map(Fish::measurement).map(anonymous).collect();
    let targets: Vec<_> = all.iter().map(Fish::target).map(anonymous).collect();
    line.write(&topics.measurement, &measurements).await;
    line.write(&topics.target, &targets).await;
    line.settled().await;
    for topic in [&topics.measurement, &topics.target, &topics.prediction, &topics.joined] {
        let letters = line.records(&TopicNames::dead_letter(topic)).await;
        let reasons: Vec<_> = letters.iter().map(|letter| letter.header(headers::REASON)).collect();
        assert_eq!(reasons, [Some("empty-payload")], "{topic}");
    }
    let records = line.records(&topics.joined).await;
    let rows: Vec<_> = records
        .iter()
        .filter_map(|record| line.schema().decode_joined(record.payload()).ok())
        .map(|row| row.prediction.measurement)
        .collect();
    for (offset, (row, fish)) in (1..).zip(rows.iter().zip(&all)) {
        // The first offset is the tombstone's.
        assert_eq!(row.id, EventId::of_position(&topics.measurement, 0, offset));
        assert_eq!(row.key, fish.key());
    }
    host.stop().await;
    assert_eq!(line.stored().await, 5);
}

/// A trigger for a row that nobody stored is given up in time; the next one is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_for_an_unknown_row_holds_up_nothing() {
    let mut line = Line::start(1);
    line.config.train.row_timeout = std::time::Duration::from_millis(100);
    line.publish(&training_rows(&["salmon"])).await;
    let host = line.host();
    line.ready().await;
    let time = "2026-01-05T08:00:00Z";
    let trigger = format!(
        r#"{{"Key":"foreign","Species":[],"Fish_Id_Start":"1","Fish_Id_End":"2","ErrorAvg":null,
        "Detector":"foreign","Rows":1,"WindowStart":"{time}","WindowEnd":"{time}",
        "ClosedBy":"00112233445566778899aabbccddeeff","ClosedAt":"{time}","Partition":0,"Offset":0}}"#
    );
    line.write(&line.config.topics.trigger, &[foreign(trigger.as_bytes())]).await;
    line.settled().await;
    assert_eq!(line.versions().await.len(), 1);
    line.pass(&fish(0..30, "walleye")).await;
    line.pass(&fish(30..31, "walleye")).await;
    line.settled().await;
    let versions = line.versions().await;
    let answered: Vec<_> = versions.iter().map(|manifest| manifest.cause.id.as_deref()).collect();
    assert_eq!(answered, [None, Some("window-mean/2026-01-05T08:00:00Z")]);
    host.stop().await;
}
