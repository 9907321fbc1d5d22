//! A line for tests: a Kafka broker in this process, a host that can be stopped and started, and what
//! its topics hold in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use weir_embedded::kafka::EmbeddedKafka;
use weir_events::{EventId, EventTime, Joined, Prediction, Schema, Trigger, headers};
use weir_events::{Unjoined, UnjoinedReason, WindowClosed};
use weir_host::model::{Catalog, Row, Trained, Trainer};
use weir_host::store::{RedbStore, TrainingStore};
use weir_host::{Control, HostConfig, HostCounters};
use weir_kafka::{Consumer, ConsumerEvent, NewRecord, Producer, Progress, Record};
use weir_registry::{Cause, Log, Manifest, SecretKey};
use weir_runtime::Runtime;
use weir_service::{EventClock, Shutdown};

use crate::fish::{Event, Fish};

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fails the test instead of waiting for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// When versions are made, by the clock of these tests.
pub(crate) fn now() -> EventTime {
    "2026-01-05T09:00:00Z".parse().expect("a time")
}

/// The key that signs the versions of these tests.
pub(crate) fn signing_key() -> SecretKey {
    SecretKey::from_seed(&[42; 32])
}

pub(crate) struct Line {
    pub(crate) config: HostConfig,
    pub(crate) progress: Progress,
    pub(crate) producer: Producer,
    folder: TempDir,
    _kafka: EmbeddedKafka,
}

impl Line {
    /// A broker with its topics, and nothing in them.
    pub(crate) fn start(partitions: i32) -> Self {
        let kafka = EmbeddedKafka::start().expect("starts");
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut config = HostConfig::load(None).expect("the defaults are valid");
        config.http.listen = String::new();
        for topic in config.topics.partitioned() {
            kafka.create_topic(topic, partitions).expect("created");
        }
        for topic in config.topics.single() {
            kafka.create_topic(topic, 1).expect("created");
        }
        for topic in config.topics.dead_letters() {
            kafka.create_topic(&topic, 1).expect("created");
        }
        config.kafka.brokers = kafka.brokers();
        config.kafka.settings = EmbeddedKafka::settings();
        config.store.path = folder.path().join("training.redb");
        config.models.path = PathBuf::new();
        config.health.listen = String::new();
        config.always_promote();
        let key = signing_key();
        let (secret, public) = (folder.path().join("key.pem"), folder.path().join("key.pub"));
        std::fs::write(&secret, key.to_pem()).expect("written");
        std::fs::write(&public, key.public().to_pem()).expect("written");
        (config.train.key_file, config.trust.keys) = (secret, vec![public]);
        let progress = Progress::default();
        let producer = Producer::new(&config.kafka(), progress.clone()).expect("starts");
        Self { config, progress, producer, folder, _kafka: kafka }
    }

    pub(crate) fn schema(&self) -> Arc<Schema> {
        Arc::new(self.config.schema().expect("valid"))
    }

    /// Starts a host. The ledger goes on from the one before.
    pub(crate) fn host(&self) -> Host {
        self.host_of(self.config.clone())
    }

    /// Starts a host with settings of its own.
    pub(crate) fn host_of(&self, config: HostConfig) -> Host {
        let (control, shutdown) = (Control::default(), Shutdown::new());
        let counters = Arc::new(HostCounters::default());
        let task = tokio::spawn(weir_host::run(
            config,
            Arc::new(EventClock::new(now())),
            self.progress.clone(),
            control.clone(),
            Arc::clone(&counters),
            shutdown.clone(),
        ));
        Host { control, shutdown, task, counters }
    }

    /// Waits until every role of the host has its partitions.
    pub(crate) async fn ready(&self) {
        let readers = self.config.readers();
        let ready = |progress: &Progress| readers.iter().all(|reader| progress.is_ready(reader));
        self.until("all roles to have their partitions", ready).await;
    }

    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Progress) -> bool) {
        soon(what, self.progress.wait_until(condition)).await;
    }

    /// Waits until everything that was written has had all its consequences.
    pub(crate) async fn settled(&self) {
        self.until("everything to settle", Progress::is_settled).await;
    }

    pub(crate) async fn write(&self, topic: &str, events: &[Event]) {
        let mut deliveries = Vec::new();
        for Event { key, id, payload } in events {
            let id = id.as_ref().map(|id| (headers::ID, id.as_bytes()));
            let record = NewRecord {
                topic,
                key: Some(key),
                payload: Some(payload),
                headers: &Vec::from_iter(id),
                timestamp: None,
            };
            deliveries.push(self.producer.send_patiently(&record).await.expect("taken"));
        }
        for delivery in deliveries {
            soon("a delivery", delivery).await.expect("delivered");
        }
    }

    /// Measures and weighs fish.
    pub(crate) async fn pass(&self, fish: &[Fish]) {
        let measurements: Vec<_> = fish.iter().map(Fish::measurement).collect();
        let targets: Vec<_> = fish.iter().map(Fish::target).collect();
        self.write(&self.config.topics.measurement, &measurements).await;
        self.write(&self.config.topics.target, &targets).await;
    }

    pub(crate) fn trainer(&self, schema: Arc<Schema>) -> Trainer {
        let runtime = Runtime::new(self.config.limits().expect("valid")).expect("starts");
        Trainer::new(runtime, schema, self.config.fit_options()).expect("the template loads")
    }

    pub(crate) async fn catalog(&self) -> Catalog {
        let (kafka, producer) = (self.config.kafka(), self.producer.clone());
        let (topic, model) = (&self.config.topics.models, &self.config.train.model);
        let (trust, key) = (self.config.trust().expect("valid"), Some(Arc::new(signing_key())));
        let opened = Catalog::open(&kafka, producer, topic, model, trust, key);
        soon("the catalog", opened).await.expect("opens")
    }

    /// Publishes the next version, trained with these rows.
    pub(crate) async fn publish(&self, rows: &[Row]) -> (Trained, Manifest) {
        let trainer = self.trainer(self.schema());
        let trained = trainer.train(rows, 0).expect("fits");
        let mut catalog = self.catalog().await;
        let model = &self.config.train.model;
        let manifest = trainer.manifest(&trained, model, now(), Cause::file());
        let published = soon("a version", catalog.publish(trained.model.bytes(), manifest)).await;
        let manifest = published.expect("published").manifest;
        (trained, Arc::unwrap_or_clone(manifest))
    }

    /// Everything that a topic holds, partition by partition.
    pub(crate) async fn records(&self, topic: &str) -> Vec<Record> {
        let (kafka, name) = (self.config.kafka(), topic.to_owned());
        let open = move || {
            let ends = Consumer::ends(&kafka, &name).expect("asked");
            let end: i64 = ends.iter().map(|(_, end)| end).sum();
            let reader = Consumer::reader(&kafka, "test", &[&name], Progress::default());
            (usize::try_from(end).expect("not negative"), reader.expect("starts"))
        };
        let (count, mut reader) = tokio::task::spawn_blocking(open).await.expect("no panic");
        let mut records = Vec::new();
        while records.len() < count {
            match soon(topic, reader.next()).await {
                Some(ConsumerEvent::Records(batch)) => records.extend(batch),
                Some(ConsumerEvent::Assignment(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        soon("the reader's end", reader.close()).await;
        records.sort_by_key(|record| record.position);
        records
    }

    pub(crate) async fn predictions(&self) -> Vec<Prediction> {
        let (schema, records) = (self.schema(), self.records(&self.config.topics.prediction).await);
        let decode = |record: &Record| {
            let id = record.header(headers::ID).expect("an id").parse().expect("an id");
            schema.decode_prediction(record.payload(), id).expect("a prediction")
        };
        records.iter().map(decode).collect()
    }

    pub(crate) async fn joined(&self) -> Vec<Joined> {
        let (schema, records) = (self.schema(), self.records(&self.config.topics.joined).await);
        let decode =
            |record: &Record| schema.decode_joined(record.payload()).expect("a joined row");
        records.iter().map(decode).collect()
    }

    pub(crate) async fn windows(&self) -> Vec<WindowClosed> {
        let records = self.records(&self.config.topics.window).await;
        records.iter().map(|r| WindowClosed::decode(r.payload()).expect("a window")).collect()
    }

    pub(crate) async fn triggers(&self) -> Vec<Trigger> {
        let (schema, records) = (self.schema(), self.records(&self.config.topics.trigger).await);
        records.iter().map(|r| schema.decode_trigger(r.payload()).expect("a trigger")).collect()
    }

    pub(crate) async fn unjoined(&self) -> Vec<Unjoined> {
        let records = self.records(&self.config.topics.unjoined).await;
        records.iter().map(|r| Unjoined::decode(r.payload()).expect("an event")).collect()
    }

    /// The versions that a reader of the topic of models accepts.
    pub(crate) async fn versions(&self) -> Vec<Manifest> {
        let trust = Arc::new(self.config.trust().expect("valid"));
        let mut log = Log::new(&self.config.train.model, trust);
        let mut apply = |record: &Record| {
            let key = record.key_text().expect("a key");
            let applied = log.apply(key, record.payload.as_deref());
            applied.ok().flatten().map(|accepted| Arc::unwrap_or_clone(accepted.manifest))
        };
        self.records(&self.config.topics.models).await.iter().filter_map(&mut apply).collect()
    }

    /// How many training rows are stored. The host must be stopped: only one process opens the file.
    pub(crate) async fn stored(&self) -> u64 {
        let rows = RedbStore::open(&self.config.store.path, self.schema(), u64::MAX);
        rows.expect("opens").count().await.expect("counted")
    }

    /// What a run amounts to, whatever happened during it.
    pub(crate) async fn outcome(&self) -> Outcome {
        let mut rows = BTreeMap::new();
        for row in self.joined().await {
            let id = row.prediction.measurement.id;
            let known = rows.entry(id).or_insert_with(|| row.clone());
            assert_eq!(*known, row, "a row that is repeated is the same row");
        }
        let unjoined = self.unjoined().await;
        let unmatched = unjoined.iter().filter(|event| event.reason == UnjoinedReason::Unmatched);
        let triggers: BTreeMap<_, _> = self
            .triggers()
            .await
            .into_iter()
            .map(|trigger| (trigger.id.clone(), trigger))
            .collect();
        let windows: BTreeMap<_, _> =
            self.windows().await.into_iter().map(|window| (window.start, window)).collect();
        let mut versions = self.versions().await;
        // The one field that depends on the machine.
        versions.iter_mut().for_each(|manifest| manifest.retrain_ms = 0.0);
        Outcome {
            rows,
            unmatched: unmatched.map(|event| event.id).collect(),
            triggers,
            windows,
            versions,
            stored: self.stored().await,
        }
    }
}

/// Results by what identifies them: repetitions have no place in it.
#[derive(PartialEq, Debug)]
pub(crate) struct Outcome {
    pub(crate) rows: BTreeMap<EventId, Joined>,
    pub(crate) unmatched: BTreeSet<EventId>,
    pub(crate) triggers: BTreeMap<String, Trigger>,
    pub(crate) windows: BTreeMap<EventTime, WindowClosed>,
    pub(crate) versions: Vec<Manifest>,
    pub(crate) stored: u64,
}

pub(crate) struct Host {
    pub(crate) control: Control,
    pub(crate) counters: Arc<HostCounters>,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Host {
    /// Ends the host in order.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        soon("the host's end", self.task).await.expect("no panic").expect("ended in order");
    }

    /// Drops the host in the middle of whatever it does, and returns when its file is free again.
    pub(crate) async fn abort(self, line: &Line) {
        self.task.abort();
        assert!(soon("the abort", self.task).await.expect_err("aborted").is_cancelled());
        let path = line.config.store.path.clone();
        assert!(path.starts_with(line.folder.path()));
        let is_free = || RedbStore::open(&path, line.schema(), u64::MAX).is_ok();
        soon("the store's file to be free", async {
            while !is_free() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}
