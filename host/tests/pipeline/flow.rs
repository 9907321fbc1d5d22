//! From records in Kafka to the next version, without trouble.

use std::collections::BTreeSet;

use weir_events::{EventId, EventTime, ModelVersion, Outcome};
use weir_kafka::{Assignment, Consumer, ConsumerEvent};

use crate::fish::{PER_WINDOW, fish, training_rows};
use crate::line::{Line, soon};

fn time(text: &str) -> EventTime {
    text.parse().expect("a time")
}

/// Thirty salmon, then thirty walleye that the model has never seen: it is retrained, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_drift_is_seen_and_learned() {
    let line = Line::start(1);
    line.publish(&training_rows(&["salmon"])).await;
    let host = line.host();
    line.ready().await;
    line.pass(&fish(0..PER_WINDOW, "salmon")).await;
    line.pass(&fish(30..61, "walleye")).await;
    line.settled().await;
    line.pass(&fish(61..91, "walleye")).await;
    line.settled().await;

    let predictions = line.predictions().await;
    let by_version = predictions.iter().map(|prediction| prediction.model.version.0);
    assert_eq!(by_version.collect::<Vec<_>>(), [vec![1; 61], vec![2; 30]].concat());
    let joined = line.joined().await;
    assert_eq!(joined.len(), 91);
    let errors: Vec<f64> = joined.iter().map(|row| row.error.expect("predicted")).collect();
    assert!(errors[30..61].iter().all(|&error| error > 0.3), "{errors:?}");
    assert!(errors[..30].iter().chain(&errors[61..]).all(|&error| error == 0.0), "{errors:?}");

    let windows = line.windows().await;
    let starts = windows.iter().map(|window| (window.start, window.rows, window.triggered));
    let expected = [
        (time("2026-01-05T08:00:00Z"), 30, false),
        (time("2026-01-05T08:01:00Z"), 30, true),
        (time("2026-01-05T08:02:00Z"), 30, false),
    ];
    assert!(starts.eq(expected), "{windows:?}");
    let mean = errors[30..60].iter().sum::<f64>() / 30.0;
    assert!((windows[1].mean_error - mean).abs() < 1e-12);

    let triggers = line.triggers().await;
    let [trigger] = &triggers[..] else { panic!("{triggers:?}") };
    assert_eq!(trigger.id, "window-mean/2026-01-05T08:01:00Z");
    assert_eq!((trigger.first.as_str(), trigger.last.as_str()), ("30", "59"));
    assert_eq!(trigger.closed_by, joined[60].prediction.measurement.id);

    let versions = line.versions().await;
    let [first, second] = &versions[..] else { panic!("{versions:?}") };
    assert_eq!((first.version, second.version), (ModelVersion(1), ModelVersion(2)));
    assert_eq!((second.parent, second.cause.id.as_ref()), (Some(first.version), Some(&trigger.id)));
    assert_eq!((second.rows.first_id.as_str(), second.rows.last_id.as_str()), ("11", "60"));
    assert_eq!((second.rows.n, second.rows.left_out), (50, 0));
    assert_eq!(second.levels, ["salmon", "walleye"]);
    assert!(predictions[61..].iter().all(|prediction| prediction.model == second.model_ref()));
    host.stop().await;
    assert_eq!(line.stored().await, 91);
}

/// Nothing is read before there is a model, and nothing is missing afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_predicting_waits() {
    let line = Line::start(1);
    let predict = format!("{}-predict", line.config.kafka.group_prefix);
    let host = line.host();
    line.pass(&fish(0..40, "salmon")).await;
    let others = || line.config.readers().into_iter().filter(|reader| *reader != predict);
    line.until("the other roles", |progress| others().all(|reader| progress.is_ready(&reader)))
        .await;
    // Alone in the group, and with nothing committed: the role is no member and never was one.
    let topic = line.config.topics.measurement.as_str();
    let kafka = line.config.kafka();
    let mut probe = Consumer::group(&kafka, &predict, &[topic], Default::default()).expect("joins");
    let assigned = match soon("the probe's partition", probe.next()).await {
        Some(ConsumerEvent::Assignment(Assignment::Assigned(assigned))) => assigned,
        other => panic!("{other:?}"),
    };
    assert!(matches!(&assigned[..], [(_, None)]), "{assigned:?}");
    soon("the probe's end", probe.close()).await;
    assert!(!line.progress.is_ready(&predict));
    assert!(line.predictions().await.is_empty());

    line.publish(&training_rows(&["salmon"])).await;
    line.ready().await;
    line.settled().await;
    let predictions = line.predictions().await;
    let numbers = predictions.iter().map(|prediction| prediction.measurement.key.as_str().parse());
    assert!(numbers.eq((0..40u32).map(Ok)), "each once, in order");
    assert!(predictions.iter().all(|prediction| matches!(prediction.outcome, Outcome::Value(_))));
    assert_eq!(line.joined().await.len(), 40);
    host.stop().await;
}

/// Every event is joined, once, whichever of four partitions its key is in.
#[tokio::test(flavor = "multi_thread")]
async fn four_partitions_lose_and_repeat_nothing() {
    let line = Line::start(4);
    line.publish(&training_rows(&["salmon"])).await;
    let host = line.host();
    line.ready().await;
    let all = fish(0..400, "salmon");
    line.pass(&all).await;
    line.settled().await;
    let joined = line.joined().await;
    let ids: BTreeSet<EventId> = joined.iter().map(|row| row.prediction.measurement.id).collect();
    assert_eq!(joined.len(), 400);
    assert_eq!(ids, all.iter().map(|fish| fish.id()).collect());
    let used = line.records(&line.config.topics.joined).await;
    let used: BTreeSet<i32> = used.iter().map(|record| record.position.partition).collect();
    assert_eq!(used.len(), 4);
    soon("the join to be flushed", host.control.finish()).await;
    assert_eq!(line.unjoined().await, []);
    host.stop().await;
    assert_eq!(line.stored().await, 400);
}

/// A level that the model does not know: no number, but a joined row, and at the tenth a retraining.
#[tokio::test(flavor = "multi_thread")]
async fn an_unseen_level_is_learned() {
    let line = Line::start(1);
    line.publish(&training_rows(&["salmon", "walleye"])).await;
    let host = line.host();
    line.ready().await;
    line.pass(&fish(0..10, "salmon")).await;
    line.pass(&fish(10..19, "bream")).await;
    line.settled().await;
    assert!(line.triggers().await.is_empty(), "nine are not enough");
    line.pass(&fish(19..20, "bream")).await;
    line.settled().await;
    line.pass(&fish(20..25, "bream")).await;
    line.settled().await;

    let joined = line.joined().await;
    assert_eq!(joined.len(), 25);
    for (number, row) in joined.iter().enumerate() {
        let unseen = Outcome::Missing(weir_events::Missing::UnseenLevel);
        let expected = (10..20).contains(&number);
        assert_eq!(row.prediction.outcome == unseen, expected, "{number}");
        assert_eq!(row.error, (!expected).then_some(0.0), "{number}");
    }
    let raw = line.records(&line.config.topics.prediction).await;
    let payload = String::from_utf8_lossy(raw[12].payload()).into_owned();
    assert!(payload.contains(r#""Weight":null"#), "{payload}");
    assert!(payload.contains(r#""Reason":"unseen-level""#), "{payload}");

    let triggers = line.triggers().await;
    let [trigger] = &triggers[..] else { panic!("{triggers:?}") };
    assert_eq!((trigger.detector.as_str(), trigger.rows), ("unseen-level", 10));
    assert_eq!((&trigger.levels[..], trigger.mean_error), (&["bream".to_owned()][..], None));
    let versions = line.versions().await;
    let newest = versions.last().expect("a version");
    assert_eq!((newest.version, newest.rows.n), (ModelVersion(2), 20));
    assert_eq!(newest.levels, ["bream", "salmon"]);
    host.stop().await;
}
