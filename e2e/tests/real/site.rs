//! One line on the real servers for one test: names of its own, topics, and the services' settings.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use weir_e2e::process::{PATIENCE, Process, complete};
use weir_e2e::servers::{KAFKA, MQTT, address, unique};
use weir_events::TopicNames;
use weir_kafka::{Consumer, ConsumerEvent, KafkaConfig, Progress, Record};

/// Names that no other test uses, and a folder for settings.
pub(crate) struct Site {
    /// Of the topics, groups, line and database.
    pub(crate) name: String,
    pub(crate) topics: TopicNames,
    folder: tempfile::TempDir,
    files: Cell<u32>,
}

impl Site {
    /// Names without anything behind them.
    pub(crate) fn new() -> Self {
        let name = unique("t-");
        let topics = TopicNames::default().prefixed(&format!("{name}-"));
        let folder = tempfile::tempdir().expect("temporary folder");
        Self { name, topics, folder, files: Cell::new(0) }
    }

    /// The same with its topics.
    pub(crate) fn with_topics(partitions: u32) -> Self {
        let site = Self::new();
        site.make_topics(partitions);
        site
    }

    pub(crate) fn make_topics(&self, partitions: u32) {
        let host = self.host("");
        let partitions = partitions.to_string();
        complete("weir", &["topics", "create", "--partitions", &partitions, "--config", &host]);
    }

    /// Writes a file, another one with each call; returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        self.files.set(self.files.get() + 1);
        let path = self.folder.path().join(format!("{}-{name}", self.files.get()));
        std::fs::write(&path, text).expect("written");
        path.into_os_string().into_string().expect("UTF-8")
    }

    fn topics_section(&self) -> String {
        let topics = &self.topics;
        let names = [
            ("measurement", &topics.measurement),
            ("target", &topics.target),
            ("prediction", &topics.prediction),
            ("joined", &topics.joined),
            ("unjoined", &topics.unjoined),
            ("window", &topics.window),
            ("trigger", &topics.trigger),
            ("models", &topics.models),
            ("unrouted", &topics.unrouted),
        ];
        let lines = names.map(|(name, topic)| format!("{name} = {topic:?}\n"));
        format!("[topics]\n{}", lines.concat())
    }

    /// The settings of a host on the plain Kafka; `more` comes first, and may open sections of its own.
    pub(crate) fn host(&self, more: &str) -> String {
        self.host_at(&address(KAFKA), more)
    }

    pub(crate) fn host_at(&self, kafka: &str, more: &str) -> String {
        let (group, topics) = (&self.name, self.topics_section());
        let store = self.folder.path().join("training.redb");
        let store = if more.contains("[store]") {
            String::new()
        } else {
            format!("[store]\npath = {store:?}\n")
        };
        let keys = weir_e2e::keys::original(self.folder.path());
        let text = format!(
            "{more}\n{store}{keys}[kafka]\nbrokers = {kafka:?}\ngroup-prefix = {group:?}\n\
             [kafka.settings]\n\"session.timeout.ms\" = \"6000\"\n{topics}"
        );
        self.file("host.toml", &text)
    }

    /// The settings of a bridge between the plain servers.
    pub(crate) fn bridge(&self) -> String {
        let (host, port) = broker(MQTT);
        let mqtt = format!("[mqtt]\nhost = {host:?}\nport = {port}\n");
        self.bridge_with(&mqtt, &format!("[kafka]\nbrokers = {:?}\n", address(KAFKA)))
    }

    /// The settings of a bridge with these sections about its links. `mqtt` begins with its own table.
    pub(crate) fn bridge_with(&self, mqtt: &str, kafka: &str) -> String {
        let name = &self.name;
        let mqtt =
            mqtt.replacen("[mqtt]\n", &format!("[mqtt]\nclient-id = \"{name}-bridge\"\n"), 1);
        let topics = self.topics_section();
        let text = format!("subscribe = [\"weir/{name}/#\"]\n{mqtt}{kafka}{topics}");
        self.file("bridge.toml", &text)
    }

    /// Starts a bridge, and waits until nothing that is published is missed.
    pub(crate) fn start_bridge(&self, config: &str) -> Process {
        let mut bridge = Process::start("weir-bridge", &["--config", config]);
        bridge.await_line("subscribed");
        bridge
    }

    /// Publishes the first version.
    pub(crate) fn train(&self, config: &str) {
        let csv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../weir/tests/data/replay-train.csv");
        let csv = csv.to_str().expect("UTF-8");
        let printed = complete("weir", &["model", "train", "--csv", csv, "--config", config]);
        assert!(printed.starts_with("v1 sha256:"), "{printed}");
    }

    /// Reads a topic of the plain Kafka from its beginning.
    pub(crate) async fn reader(&self, topic: &str) -> Consumer {
        let config = KafkaConfig::new(&address(KAFKA), "test");
        let topic = topic.to_owned();
        let open = move || Consumer::reader(&config, "test", &[&topic], Progress::default());
        tokio::task::spawn_blocking(open).await.expect("no panic").expect("starts")
    }

    /// Reads joined rows until so many keys are among them. A row may come twice, and is then the same.
    pub(crate) async fn joined(&self, count: usize) -> BTreeSet<(String, Vec<u8>)> {
        let mut reader = self.reader(&self.topics.joined).await;
        let mut rows = BTreeSet::new();
        while rows.len() < count {
            for record in next(&mut reader).await {
                let key = record.key_text().expect("a key").to_owned();
                rows.insert((key, record.payload().to_vec()));
            }
        }
        let keys: BTreeSet<_> = rows.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), rows.len(), "one row for each key");
        reader.close().await;
        rows
    }
}

/// The next records of a topic.
pub(crate) async fn next(reader: &mut Consumer) -> Vec<Record> {
    match tokio::time::timeout(PATIENCE, reader.next()).await.expect("records in time") {
        Some(ConsumerEvent::Records(records)) => records,
        other => panic!("{other:?}"),
    }
}

/// Host and port of a broker that a variable names.
pub(crate) fn broker(variable: &str) -> (String, u16) {
    let address = address(variable);
    let (host, port) = address.rsplit_once(':').expect("host:port");
    (host.to_owned(), port.parse().expect("a port"))
}

/// What a refusal may take, until the process has ended with it.
pub(crate) const REFUSAL: Duration = Duration::from_secs(10);
