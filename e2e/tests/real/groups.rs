//! Groups on a real Kafka: how partitions go from one member to another. The embedded broker takes no commits while a group
//! is being formed anew, and so cannot show it.

use std::time::Duration;

use weir_e2e::servers::{KAFKA_CLUSTER, address, unique};
use weir_kafka::{
    Admin, Assignment, Consumer, ConsumerEvent, KafkaConfig, NewRecord, NewTopicSpec, Producer,
    Progress, Record,
};

async fn topic(config: &KafkaConfig, partitions: i32) -> String {
    let name = unique("group-");
    let spec =
        NewTopicSpec { name: name.clone(), partitions, replication: 1, settings: Vec::new() };
    Admin::new(config).expect("a client").create(&[spec]).await.expect("made");
    name
}

fn config() -> KafkaConfig {
    KafkaConfig::new(&address(KAFKA_CLUSTER), "test")
}

async fn send(producer: &Producer, topic: &str, key: &str) {
    let record = NewRecord {
        topic,
        key: Some(key.as_bytes()),
        payload: Some(b"{}"),
        headers: &[],
        timestamp: None,
    };
    producer.send(&record).expect("queued").await.expect("delivered");
}

/// Reads so many records, whatever happens to the assignment.
async fn read(consumer: &mut Consumer, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        match consumer.next().await.expect("runs") {
            ConsumerEvent::Records(batch) => records.extend(batch),
            ConsumerEvent::Assignment(_) => {}
            ConsumerEvent::Failed(reason) => panic!("{reason}"),
        }
    }
    records
}

/// Takes events until the assignment is the one expected; records in between are done at once. Returns their number.
async fn until_assigned(consumer: &mut Consumer, partitions: usize) -> usize {
    let mut read = 0;
    loop {
        match consumer.next().await.expect("runs") {
            ConsumerEvent::Assignment(Assignment::Assigned(given)) if given.len() == partitions => {
                return read;
            }
            ConsumerEvent::Assignment(_) => {}
            ConsumerEvent::Records(records) => {
                read += records.len();
                finish(consumer, &records);
            }
            ConsumerEvent::Failed(reason) => panic!("{reason}"),
        }
    }
}

fn finish(consumer: &Consumer, records: &[Record]) {
    for record in records {
        let next = record.position.offset + 1;
        consumer.done(&record.topic, record.position.partition, next, Some(next.into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_given_back_when_their_records_are_finished() {
    let config = config();
    let topic = topic(&config, 2).await;
    let join = || Consumer::group(&config, &topic, &[&topic], Progress::default()).expect("valid");
    let producer = Producer::new(&config, Progress::default()).expect("valid");
    for key in 0..40 {
        send(&producer, &topic, &key.to_string()).await;
    }
    let mut first = join();
    let held = read(&mut first, 40).await;
    // Another member comes while the first is still at work on what it has read.
    let mut second = join();
    let other = tokio::spawn(async move { (until_assigned(&mut second, 1).await, second) });
    // The first is asked for its partitions, and says so before it goes on.
    let event = first.next().await.expect("runs");
    assert!(matches!(event, ConsumerEvent::Assignment(Assignment::Revoked(_))), "{event:?}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!other.is_finished(), "the partition was given away before its records were finished");
    finish(&first, &held);
    assert_eq!(until_assigned(&mut first, 1).await, 0, "what was finished is read again");
    let (read_before, mut second) = other.await.expect("ends");
    assert_eq!(read_before, 0, "what was finished is read again");
    send(&producer, &topic, "last").await;
    let last = tokio::select! {
        records = read(&mut first, 1) => records,
        records = read(&mut second, 1) => records,
    };
    assert_eq!(last[0].key_text(), Some("last"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_reads_everything_and_another_takes_over() {
    let config = config();
    let (lease, topic) = (topic(&config, 1).await, topic(&config, 3).await);
    let producer = Producer::new(&config, Progress::default()).expect("valid");
    let join = || Consumer::leader(&config, &topic, &lease, &[&topic], Progress::default());
    let mut first = join().expect("valid");
    until_assigned(&mut first, 3).await;
    for key in 0..20 {
        send(&producer, &topic, &key.to_string()).await;
    }
    let records = read(&mut first, 20).await;
    finish(&first, &records);
    let mut second = join().expect("valid");
    // Either may have the lease now; the other stands by.
    let (mut leader, mut other) = tokio::select! {
        _ = until_assigned(&mut first, 0) => (second, first),
        _ = until_assigned(&mut second, 0) => (first, second),
    };
    send(&producer, &topic, "a").await;
    let records = tokio::select! {
        records = read(&mut leader, 1) => records,
        records = read(&mut other, 1) => panic!("who stands by reads {records:?}"),
    };
    assert_eq!(records[0].key_text(), Some("a"), "what was finished is read again");
    finish(&leader, &records);
    leader.close().await;
    send(&producer, &topic, "b").await;
    assert_eq!(read(&mut other, 1).await[0].key_text(), Some("b"));
    other.close().await;
}
