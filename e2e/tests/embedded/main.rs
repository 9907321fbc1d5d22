//! The line as it is deployed: agent, bridge and host as processes of their own, which meet only in the
//! brokers. The brokers are the embedded ones, in the test's process.

mod commands;
mod doctor;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use weir_e2e::keys;
use weir_e2e::process::{GRACE, PATIENCE, Process, complete, run};
use weir_embedded::kafka::EmbeddedKafka;
use weir_embedded::mqtt::EmbeddedMqtt;
use weir_events::TopicNames;
use weir_kafka::{Consumer, ConsumerEvent, KafkaConfig, Progress, Record};
use weir_registry::{Log, Refusal, Trust};

const FISH: usize = 180;

/// Brokers, and the settings with which the services reach them.
struct Brokers {
    kafka: EmbeddedKafka,
    mqtt: EmbeddedMqtt,
    folder: tempfile::TempDir,
}

impl Brokers {
    async fn start() -> Self {
        let kafka = EmbeddedKafka::start().expect("starts");
        let topics = TopicNames::default();
        for topic in topics.partitioned().into_iter().chain(topics.single()) {
            kafka.create_topic(topic, 1).expect("created");
        }
        for topic in topics.dead_letters() {
            kafka.create_topic(&topic, 1).expect("created");
        }
        let mqtt = EmbeddedMqtt::start().await.expect("starts");
        Self { kafka, mqtt, folder: tempfile::tempdir().expect("temporary folder") }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.into_os_string().into_string().expect("UTF-8")
    }

    fn kafka_section(&self) -> String {
        let mut section = format!("[kafka]\nbrokers = {:?}\n", self.kafka.brokers());
        section.push_str("[kafka.settings]\n");
        // How soon the group gives a killed member's partitions to its successor.
        section.push_str("\"session.timeout.ms\" = \"3000\"\n");
        for (name, value) in EmbeddedKafka::settings() {
            section.push_str(&format!("{name:?} = {value:?}\n"));
        }
        section
    }

    fn host_config(&self) -> String {
        let store = self.folder.path().join("training.redb");
        let (kafka, keys) = (self.kafka_section(), keys::original(self.folder.path()));
        self.file("host.toml", &format!("{kafka}{keys}[store]\npath = {store:?}\n"))
    }

    fn bridge(&self) -> Process {
        let config = self.file("bridge.toml", &self.kafka_section());
        let mqtt = self.mqtt.address().to_string();
        let mut bridge = Process::start("weir-bridge", &["--config", &config, "--mqtt", &mqtt]);
        // The broker forgets what is published before anybody has subscribed.
        bridge.await_line("subscribed");
        bridge
    }

    async fn reader(&self, topic: &'static str) -> Consumer {
        let config = KafkaConfig {
            settings: EmbeddedKafka::settings(),
            ..KafkaConfig::new(&self.kafka.brokers(), "test")
        };
        let open = move || Consumer::reader(&config, "test", &[topic], Progress::default());
        tokio::task::spawn_blocking(open).await.expect("no panic").expect("starts")
    }
}

async fn next(reader: &mut Consumer) -> Vec<Record> {
    match tokio::time::timeout(PATIENCE, reader.next()).await.expect("records in time") {
        Some(ConsumerEvent::Records(records)) => records,
        other => panic!("{other:?}"),
    }
}

/// Reads joined rows until so many fish are among them; each fish has one row, however often.
async fn joined(reader: &mut Consumer, rows: &mut BTreeSet<(String, Vec<u8>)>, count: usize) {
    while rows.len() < count {
        for record in next(reader).await {
            let key = record.key_text().expect("a key").to_owned();
            rows.insert((key, record.payload().to_vec()));
        }
    }
    let keys: BTreeSet<_> = rows.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), rows.len());
}

/// Waits for the version that the new species causes.
async fn retrained(brokers: &Brokers) {
    let mut reader = brokers.reader("models").await;
    let mut log = Log::new("weight", Arc::new(Trust::unsigned()));
    while log.champion().is_none_or(|newest| newest.manifest.version.0 < 2) {
        for record in next(&mut reader).await {
            let key = record.key_text().expect("a key");
            match log.apply(key, record.payload.as_deref()) {
                // A record may lie in the embedded broker twice: it does not tell a producer's retry.
                Ok(_) | Err(Refusal::NotNewer { .. }) => {}
                Err(refusal) => panic!("{refusal}"),
            }
        }
    }
    reader.close().await;
}

fn train(config: &str) {
    let csv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../weir/tests/data/replay-train.csv");
    let csv = csv.to_str().expect("UTF-8");
    let printed = complete("weir", &["model", "train", "--csv", csv, "--config", config]);
    assert!(printed.starts_with("v1 sha256:"), "{printed}");
}

/// Sends every fish past the line.
fn simulate(brokers: &Brokers) {
    let mqtt = brokers.mqtt.address().to_string();
    let events = FISH.to_string();
    let arguments = ["--broker", &mqtt, "simulate", "--events", &events, "--speed", "max"];
    let printed = complete("weir-agent", &arguments);
    assert!(printed.starts_with("found 0  taken 360  confirmed 360"), "{printed}");
}

/// Whatever starts first waits for the rest.
#[tokio::test(flavor = "multi_thread")]
async fn three_processes_make_the_loop() {
    let brokers = Brokers::start().await;
    let config = brokers.host_config();
    let host = Process::start("weir-host", &["--config", &config]);
    let bridge = brokers.bridge();
    simulate(&brokers);
    train(&config);
    let (mut reader, mut rows) = (brokers.reader("weight-diff").await, BTreeSet::new());
    joined(&mut reader, &mut rows, FISH).await;
    reader.close().await;
    retrained(&brokers).await;
    bridge.terminate();
    host.terminate();
}

/// A host that is killed while it works is replaced by another, which finishes the work.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_host_is_replaced() {
    let brokers = Brokers::start().await;
    let config = brokers.host_config();
    train(&config);
    let mut host = Process::start("weir-host", &["--config", &config]);
    host.await_line("model serves");
    let bridge = brokers.bridge();
    simulate(&brokers);
    let (mut reader, mut rows) = (brokers.reader("weight-diff").await, BTreeSet::new());
    joined(&mut reader, &mut rows, 1).await;
    host.signal("-KILL");
    assert_eq!(host.ended(GRACE).0.code(), None, "killed");
    let host = Process::start("weir-host", &["--config", &config]);
    joined(&mut reader, &mut rows, FISH).await;
    reader.close().await;
    retrained(&brokers).await;
    host.terminate();
    bridge.terminate();
}

#[test]
fn wrong_settings_end_with_78() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, "[kafka]\nbrokres = \"kafka:9092\"\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    for name in ["weir-host", "weir-bridge"] {
        let (code, printed, log) = run(name, &["--config", file]);
        assert_eq!(code, Some(78), "{name}:\n{log}");
        assert!(printed.is_empty() && log.contains("brokres"), "{name}:\n{log}");
        assert_eq!(run(name, &["--config", "/does/not/exist"]).0, Some(78), "{name}");
    }
    std::fs::write(file, "roles = [\"train\"]\n").expect("written");
    let (code, _, log) = run("weir-host", &["--config", file]);
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("sink and train"), "{log}");
}

#[test]
fn printed_settings_read_back() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for name in ["weir-host", "weir-bridge", "weir-agent"] {
        let printed = complete(name, &["--check-config"]);
        let file = folder.path().join(name);
        std::fs::write(&file, &printed).expect("written");
        let again = complete(name, &["--config", file.to_str().expect("UTF-8"), "--check-config"]);
        assert_eq!(again, printed, "{name}");
        assert!(!printed.is_empty());
    }
}
