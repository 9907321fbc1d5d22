//! Bad input of every kind, through a real MQTT client: each ends in its dead-letter topic with its reason,
//! none disturbs its neighbours.

mod line;

use line::{GATE, Line, NOW, SCALE, time, weight};
use weir_events::{Digest, Reason, Rejection, TopicNames, headers};
use weir_kafka::Record;

struct Case {
    mqtt_topic: &'static str,
    payload: Vec<u8>,
    reason: Reason,
    kafka_topic: &'static str,
}

fn cases() -> Vec<Case> {
    let case = |mqtt_topic, kafka_topic| {
        move |payload: &str, reason| Case {
            mqtt_topic,
            payload: payload.into(),
            reason,
            kafka_topic,
        }
    };
    let gate = case(GATE, "machine-measurement-dead-letter");
    let fields = |fields: &str| format!(r#"{{"Fish_Id":"x","Species":"salmon",{fields}}}"#);
    let scale = case(SCALE, "machine-weight-dead-letter");
    let weighed = |value: &str| format!(r#"{{"Fish_Id":"x","Weight":{value}}}"#);
    let unknown = |topic| case(topic, "unrouted-dead-letter")("{}", Reason::UnknownTopic);
    vec![
        gate("", Reason::EmptyPayload),
        gate("{\"Fish_Id\":", Reason::MalformedJson),
        gate("\u{0}\u{1}", Reason::MalformedJson),
        gate("[1, 2]", Reason::NotAnObject),
        gate(&fields(r#""Height":5"#), Reason::MissingField),
        gate(&fields(r#""Length":null,"Height":5"#), Reason::MissingField),
        gate(r#"{"Species":"salmon","Length":1,"Height":1}"#, Reason::MissingField),
        gate(&fields(r#""Length":"30","Height":5"#), Reason::WrongType),
        gate(&fields(r#""Length":NaN,"Height":5"#), Reason::MalformedJson),
        gate(&fields(r#""Length":Infinity,"Height":5"#), Reason::MalformedJson),
        gate(&fields(r#""Length":1e999,"Height":5"#), Reason::NotFinite),
        gate(&fields(r#""Length":-0.001,"Height":5"#), Reason::OutOfRange),
        gate(&"x".repeat(1_000_000), Reason::PayloadTooLarge),
        scale(&weighed("0"), Reason::TargetNotPositive),
        scale(&weighed("-3.5"), Reason::TargetNotPositive),
        scale(&weighed("\"4.5\""), Reason::WrongType),
        scale(
            r#"{"Fish_Id":"x","Weight":4,"Timestamp":"2026-01-05T08:00:06Z"}"#,
            Reason::FutureTimestamp,
        ),
        scale(r#"{"Fish_Id":"x","Weight":4,"Timestamp":"yesterday"}"#, Reason::BadTimestamp),
        scale(r#"{"Fish_Id":"","Weight":4}"#, Reason::BadText),
        unknown("weir/hall/gate/colour"),
        unknown("weir/hall/measurement"),
        unknown("weir/hall/gate/extra/measurement"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_input_ends_as_a_dead_letter_and_its_neighbours_pass() {
    let line = Line::start().await;
    let bridge = line.bridge().await;
    let cases = cases();
    let good: Vec<_> = (0..=cases.len()).map(weight).collect();
    let mut messages = vec![(SCALE, good[0].as_bytes())];
    for (case, good) in cases.iter().zip(&good[1..]) {
        messages.push((case.mqtt_topic, &case.payload));
        messages.push((SCALE, good.as_bytes()));
    }
    let count = messages.len() as u64;
    line.publish(messages).await;
    bridge.until_acknowledged(count).await;
    let counters = bridge.stop().await;

    assert_eq!(counters.subscriptions(), 1, "the connection was dropped");
    assert_eq!(counters.received(), count);
    assert_eq!(counters.forwarded(), good.len() as u64);
    assert_eq!(counters.dead_lettered(), cases.len() as u64);
    for reason in Reason::ALL {
        let expected = cases.iter().filter(|case| case.reason == reason).count();
        assert_eq!(counters.dead_lettered_for(reason), expected as u64, "{reason}");
    }
    let keys: Vec<_> = (0..good.len()).map(|number| number.to_string()).collect();
    assert_eq!(line.first_keys("machine-weight").await, keys);
    assert_eq!(line.count("machine-measurement").await, 0);
    for topic in TopicNames::default().dead_letters() {
        let expected: Vec<_> = cases.iter().filter(|case| case.kafka_topic == topic).collect();
        let found = line.records(&topic, line.count(&topic).await).await;
        assert_eq!(found.len(), expected.len(), "{topic}");
        for (record, case) in found.iter().zip(expected) {
            check(record, case);
        }
    }
}

fn check(record: &Record, case: &Case) {
    let text = |name| record.header(name).expect("the header is there");
    assert_eq!(text(headers::REASON), case.reason.as_str());
    assert_eq!(text(headers::SOURCE), case.mqtt_topic);
    assert_eq!(text(headers::SIZE), case.payload.len().to_string());
    assert_eq!(text(headers::DIGEST), Digest::of(&case.payload).to_string());
    assert!(!text(headers::DETAIL).is_empty());
    let kept = case.payload.len().min(Rejection::PAYLOAD_BYTES_MAX);
    assert_eq!(record.payload(), &case.payload[..kept], "{}", case.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_normalised_with_id_and_source() {
    let line = Line::start().await;
    let bridge = line.bridge().await;
    let payload = r#"{"Fish_Id":7,"Species":"salmon","Length":88.125,"Height":19,"note":"x"}"#;
    line.publish([(GATE, payload)]).await;
    bridge.until_acknowledged(1).await;
    bridge.stop().await;
    let record = line.records("machine-measurement", 1).await.remove(0);
    let json: serde_json::Value = serde_json::from_slice(record.payload()).expect("JSON");
    let expected = serde_json::json!({
        "Fish_Id": "7", "Species": "salmon", "Length": 88.125, "Height": 19, "note": "x", "Timestamp": NOW,
    });
    assert_eq!((json, record.key_text()), (expected, Some("7")));
    assert_eq!(record.header(headers::SOURCE), Some(GATE));
    assert_eq!(record.header(headers::ID).map(str::len), Some(32));
}

/// What Kafka refuses for good, here for its size, must not wedge the bridge.
#[tokio::test(flavor = "multi_thread")]
async fn what_kafka_refuses_becomes_a_dead_letter() {
    let mut line = Line::start().await;
    line.config.limits.payload_bytes_max = 200_000;
    line.config.kafka.settings.insert("message.max.bytes".into(), "100000".into());
    let bridge = line.bridge().await;
    let long = format!(r#"{{"Fish_Id":"1","Weight":1,"note":"{}"}}"#, "x".repeat(150_000));
    line.publish([(SCALE, weight(0)), (SCALE, long.clone()), (SCALE, weight(2))]).await;
    bridge.until_acknowledged(3).await;
    let counters = bridge.stop().await;
    assert_eq!((counters.forwarded(), counters.dead_lettered_for(Reason::RefusedByKafka)), (2, 1));
    assert_eq!(line.first_keys("machine-weight").await, ["0", "2"]);
    let letter = line.records("machine-weight-dead-letter", 1).await.remove(0);
    assert_eq!(letter.header(headers::REASON), Some("refused-by-kafka"));
    assert_eq!(letter.header(headers::SIZE), Some(long.len().to_string().as_str()));
    assert_eq!(letter.payload(), &long.as_bytes()[..Rejection::PAYLOAD_BYTES_MAX]);
}

/// With nowhere left to put a message the bridge ends, and the MQTT broker keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_dead_letter_stops_the_bridge_and_is_not_acknowledged() {
    let mut line = Line::start().await;
    line.config.kafka.settings.insert("message.max.bytes".into(), "10000".into());
    let bridge = line.bridge().await;
    let counters = std::sync::Arc::clone(&bridge.counters);
    line.publish([(SCALE, "x".repeat(20_000))]).await;
    let error = bridge.ended().await.expect_err("stopped").to_string();
    assert!(error.contains("dead letter") && error.contains(SCALE), "{error}");
    assert_eq!((counters.dead_lettered(), counters.acknowledged()), (0, 0));

    line.config.kafka.settings.remove("message.max.bytes");
    let bridge = line.bridge().await;
    bridge.until_acknowledged(1).await;
    assert_eq!(bridge.stop().await.dead_lettered_for(Reason::MalformedJson), 1);
}

/// A machine whose clock was never set would refuse every honest event as a future one.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_holds_messages_until_it_is_set() {
    let mut line = Line::start().await;
    let set = "2026-01-05T09:00:00Z";
    line.config.limits.clock_not_before = time("2026-01-05T08:30:00Z");
    let bridge = line.bridge().await;
    let dated = r#"{"Fish_Id":"1","Weight":1,"Timestamp":"2026-01-05T08:59:00Z"}"#;
    line.publish([(SCALE, weight(0)), (SCALE, dated.to_owned())]).await;
    line.clock.advance_to(time(set));
    bridge.until_acknowledged(2).await;
    let counters = bridge.stop().await;
    assert_eq!((counters.forwarded(), counters.dead_lettered()), (2, 0));
    let record = line.records("machine-weight", 2).await.remove(0);
    let json: serde_json::Value = serde_json::from_slice(record.payload()).expect("JSON");
    assert_eq!(json["Timestamp"], set);
}
