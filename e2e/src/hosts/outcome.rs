//! What a group has made of its line: read from Kafka, as any consumer could.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_events::TopicNames;
use weir_kafka::{Consumer, ConsumerEvent, Progress, Record, Scan, Start};
use weir_registry::Manifest;

use super::expected::{Expected, Row, Window};
use super::group::Group;
use super::line::manifest;
use crate::fleet::{report, runtime};
use crate::process::Process;

/// A run without an end for this long has failed.
const PATIENCE: Duration = Duration::from_secs(240);

/// What became of a line in a group.
#[derive(Debug)]
pub struct Outcome {
    /// Rows and windows, each as it came first.
    pub found: Expected,
    /// Records of rows and windows that repeat another.
    pub dup_raw: usize,
    /// Rows and windows that came with two contents.
    pub dup_effective: usize,
    /// Predictions that were made again, and joined with nothing.
    pub superseded: usize,
    /// Measurements that were predicted.
    pub predicted: usize,
    /// Records set aside.
    pub dead_lettered: usize,
    /// The longest time without a prediction in any partition between its first and its last.
    pub gap: Duration,
}

/// The joined rows of a group while they come.
#[derive(Debug)]
pub struct Rows<'a> {
    group: &'a Group<'a>,
    reader: Consumer,
    keys: HashSet<String>,
    runtime: tokio::runtime::Runtime,
}

impl Rows<'_> {
    /// Waits until so many keys are joined. Returns how many are by then: rows come in batches.
    ///
    /// # Panics
    /// If they do not come.
    pub fn await_count(&mut self, count: usize) -> usize {
        let began = Instant::now();
        while self.keys.len() < count {
            let left = PATIENCE.saturating_sub(began.elapsed());
            let next = async { tokio::time::timeout(left, self.reader.next()).await };
            let event = self.runtime.block_on(next).unwrap_or_else(|_| {
                panic!(
                    "{}: {} of {count} rows after {PATIENCE:?}",
                    self.group.name,
                    self.keys.len()
                )
            });
            match event {
                Some(ConsumerEvent::Records(records)) => {
                    self.keys.extend(records.iter().filter_map(key));
                }
                Some(ConsumerEvent::Assignment(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        self.keys.len()
    }
}

fn key(record: &Record) -> Option<String> {
    record.key_text().map(str::to_owned)
}

impl Group<'_> {
    /// Follows its rows from the first on.
    ///
    /// # Panics
    /// If Kafka cannot be read.
    pub fn rows(&self) -> Rows<'_> {
        let runtime = runtime();
        let reader = {
            let _entered = runtime.enter();
            let topics = [self.topics.joined.as_str()];
            Consumer::reader(&self.line.client(), "rows", &topics, Progress::default())
        };
        Rows { group: self, reader: reader.expect("a reader"), keys: HashSet::new(), runtime }
    }

    fn scan(&self, topic: &str, mut each: impl FnMut(&Record)) {
        let scan = Scan::topics(&self.line.client(), &[topic], Start::Beginning);
        let mut scan = scan.expect("a reader");
        while let Some(record) = scan.next().expect("read") {
            each(&record);
        }
    }

    /// Waits until all rows are joined and all windows closed. Returns how long that took, and ends the hosts.
    ///
    /// # Panics
    /// If they do not come.
    pub fn finish(&self, hosts: Vec<Process>) -> Duration {
        let took = self.finish_windows();
        hosts.into_iter().for_each(Process::terminate);
        took
    }

    /// Waits until all rows are joined and all windows closed. Returns how long that took.
    ///
    /// # Panics
    /// If they do not come.
    pub fn finish_windows(&self) -> Duration {
        let began = Instant::now();
        let expected = Expected::of(self.line);
        self.rows().await_count(expected.rows.len() + self.line.tail());
        loop {
            let mut closed = HashSet::new();
            self.scan(&self.topics.window, |record| closed.extend(key(record)));
            if expected.windows.keys().all(|start| closed.contains(start)) {
                break;
            }
            let (closed, all) = (closed.len(), expected.windows.len());
            assert!(began.elapsed() < PATIENCE, "{}: {closed} of {all} windows", self.name);
            std::thread::sleep(Duration::from_millis(200));
        }
        began.elapsed()
    }

    /// Waits until the group of a role has committed the end of everything that it reads: nothing is held back by it.
    ///
    /// # Panics
    /// If it does not.
    pub fn await_committed(&self, role: &str) {
        let topic = match role {
            "sink" => &self.topics.joined,
            "train" => &self.topics.trigger,
            _ => panic!("{role} holds offsets back"),
        };
        let group = format!("{}-{role}", self.name);
        let began = Instant::now();
        let mut quiet = 0;
        // Nothing more comes once nothing came for a second.
        while quiet < 5 {
            assert!(began.elapsed() < PATIENCE, "{group} does not come to the end of {topic}");
            std::thread::sleep(Duration::from_millis(200));
            let lag = Consumer::lag(&self.line.client(), &group, topic).expect("an answer");
            quiet = if lag == Some(0) { quiet + 1 } else { 0 };
        }
    }

    /// The number of the newest version.
    ///
    /// # Panics
    /// If there is none.
    pub fn newest_version(&self) -> u64 {
        let mut newest = 0;
        self.scan(&self.topics.models, |record| {
            newest = manifest(record).map_or(newest, |manifest| manifest.version.0);
        });
        newest
    }

    /// Checks that each trigger has one version that counts: the first under its number. A trainer that was replaced while it
    /// published may have left another under the same number, one at each of `takeovers` at most, which hosts refuse.
    ///
    /// # Panics
    /// If that is not so.
    pub fn check_versions(&self, row: &str, takeovers: usize) {
        let (mut triggers, mut versions, mut late) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        self.scan(&self.topics.trigger, |record| triggers.extend(key(record)));
        self.scan(&self.topics.models, |record| {
            let Some(Manifest { version, cause, .. }) = manifest(record) else { return };
            match versions.entry(version.0) {
                Entry::Vacant(entry) => drop(entry.insert(cause.id)),
                Entry::Occupied(_) => late.push((version.0, cause.id)),
            }
        });
        let answered: Vec<_> = versions.values().flatten().cloned().collect();
        report(&format!(
            "{{\"row\":\"{row}\",\"triggers\":{},\"versions\":{},\"late\":{}}}",
            triggers.len(),
            versions.len() - 1,
            late.len()
        ));
        assert!(!triggers.is_empty(), "{row}: nothing was to be trained");
        let unique: BTreeSet<_> = answered.iter().cloned().collect();
        assert_eq!(unique, triggers, "{row}");
        assert_eq!(answered.len(), triggers.len(), "{row}: a trigger has two: {versions:?}");
        assert!(versions.keys().copied().eq(1..=versions.len() as u64), "{row}: {versions:?}");
        assert!(late.len() <= takeovers, "{row}: two hosts trained for long: {late:?}");
    }

    /// Reads all results.
    ///
    /// # Panics
    /// If one is not as it should be.
    pub fn outcome(&self) -> Outcome {
        let (mut rows, mut windows) = (Once::default(), Once::default());
        self.scan(&self.topics.joined, |record| {
            let json: Value = serde_json::from_slice(record.payload()).expect("JSON");
            let number = |name: &str| json[name].as_f64().expect(name);
            let (actual, predicted) = (number("ActualWeight"), number("PredictedWeight"));
            rows.add(
                key(record),
                record.payload(),
                Row { error: number("Error"), actual, predicted },
            );
        });
        self.scan(&self.topics.window, |record| {
            let json: Value = serde_json::from_slice(record.payload()).expect("JSON");
            let (count, mean) = (json["Rows"].as_u64(), json["ErrorAvg"].as_f64());
            let (rows, mean) = (count.expect("rows"), mean.expect("a mean"));
            windows.add(key(record), record.payload(), Window { rows, mean });
        });
        rows.items.retain(|key, _| !key.starts_with("tail-"));
        let (mut superseded, mut predicted, mut dead_lettered) = (0, HashSet::new(), 0);
        self.scan(&self.topics.unjoined, |record| {
            let json: Value = serde_json::from_slice(record.payload()).expect("JSON");
            superseded += usize::from(json["Reason"] == "superseded");
        });
        let (mut last, mut gap) = (HashMap::new(), Duration::ZERO);
        self.scan(&self.topics.prediction, |record| {
            predicted.extend(key(record));
            let before = last.insert(record.position.partition, record.timestamp);
            if let Some(before) = before {
                gap = gap.max(record.timestamp.distance(before));
            }
        });
        let TopicNames { measurement, target, prediction, .. } = &self.topics;
        for topic in [measurement, target, prediction] {
            self.scan(&TopicNames::dead_letter(topic), |_| dead_lettered += 1);
        }
        Outcome {
            dup_raw: rows.repeated + windows.repeated,
            dup_effective: rows.contradicted + windows.contradicted,
            found: Expected { rows: rows.items, windows: windows.items },
            superseded,
            predicted: predicted.len(),
            dead_lettered,
            gap,
        }
    }

    /// Checks rows, errors and windows against what must be, and prints one line of JSON.
    ///
    /// # Panics
    /// If anything is lost, comes twice or is otherwise.
    pub fn check(&self, row: &str, seed: u64, recovery: Duration) -> Outcome {
        let expected = Expected::of(self.line);
        let outcome = self.outcome();
        let lost =
            expected.rows.keys().filter(|key| !outcome.found.rows.contains_key(*key)).count();
        let Outcome { dup_raw, dup_effective, superseded, dead_lettered, gap, .. } = &outcome;
        report(&format!(
            "{{\"row\":\"{row}\",\"seed\":{seed},\"sent\":{},\"lost\":{lost},\"dup_raw\":{dup_raw},\
             \"dup_effective\":{dup_effective},\"superseded\":{superseded},\
             \"dead_lettered\":{dead_lettered},\"recovery_s\":{:.1},\"gap_s\":{:.1}}}",
            self.line.size(),
            recovery.as_secs_f64(),
            gap.as_secs_f64(),
        ));
        assert_eq!((lost, *dup_effective, *dead_lettered), (0, 0, 0), "{row}, seed {seed}");
        expected.assert_same(&outcome.found);
        outcome
    }
}

/// Items by key, of which each may come again but not otherwise.
struct Once<T> {
    items: BTreeMap<String, T>,
    payloads: HashMap<String, Vec<u8>>,
    repeated: usize,
    contradicted: usize,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), payloads: HashMap::new(), repeated: 0, contradicted: 0 }
    }
}

impl<T> Once<T> {
    fn add(&mut self, key: Option<String>, payload: &[u8], item: T) {
        let key = key.expect("results have keys");
        match self.payloads.get(&key) {
            None => {
                self.payloads.insert(key.clone(), payload.to_vec());
                self.items.insert(key, item);
            }
            Some(first) if first == payload => self.repeated += 1,
            Some(_) => self.contradicted += 1,
        }
    }
}
