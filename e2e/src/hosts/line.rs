//! Fish of many machines, their events in Kafka, and a model.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_events::{EventTime, TopicNames};
use weir_kafka::{Admin, KafkaConfig, NewRecord, Producer, Progress, Record, Scan, Start};
use weir_registry::{Manifest, Trust};

use crate::fleet::runtime;
use crate::servers::unique;

/// When the first fish is measured.
const BEGINNING: &str = "2026-01-05T08:00:00Z";
/// The event time between two fish, in ms.
const STEP: u64 = 100;
/// Behind the last fish, and further than any event may be late: what comes then closes every window before.
const TAIL: u64 = 3_600_000;

/// A fish, and when it was measured and weighed, in ms since the beginning.
#[derive(Clone, Debug)]
pub struct Fish {
    pub(super) key: String,
    pub(super) species: &'static str,
    pub(super) length: f64,
    pub(super) height: f64,
    pub(super) weight: f64,
    pub(super) measured: u64,
    /// Not every fish comes to the scale.
    pub(super) weighed: Option<u64>,
    /// Only there to close the windows of others.
    pub(super) is_tail: bool,
}

/// A line: its fish, its topics of events, and its model.
#[derive(Debug)]
pub struct Line {
    pub(super) name: String,
    pub(super) kafka: String,
    pub(super) topics: TopicNames,
    pub(super) partitions: u32,
    pub(super) fish: Vec<Fish>,
    /// The model's coefficients, by name.
    pub(super) coefficients: Vec<(String, f64)>,
    pub(super) folder: tempfile::TempDir,
}

impl Line {
    /// So many fish.
    pub(super) fn untrained(kafka: &str, partitions: u32, fish: usize, seed: u64) -> Self {
        let name = unique("line-");
        let topics = TopicNames::default().prefixed(&format!("{name}-"));
        let folder = tempfile::tempdir().expect("a folder");
        let kafka = kafka.to_owned();
        let fish = catch(fish, partitions, seed);
        Self { name, kafka, topics, partitions, fish, coefficients: Vec::new(), folder }
    }

    /// The coefficients of the version that was published.
    pub(super) fn published(&self) -> Vec<(String, f64)> {
        let client = self.client();
        let mut scan =
            Scan::topics(&client, &[&self.topics.models], Start::Beginning).expect("a reader");
        let mut found = None;
        while let Some(record) = scan.next().expect("read") {
            found = manifest(&record).or(found);
        }
        let terms = found.expect("a manifest").coefficients;
        terms.into_iter().map(|term| (term.name, term.estimate.expect("an estimate"))).collect()
    }

    pub(super) fn client(&self) -> KafkaConfig {
        KafkaConfig::new(&self.kafka, "line")
    }

    pub(super) fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.into_os_string().into_string().expect("UTF-8")
    }

    /// Its fish, but for those that only close windows.
    pub fn size(&self) -> usize {
        self.fish.iter().filter(|fish| !fish.is_tail).count()
    }

    /// Fish that are measured and weighed, those included that only close windows.
    pub fn joinable(&self) -> usize {
        self.fish.iter().filter(|fish| fish.weighed.is_some()).count()
    }

    /// Reads all events and does nothing with them. Returns how many follow the first, and how long that took.
    ///
    /// # Panics
    /// If Kafka cannot be read.
    pub fn read(&self) -> (usize, Duration) {
        let topics = [self.topics.measurement.as_str(), self.topics.target.as_str()];
        let mut scan = Scan::topics(&self.client(), &topics, Start::Beginning).expect("a reader");
        scan.next().expect("read").expect("an event");
        let began = Instant::now();
        let mut count = 0;
        while scan.next().expect("read").is_some() {
            count += 1;
        }
        (count, began.elapsed())
    }

    /// Fish that are only there to close windows.
    pub fn tail(&self) -> usize {
        self.fish.len() - self.size()
    }

    /// Lets the line end with its last fish: nothing comes that would close a window.
    pub fn without_tail(&mut self) {
        self.fish.retain(|fish| !fish.is_tail);
    }

    /// Writes all events, in the order of their time, so many in a second.
    pub fn feed(&self, per_second: f64) -> JoinHandle<()> {
        let mut events: Vec<_> = self.fish.iter().flat_map(|fish| self.events(fish)).collect();
        events.sort_by_key(|event| event.time);
        let client = self.client();
        std::thread::spawn(move || {
            let producer = Producer::new(&client, Progress::default()).expect("a client");
            runtime().block_on(feed(&producer, &events, per_second));
        })
    }

    fn events(&self, fish: &Fish) -> Vec<Event> {
        let Fish { key, species, length, height, weight, measured, weighed, .. } = fish;
        let event = |topic: &str, time: u64, mut payload: Value| {
            payload["Fish_Id"] = json!(key);
            payload["Species"] = json!(species);
            payload["Timestamp"] = json!(at(time).to_string());
            let (topic, key) = (topic.to_owned(), key.clone());
            Event { topic, time, key, payload: payload.to_string() }
        };
        let measurement = json!({ "Length": length, "Height": height });
        let first = event(&self.topics.measurement, *measured, measurement);
        let second = weighed.map(|at| event(&self.topics.target, at, json!({ "Weight": weight })));
        std::iter::once(first).chain(second).collect()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let TopicNames { measurement, target, models, unrouted, .. } = &self.topics;
        delete(&self.kafka, &[measurement, target, models, unrouted]);
    }
}

/// The manifest in a record of the topic of models; none if it is something else.
pub(super) fn manifest(record: &Record) -> Option<Manifest> {
    let is_manifest = record.key_text().is_some_and(|key| key.starts_with("manifest/"));
    is_manifest.then(|| Trust::unsigned().open(record.payload()).expect("a manifest"))
}

/// Removes topics and those of their dead letters. What cannot be removed stays until the servers go.
pub(super) fn delete(kafka: &str, topics: &[&String]) {
    let dead_letters = topics.iter().map(|topic| TopicNames::dead_letter(topic));
    let all: Vec<String> =
        topics.iter().map(|topic| (*topic).clone()).chain(dead_letters).collect();
    let names: Vec<&str> = all.iter().map(String::as_str).collect();
    if let Ok(admin) = Admin::new(&KafkaConfig::new(kafka, "hosts")) {
        drop(runtime().block_on(admin.delete(&names)));
    }
}

/// So many ms after the beginning.
pub(super) fn at(time: u64) -> EventTime {
    let beginning: EventTime = BEGINNING.parse().expect("a time");
    beginning.plus(Duration::from_millis(time))
}

struct Event {
    topic: String,
    time: u64,
    key: String,
    payload: String,
}

async fn feed(producer: &Producer, events: &[Event], per_second: f64) {
    let began = Instant::now();
    let mut deliveries = Vec::with_capacity(events.len());
    for (number, event) in events.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "few events")]
        let due = Duration::from_secs_f64(number as f64 / per_second);
        if let Some(early) = due.checked_sub(began.elapsed()) {
            tokio::time::sleep(early).await;
        }
        let record = NewRecord {
            topic: &event.topic,
            key: Some(event.key.as_bytes()),
            payload: Some(event.payload.as_bytes()),
            headers: &[],
            timestamp: None,
        };
        deliveries.push(producer.send_patiently(&record).await.expect("taken"));
    }
    for delivery in deliveries {
        delivery.await.expect("delivered");
    }
}

/// Fish that look random and are the same for the same seed. Behind them, some for every partition that close windows.
pub(super) fn catch(count: usize, partitions: u32, seed: u64) -> Vec<Fish> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move || {
        // Marsaglia, "Xorshift RNGs" (2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let unit = (state >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    };
    let mut fish = |number: u64, measured: u64, is_tail: bool| {
        let (length, height) = (60.0 + 40.0 * next(), 12.0 + 10.0 * next());
        let species = if next() < 0.5 { "salmon" } else { "walleye" };
        let base = if species == "salmon" { 0.0 } else { 900.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "20 seconds")]
        let lead = 5_000 + (20_000.0 * next()) as u64;
        // One in thirty falls off the line.
        let weighed = (is_tail || next() > 1.0 / 30.0).then_some(measured + lead);
        let weight = base + 55.0 * length + 110.0 * height + 1_500.0 * (next() - 0.5);
        let key = format!("{}{number}", if is_tail { "tail-" } else { "fish-" });
        Fish { key, species, length, height, weight, measured, weighed, is_tail }
    };
    let mut all: Vec<Fish> = (0..count as u64).map(|n| fish(n, n * STEP, false)).collect();
    let after = count as u64 * STEP + TAIL;
    all.extend((0..u64::from(partitions) * 40).map(|n| fish(n, after + n, true)));
    all
}
