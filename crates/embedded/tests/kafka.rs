//! Producer and consumer against the embedded Kafka broker.

use std::time::Duration;

use weir_embedded::kafka::EmbeddedKafka;
use weir_events::RowPosition;
use weir_kafka::{
    Assignment, Consumer, ConsumerEvent, KafkaConfig, NewRecord, Producer, Progress, Record, Resume,
};

fn config(kafka: &EmbeddedKafka) -> KafkaConfig {
    KafkaConfig {
        settings: EmbeddedKafka::settings(),
        ..KafkaConfig::new(&kafka.brokers(), "test")
    }
}

async fn send(producer: &Producer, topic: &str, key: &str) -> RowPosition {
    let record = NewRecord {
        topic,
        key: Some(key.as_bytes()),
        payload: Some(b"{}"),
        headers: &[("weir-id", b"7")],
        timestamp: None,
    };
    producer.send(&record).expect("queued").await.expect("delivered")
}

async fn read(consumer: &mut Consumer, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        match consumer.next().await.expect("runs") {
            ConsumerEvent::Records(batch) => records.extend(batch),
            ConsumerEvent::Assignment(Assignment::Assigned(_) | Assignment::Revoked(_)) => {}
            ConsumerEvent::Failed(reason) => panic!("{reason}"),
        }
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_resumes_where_it_was_told_to() {
    let kafka = EmbeddedKafka::start().expect("starts");
    kafka.create_topic("t", 1).expect("created");
    let config = config(&kafka);
    let progress = Progress::default();
    let producer = Producer::new(&config, progress.clone()).expect("valid");
    for key in ["a", "b", "c"] {
        send(&producer, "t", key).await;
    }

    let mut first = Consumer::group(&config, "g", &["t"], progress.clone()).expect("valid");
    let records = read(&mut first, 3).await;
    assert_eq!(records[1].key_text(), Some("b"));
    assert_eq!(records[1].header("weir-id"), Some("7"));
    assert!(!progress.is_settled());
    // Everything is done, but the last two are needed again to rebuild state.
    let resume = Resume { offset: 1, metadata: "state".into() };
    first.done(&records[0].topic, 0, 3, Some(resume.clone()));
    assert!(progress.is_settled());
    first.close().await;

    let mut second = Consumer::group(&config, "g", &["t"], progress).expect("valid");
    let ConsumerEvent::Assignment(Assignment::Assigned(assigned)) =
        second.next().await.expect("runs")
    else {
        panic!("the assignment comes first");
    };
    assert_eq!(assigned[0].1, Some(resume));
    let again = read(&mut second, 2).await;
    assert_eq!(again[0].key_text(), Some("b"));
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_whole_topics_and_a_full_channel_loses_nothing() {
    let kafka = EmbeddedKafka::start().expect("starts");
    kafka.create_topic("t", 4).expect("created");
    let config = config(&kafka);
    let producer = Producer::new(&config, Progress::default()).expect("valid");
    let mut reader = Consumer::reader(&config, "r", &["t"], Progress::default()).expect("exists");
    let deliveries: Vec<_> = (0..5_000)
        .map(|n: u32| {
            let key = n.to_string();
            let record = NewRecord {
                topic: "t",
                key: Some(key.as_bytes()),
                payload: None,
                headers: &[],
                timestamp: None,
            };
            producer.send(&record).expect("queued")
        })
        .collect();
    for delivery in deliveries {
        delivery.await.expect("delivered");
    }
    // Longer than the thread's patience, so that it pauses and resumes.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut keys: Vec<u32> = read(&mut reader, 5_000)
        .await
        .iter()
        .map(|record| record.key_text().expect("a key").parse().expect("a number"))
        .collect();
    keys.sort_unstable();
    assert!(keys.into_iter().eq(0..5_000));
    let ends = Consumer::ends(&config, "t").expect("answers");
    assert_eq!((ends.len(), ends.iter().map(|(_, end)| end).sum::<i64>()), (4, 5_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_named() {
    let config = KafkaConfig {
        settings: EmbeddedKafka::settings(),
        ..KafkaConfig::new("127.0.0.1:1", "test")
    };
    let asked = tokio::task::spawn_blocking(move || {
        Consumer::reader(&config, "r", &["t"], Progress::default())
    });
    let message = asked.await.expect("ends").expect_err("refused").to_string();
    assert!(message.contains("127.0.0.1:1") && message.contains("kafka.brokers"), "{message}");
}
