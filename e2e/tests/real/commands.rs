//! The commands for people who look after a line, against Apache Kafka: what the embedded broker cannot do.

use weir_e2e::process::{complete, run};
use weir_e2e::servers::{KAFKA, KAFKA_CLUSTER, address, unique};
use weir_events::{EventTime, TopicNames, headers};
use weir_kafka::{
    Admin, Creation, KafkaConfig, NewRecord, NewTopicSpec, Producer, Progress, Scan, Start,
};

/// A line with topics of its own. They are removed at the end of its test.
struct Line {
    topics: TopicNames,
    kafka: KafkaConfig,
    config: String,
    _folder: tempfile::TempDir,
}

impl Line {
    fn new(variable: &str) -> Self {
        let topics = TopicNames::default().prefixed(&unique("commands-"));
        let brokers = address(variable);
        let client_id = "test".to_owned();
        let kafka = KafkaConfig::new(&brokers, &client_id);
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("host.toml");
        let mut text = format!("[kafka]\nbrokers = {:?}\n[topics]\n", kafka.brokers);
        let names = serde_json::to_value(&topics).expect("a map of names");
        for (setting, name) in names.as_object().expect("a map of names") {
            text.push_str(&format!("{setting} = {name}\n"));
        }
        std::fs::write(&path, text).expect("written");
        let config = path.into_os_string().into_string().expect("UTF-8");
        Self { topics, kafka, config, _folder: folder }
    }

    fn create(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let command = ["topics", "create", "--config", &self.config];
        run("weir", &[&command[..], arguments].concat())
    }

    fn names(&self) -> Vec<String> {
        let topics = &self.topics;
        let named = topics.partitioned().into_iter().chain(topics.single()).map(str::to_owned);
        named.chain(topics.dead_letters()).collect()
    }

    async fn write(&self, topic: &str, payload: &[u8], time: &str, reason: &str) {
        let producer = Producer::new(&self.kafka, Progress::default()).expect("starts");
        let timestamp = Some(time.parse::<EventTime>().expect(time));
        let headers = [(headers::REASON, reason.as_bytes())];
        let headers = if reason.is_empty() { &[][..] } else { &headers[..] };
        let record = NewRecord { topic, key: None, payload: Some(payload), headers, timestamp };
        producer.send_patiently(&record).await.expect("taken").await.expect("delivered");
    }

    async fn remove(self) {
        let admin = Admin::new(&self.kafka).expect("starts");
        let names = self.names();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        admin.delete(&names).await.expect("deleted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_compared_and_left_alone() {
    let line = Line::new(KAFKA);
    let (code, printed, _) = line.create(&["--check"]);
    assert_eq!((code, printed.matches("  missing\n").count()), (Some(1), 16), "{printed}");
    let (code, _, log) = line.create(&["--replication", "99"]);
    assert_eq!(code, Some(1));
    assert!(log.contains("keep 99 copies of each topic"), "{log}");
    let (code, printed, log) = line.create(&["--partitions", "2"]);
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(printed.matches("  created\n").count(), 16, "{printed}");
    let (code, printed, _) = line.create(&["--partitions", "2", "--check"]);
    assert_eq!((code, printed.matches("  exists\n").count()), (Some(0), 16), "{printed}");
    // Another wish changes nothing.
    let differs = "  differs: partitions 2, wanted 3\n";
    for (check, expected) in [(&["--check"][..], 1), (&[], 0)] {
        let (code, printed, _) = line.create(&[&["--partitions", "3"], check].concat());
        assert_eq!((code, printed.matches(differs).count()), (Some(expected), 5), "{printed}");
    }
    let (_, printed, _) = line.create(&["--partitions", "2", "--json"]);
    let objects: Vec<serde_json::Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let models = objects.iter().find(|object| object["topic"] == *line.topics.models);
    let models = models.expect("models is there");
    assert_eq!((&models["policy"], &models["partitions"]), (&"compact".into(), &1.into()));
    line.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_brokers_keep_three_copies() {
    let line = Line::new(KAFKA_CLUSTER);
    let (code, _, log) = line.create(&["--partitions", "2"]);
    assert_eq!(code, Some(0), "{log}");
    let admin = Admin::new(&line.kafka).expect("starts");
    let names = line.names();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut state = admin.describe(&names).await.expect("described");
    // Each broker learns of a new topic by itself.
    for _ in 0..100 {
        if state.topics.len() == names.len() {
            break;
        }
        state = admin.describe(&names).await.expect("described");
    }
    assert_eq!(state.topics.len(), names.len());
    for topic in &state.topics {
        let in_sync = topic.settings.get("min.insync.replicas").map(String::as_str);
        assert_eq!((topic.replication, in_sync), (3, Some("2")), "{}", topic.name);
    }
    line.remove().await;
}

/// What the help says about components above a million bytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_component_needs_the_producers_limit_raised_and_no_more() {
    let mut line = Line::new(KAFKA);
    let (code, _, log) = line.create(&[]);
    assert_eq!(code, Some(0), "{log}");
    let component = vec![7; 4 * 1024 * 1024];
    let models = line.topics.models.clone();
    let record = NewRecord {
        topic: &models,
        key: Some(b"blob/large"),
        payload: Some(&component),
        headers: &[],
        timestamp: None,
    };
    let producer = Producer::new(&line.kafka, Progress::default()).expect("starts");
    assert!(producer.send(&record).is_err(), "librdkafka's own limit is lower");
    line.kafka.settings.insert("message.max.bytes".into(), "5000000".into());
    let producer = Producer::new(&line.kafka, Progress::default()).expect("starts");
    producer.send_patiently(&record).await.expect("taken").await.expect("the topic takes it");
    let kafka = line.kafka.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut scan = Scan::topics(&kafka, &[&models], Start::Beginning).expect("opens");
        let record = scan.next().expect("reads").expect("a record");
        assert!(scan.next().expect("reads").is_none());
        record.payload().len()
    });
    assert_eq!(read.await.expect("no panic"), component.len());
    line.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn since_asks_for_the_time_of_writing() {
    let line = Line::new(KAFKA);
    let (code, _, log) = line.create(&["--partitions", "2"]);
    assert_eq!(code, Some(0), "{log}");
    let letters = TopicNames::dead_letter(&line.topics.target);
    for (time, reason) in [
        ("2026-01-05T08:00:00Z", "missing-field"),
        ("2026-01-05T09:00:00Z", "wrong-type"),
        ("2026-01-05T10:00:00Z", "out-of-range"),
    ] {
        line.write(&letters, b"{}", time, reason).await;
        let payload = format!("{{\"hour\":\"{time}\"}}");
        line.write(&line.topics.joined, payload.as_bytes(), time, "").await;
    }
    let list = |since: &str| {
        let command = ["dead-letters", "list", "--config", &line.config, "--since", since];
        complete("weir", &command)
    };
    let printed = list("2026-01-05 09:00:00");
    assert!(
        printed.ends_with("\n2 dead letters\n  out-of-range         1\n  wrong-type           1\n")
    );
    assert!(list("1970-01-01T00:00:00Z").contains("\n3 dead letters\n"));
    assert_eq!(list("2026-01-05T10:00:00.001Z"), "0 dead letters\n");
    let tail = ["tail", "--config", &line.config, "--since", "2026-01-05T09:30:00Z"];
    let printed = complete("weir", &[&tail[..], &["--json", "-n", "1"]].concat());
    assert_eq!(printed, "{\"hour\":\"2026-01-05T10:00:00Z\"}\n");
    line.remove().await;
}

/// Also where the broker makes topics that are asked for, which is its default.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_is_named_and_not_made() {
    let line = Line::new(KAFKA);
    for command in [&["tail"][..], &["dead-letters", "list"], &["dead-letters", "retry", "--all"]] {
        let (code, _, log) = run("weir", &[command, &["--config", &line.config]].concat());
        assert_eq!(code, Some(1), "{command:?}: {log}");
        assert!(log.contains("make it with: weir topics create"), "{command:?}: {log}");
    }
    let (_, printed, _) = line.create(&["--check"]);
    assert_eq!(printed.matches("  missing\n").count(), 16, "{printed}");
    line.remove().await;
}

/// What the embedded broker does not tell: the settings of topics, and whose clock stamps their records.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_to_do_and_then_that_it_is_done() {
    let line = Line::new(KAFKA);
    let doctor = || run("weir", &["doctor", "--config", &line.config]).1;
    let before = doctor();
    let cure = format!("-> weir topics create --config {}\n", line.config);
    assert!(
        before.contains("\nFAILED   topics    missing: ") && before.contains(&cure),
        "{before}"
    );
    assert_eq!(line.create(&["--partitions", "2"]).0, Some(0));
    let after = doctor();
    let there = "\nok       topics    16 of 16 are there; events have 2 partitions\n";
    assert!(after.contains(there) && !after.contains("settings are not known"), "{after}");
    let admin = Admin::new(&line.kafka).expect("starts");
    admin.delete(&[&line.topics.models]).await.expect("deleted");
    let spec = NewTopicSpec {
        name: line.topics.models.clone(),
        partitions: 1,
        replication: 1,
        settings: vec![
            ("cleanup.policy".into(), "delete".into()),
            ("message.timestamp.type".into(), "LogAppendTime".into()),
        ],
    };
    // A topic that was just deleted may still be known.
    while admin.create(std::slice::from_ref(&spec)).await.expect("asked") != [Creation::Created] {}
    let (code, found, _) = run("weir", &["doctor", "--config", &line.config]);
    let forgets = format!("\nFAILED   topics    {} is not compacted", line.topics.models);
    assert!(code == Some(1) && found.contains(&forgets), "{found}");
    line.remove().await;
}
