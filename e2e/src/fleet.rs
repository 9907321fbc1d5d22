//! Machines with an agent each, and a bridge, as processes; and what is in Kafka in the end.
//!
//! Each machine has written a file of measurements, which its agent reads: from where its spool ends, so that an agent that
//! is killed goes on exactly there. Every file's lines must be in Kafka in the end, each once under its id, in the
//! file's order. What was written more than once is told apart: [`Outcome::dup_raw`] are records with an id that had
//! come before, which consumers know as such; [`Outcome::dup_effective`] are lines that came under two ids.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weir_events::{Gap, Reason, TopicNames, headers};
use weir_kafka::{Admin, KafkaConfig, KafkaError, NewTopicSpec, Record, Scan, Start};

use crate::process::Process;
use crate::servers::unique;

/// A run without an end for this long has failed.
const PATIENCE: Duration = Duration::from_secs(240);

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Machines.
    pub devices: usize,
    /// Lines that each has written.
    pub lines: usize,
}

impl Size {
    /// What `WEIR_LOAD` says, such as `20x5000`, or this.
    ///
    /// # Panics
    /// If it says something else.
    pub fn or(devices: usize, lines: usize) -> Self {
        let Ok(text) = std::env::var("WEIR_LOAD") else { return Self { devices, lines } };
        let parts = text.split_once('x').expect("WEIR_LOAD reads like 20x5000");
        let number = |text: &str| text.parse().expect("WEIR_LOAD reads like 20x5000");
        Self { devices: number(parts.0), lines: number(parts.1) }
    }

    fn total(self) -> usize {
        self.devices * self.lines
    }
}

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Lines that were written.
    pub sent: usize,
    /// Those that are nowhere.
    pub lost: usize,
    /// Records under an id that had come before.
    pub dup_raw: usize,
    /// Lines that came under two ids.
    pub dup_effective: usize,
    /// First deliveries that came behind a later line of their machine.
    pub reordered: usize,
    /// Records in topics of dead letters.
    pub dead_lettered: usize,
    /// Numbers that agents told to have no event any more.
    pub gaps: u64,
    /// Records of devices that are none of the fleet's.
    pub strangers: usize,
}

/// Machines and a bridge on one MQTT broker and one Kafka.
#[derive(Debug)]
pub struct Fleet {
    /// The first level of its MQTT topics, and the beginning of its Kafka topics.
    pub name: String,
    size: Size,
    kafka: String,
    topics: TopicNames,
    folder: tempfile::TempDir,
}

impl Fleet {
    /// Writes the machines' files and makes the topics.
    ///
    /// # Panics
    /// If either fails.
    pub fn new(kafka: &str, size: Size) -> Self {
        let name = unique("fleet-");
        let topics = TopicNames::default().prefixed(&format!("{name}-"));
        let folder = tempfile::tempdir().expect("a folder");
        let fleet = Self { name, size, kafka: kafka.to_owned(), topics, folder };
        for device in 0..size.devices {
            std::fs::write(fleet.lines(device), lines(size.lines)).expect("written");
        }
        let spec = |name: &String| NewTopicSpec {
            name: name.clone(),
            partitions: 1,
            replication: 1,
            // So that a record's time tells since when Kafka has it.
            settings: vec![("message.timestamp.type".into(), "LogAppendTime".into())],
        };
        let specs: Vec<_> = fleet.kafka_topics().iter().map(spec).collect();
        let admin = Admin::new(&fleet.client()).expect("a client");
        runtime().block_on(admin.create(&specs)).expect("made");
        fleet
    }

    fn client(&self) -> KafkaConfig {
        KafkaConfig::new(&self.kafka, "fleet")
    }

    fn kafka_topics(&self) -> Vec<String> {
        let TopicNames { measurement, target, unrouted, .. } = &self.topics;
        let events = [measurement, target];
        let dead_letters = events.map(|topic| TopicNames::dead_letter(topic));
        events.into_iter().chain([unrouted]).cloned().chain(dead_letters).collect()
    }

    /// The Kafka topics.
    pub fn topics(&self) -> &TopicNames {
        &self.topics
    }

    /// A path in the fleet's folder, which is removed with it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn lines(&self, device: usize) -> PathBuf {
        self.path(&format!("{device}.jsonl"))
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        text_of(&path)
    }

    /// The settings of a bridge, and further ones.
    pub fn bridge_settings(&self, more: &str) -> String {
        let name = &self.name;
        let mut text = format!("subscribe = [\"{name}/#\"]\n{more}\n");
        let words = [("measurement", "measurement"), ("weight", "target"), ("gap", "gap")];
        for (word, event) in words {
            let topic = format!("{name}/{{line}}/{{device}}/{word}");
            text += &format!("[[routes]]\ntopic = {topic:?}\nevent = {event:?}\n");
        }
        let topics = HashMap::from([("topics", &self.topics)]);
        let topics = toml::to_string(&topics).expect("names are TOML");
        text + &topics
            + SCHEMA
            + &format!("[acks]\ntopic = \"{name}-ack/{{line}}/{{device}}\"\ninterval = \"200ms\"\n")
    }

    /// Starts a bridge, and waits until it has subscribed. `more` are top-level settings, `environment` variables.
    pub fn bridge(&self, mqtt: SocketAddr, environment: &[(&str, String)]) -> Process {
        let mut bridge = self.bridge_unready(mqtt, environment);
        bridge.await_line("subscribed");
        bridge
    }

    /// Starts a bridge.
    pub fn bridge_unready(&self, mqtt: SocketAddr, environment: &[(&str, String)]) -> Process {
        let config = self.write("bridge.toml", &self.bridge_settings(""));
        let settings = [
            ("WEIR__MQTT__CLIENT_ID", self.name.clone()),
            ("WEIR__MQTT__KEEP_ALIVE", "5s".to_owned()),
            ("WEIR__MQTT__RECONNECT_MAX", "1s".to_owned()),
            ("WEIR__LIMITS__RETRY_MAX", "2s".to_owned()),
        ];
        let all = [&settings[..], environment].concat();
        let broker = mqtt.to_string();
        let arguments = ["--config", &config, "--mqtt", &broker, "--kafka", &self.kafka];
        Process::start_with("weir-bridge", &arguments, &all)
    }

    /// Starts the agent of a machine. It ends when everything is confirmed.
    pub fn agent(
        &self,
        device: usize,
        mqtt: SocketAddr,
        environment: &[(&str, String)],
    ) -> Process {
        self.start_agent(device, mqtt, environment, &[])
    }

    /// Starts the agent of a machine. It waits for more lines, until it is told to end.
    pub fn agent_that_stays(
        &self,
        device: usize,
        mqtt: SocketAddr,
        environment: &[(&str, String)],
    ) -> Process {
        self.start_agent(device, mqtt, environment, &["--follow", "--from", "start"])
    }

    fn start_agent(
        &self,
        device: usize,
        mqtt: SocketAddr,
        environment: &[(&str, String)],
        more: &[&str],
    ) -> Process {
        let all = [&self.agent_settings(device)[..], environment].concat();
        let arguments = self.agent_arguments(device, mqtt);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Process::start_with("weir-agent", &[&arguments, more].concat(), &all)
    }

    /// The environment of a machine's agent.
    pub fn agent_settings(&self, device: usize) -> Vec<(&'static str, String)> {
        vec![
            ("WEIR__LINE", "line-1".to_owned()),
            ("WEIR__DEVICE", device_name(device)),
            ("WEIR__TOPICS__ROOT", self.name.clone()),
            ("WEIR__SPOOL__DIRECTORY", text_of(&self.path(&format!("spool-{device}")))),
            ("WEIR__MQTT__KEEP_ALIVE", "5s".to_owned()),
            ("WEIR__MQTT__CLIENT_ID", format!("{}-{device}", self.name)),
            ("WEIR__MQTT__RECONNECT_MAX", "1s".to_owned()),
            ("WEIR__DELIVERY__STALL", "5s".to_owned()),
        ]
    }

    /// The arguments of a machine's agent.
    pub fn agent_arguments(&self, device: usize, mqtt: SocketAddr) -> Vec<String> {
        let (broker, lines) = (mqtt.to_string(), text_of(&self.lines(device)));
        ["--broker", &broker, "read", "file", &lines].map(str::to_owned).to_vec()
    }

    /// Starts all agents.
    pub fn agents(&self, mqtt: SocketAddr) -> Vec<Process> {
        (0..self.size.devices).map(|device| self.agent(device, mqtt, &[])).collect()
    }

    /// Waits until every agent has ended, with everything confirmed. Returns how long that took.
    ///
    /// # Panics
    /// If one fails or does not end.
    pub fn finish(&self, agents: Vec<Process>) -> Duration {
        let began = Instant::now();
        for mut agent in agents {
            let (status, printed) = agent.ended(PATIENCE.saturating_sub(began.elapsed()));
            assert!(status.success(), "an agent failed: {printed}\n{}", agent.log());
        }
        began.elapsed()
    }

    /// Reads what is in Kafka.
    ///
    /// # Panics
    /// If Kafka fails, or holds what nobody sent.
    pub fn outcome(&self) -> Outcome {
        let (mut ids, mut seen) = (HashSet::new(), HashSet::new());
        let mut highest: HashMap<String, usize> = HashMap::new();
        let (mut records, mut reordered, mut strangers) = (0, 0, 0);
        self.scan(&[&self.topics.measurement], |record| {
            let id = record.header(headers::ID).expect("an id").to_owned();
            let (device, fish) = device_and_fish(record);
            if !(0..self.size.devices).any(|own| device == device_name(own)) {
                strangers += 1;
                return;
            }
            records += 1;
            let fish: usize = fish.parse().expect("fish are numbered");
            if ids.insert(id) {
                let highest = highest.entry(device.to_owned()).or_default();
                reordered += usize::from(fish < *highest);
                *highest = fish.max(*highest);
            }
            seen.insert((device.to_owned(), fish));
        });
        let (mut dead_lettered, mut gaps) = (0, 0);
        let dead = self.kafka_topics().split_off(2);
        self.scan(&dead.iter().map(String::as_str).collect::<Vec<_>>(), |record| {
            dead_lettered += 1;
            if record.header(headers::REASON) == Some(Reason::Gap.as_str()) {
                let gap = Gap::parse(record.payload.as_deref().unwrap_or_default());
                gaps += gap.expect("a gap").count;
            }
        });
        Outcome {
            sent: self.size.total(),
            lost: self.size.total() - seen.len(),
            dup_raw: records - ids.len(),
            dup_effective: ids.len() - seen.len(),
            reordered,
            dead_lettered,
            gaps,
            strangers,
        }
    }

    /// All records of these topics. A broker that was away may need a while until it leads its partitions again.
    ///
    /// # Panics
    /// If Kafka fails.
    pub fn records(&self, topics: &[&str]) -> Vec<Record> {
        let mut records = Vec::new();
        self.scan(topics, |record| records.push(record.clone()));
        records
    }

    fn scan(&self, topics: &[&str], mut each: impl FnMut(&Record)) {
        let began = Instant::now();
        let mut scan = loop {
            match Scan::topics(&self.client(), topics, Start::Beginning) {
                Err(KafkaError::Unreachable { .. }) if began.elapsed() < PATIENCE => {}
                opened => break opened.expect("a reader"),
            }
        };
        while let Some(record) = scan.next().expect("read") {
            each(&record);
        }
    }

    /// Checks the outcome, and prints it as one line of JSON.
    ///
    /// # Panics
    /// If anything was lost, came under two ids, out of order, or as a dead letter.
    pub fn check(&self, row: &str, seed: u64, recovery: Duration) -> Outcome {
        let outcome = self.outcome();
        let Outcome { sent, lost, dup_raw, dup_effective, reordered, dead_lettered, .. } = &outcome;
        report(&format!(
            "{{\"row\":\"{row}\",\"seed\":{seed},\"sent\":{sent},\"lost\":{lost},\"dup_raw\":{dup_raw},\
             \"dup_effective\":{dup_effective},\"reordered\":{reordered},\"dead_lettered\":{dead_lettered},\
             \"recovery_s\":{:.1}}}",
            recovery.as_secs_f64()
        ));
        let counts = (*lost, *dup_effective, *reordered, *dead_lettered, outcome.strangers);
        assert_eq!(counts, (0, 0, 0, 0, 0), "{row}, seed {seed}: {outcome:?}");
        outcome
    }
}

/// What the fleet's machines are called in topics and keys.
pub fn device_name(device: usize) -> String {
    format!("device-{device}")
}

/// The two parts of an event's key.
///
/// # Panics
/// If it has others.
pub fn device_and_fish(record: &Record) -> (&str, &str) {
    record.key_text().and_then(|key| key.split_once('/')).expect("a device and a fish")
}

/// A line of a run's figures.
#[expect(clippy::print_stdout, reason = "figures go to whoever runs the tests")]
pub fn report(line: &str) {
    println!("{line}");
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let topics = self.kafka_topics();
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        if let Ok(admin) = Admin::new(&self.client()) {
            // What cannot be removed stays until the servers go.
            drop(runtime().block_on(admin.delete(&names)));
        }
    }
}

const SCHEMA: &str = "[schema]\nformula = \"Weight ~ Length + Height + Species\"\nfactor = \"Species\"\n\
                      key = [\"device\", \"Fish_Id\"]\ntimestamp = \"Timestamp\"\n\
                      [schema.range]\nLength = { min = 0.0 }\n";

/// A machine's file: measurements of so many fish.
fn lines(count: usize) -> String {
    let mut text = String::new();
    for fish in 0..count {
        writeln!(
            text,
            "{{\"Fish_Id\":{fish},\"Species\":\"salmon\",\"Length\":88.25,\"Height\":19.5,\
             \"Timestamp\":\"2026-01-05T08:00:26Z\"}}"
        )
        .expect("a text takes everything");
    }
    text
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}
