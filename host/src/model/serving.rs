//! The model in service: follows the topic of models and swaps.
//!
//! A new version is loaded, checked and tested while the old one serves, and takes over between two
//! batches. A version that fails is passed over: the old one stays.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::watch;
use weir_events::{EventTime, ModelRef, Schema};
use weir_kafka::{Consumer, ConsumerEvent, KafkaConfig, Progress};
use weir_registry::{Accepted, Floor, Log, Manifest, Stage, Trust};
use weir_runtime::{Runtime, Slot};
use weir_service::{Clock, crash_point};

use super::candidate;
use super::catalog::{Chain, apply};
use super::disk::Disk;
use crate::config::HostConfig;
use crate::counters::HostCounters;

/// How often to look whether the version in service has expired.
const EXPIRY_LOOK: Duration = Duration::from_secs(60);
/// The follower's name in the ledger.
pub(crate) const FOLLOWER: &str = "weir-models";
/// How many versions are at hand when a host starts, should the newest be unfit.
const CANDIDATES_MAX: usize = 8;

/// What a host knows about the model in service.
#[derive(Debug)]
pub struct Active {
    /// How predictions name it.
    pub model: ModelRef,
    /// The code of each level that it knows; empty for a model without factor.
    pub codes: HashMap<Box<str>, u32>,
    /// When it expires, if it does.
    pub expires: Option<EventTime>,
}

/// Holds the model in service, and tells when there is one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ModelSlot {
    slot: Arc<Slot<Active>>,
    shadow: Arc<Slot<Active>>,
    ready: watch::Sender<bool>,
    /// Whether all that had been published is known, so that what serves is not long out of service.
    current: watch::Sender<bool>,
    /// Versions that were put into service, and those that failed in it.
    changes: Arc<[AtomicU64; 2]>,
}

impl Default for ModelSlot {
    fn default() -> Self {
        let shadow = Arc::new(Slot::empty());
        let [ready, current] = [watch::Sender::new(false), watch::Sender::new(false)];
        Self { slot: Arc::new(Slot::empty()), shadow, ready, current, changes: Arc::default() }
    }
}

impl ModelSlot {
    /// The slot for workers.
    pub fn slot(&self) -> &Arc<Slot<Active>> {
        &self.slot
    }

    /// The slot of the version that predicts beside the one that serves.
    pub fn shadow(&self) -> &Arc<Slot<Active>> {
        &self.shadow
    }

    /// Waits until there is a model.
    pub async fn ready(&self) {
        wait(&self.ready).await;
    }

    /// Waits until there is a model, and it is the newest that was published before the host started: what is on disk may
    /// be long out of service.
    pub async fn current(&self) {
        tokio::join!(wait(&self.ready), wait(&self.current));
    }

    /// Whether both is so.
    pub fn is_current(&self) -> bool {
        *self.ready.borrow() && *self.current.borrow()
    }

    /// How many versions were put into service, and how many failed there and were taken out again.
    pub fn changes(&self) -> (u64, u64) {
        let [served, demoted] = &*self.changes;
        (served.load(Ordering::Relaxed), demoted.load(Ordering::Relaxed))
    }

    /// The version that serves.
    pub fn version(&self) -> Option<ModelRef> {
        self.slot.load().map(|active| active.tag.model)
    }

    /// Takes a version out of service that fails, and puts the one before back. False if there is none, and it serves on.
    pub fn demote(&self, failed: &Arc<weir_runtime::Active<Active>>) -> bool {
        let replaced = self.slot.replace(failed);
        if replaced {
            self.shadow.clear();
            self.changes[1].fetch_add(1, Ordering::Relaxed);
            let (failed, serves) = (failed.tag.model.version.0, self.version());
            let serves = serves.map(|serves| serves.version.0);
            tracing::error!(model.version = failed, serves, "model is taken out of service");
        }
        replaced
    }

    fn serve(&self, manifest: &Manifest, model: weir_runtime::Model) {
        // Never beside itself.
        self.shadow.clear();
        self.slot.store(Arc::new(active(manifest, model)));
        self.changes[0].fetch_add(1, Ordering::Relaxed);
        self.ready.send_replace(true);
    }
}

async fn wait(told: &watch::Sender<bool>) {
    // The sender is there as long as the slot that is waited for.
    drop(told.subscribe().wait_for(|is_so| *is_so).await);
}

/// What a slot holds.
fn active(manifest: &Manifest, model: weir_runtime::Model) -> weir_runtime::Active<Active> {
    let levels = &model.description().levels;
    let codes = levels.iter().zip(0..).map(|(level, code)| (level.as_str().into(), code)).collect();
    let tag = Active { model: manifest.model_ref(), codes, expires: manifest.expires };
    weir_runtime::Active { model, tag }
}

/// Keeps the newest version of a model in the slot.
#[derive(Clone, Debug)]
pub struct Follower {
    kafka: KafkaConfig,
    topic: String,
    model: String,
    trust: Arc<Trust>,
    schema: Arc<Schema>,
    runtime: Runtime,
    progress: Progress,
    clock: Arc<dyn Clock>,
    disk: Disk,
    slot: ModelSlot,
    counters: Arc<HostCounters>,
}

impl Follower {
    /// A follower as configured.
    ///
    /// # Errors
    /// If a key cannot be read, or the directory of versions cannot be used.
    pub fn new(
        config: &HostConfig,
        schema: Arc<Schema>,
        runtime: Runtime,
        progress: Progress,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let disk = Disk::open(&config.models.path, config.models.keep);
        let disk = disk.context("open the versions in models.path")?;
        Ok(Self {
            kafka: config.kafka(),
            topic: config.topics.models.clone(),
            model: config.train.model.clone(),
            trust: Arc::new(config.trust()?),
            schema,
            runtime,
            progress,
            clock,
            disk,
            slot: ModelSlot::default(),
            counters: Arc::default(),
        })
    }

    /// Counts what it does here, and shows its slot there.
    #[must_use]
    pub fn counted(self, counters: Arc<HostCounters>) -> Self {
        counters.set_slot(&self.slot);
        Self { counters, ..self }
    }

    /// Where it puts the model.
    pub fn slot(&self) -> &ModelSlot {
        &self.slot
    }

    /// Serves the version on disk that served last, or the newest before it that is fit: Kafka may be away.
    pub async fn restore(&self) {
        let versions = self.disk.versions(&self.trust);
        for version in versions.iter().filter(|version| version.manifest.model == self.model) {
            // It is on disk, and what served last stays what served last, also if an older one must do for now.
            if self.take(version, false).await {
                tracing::info!(model.version = version.manifest.version.0, "model is from disk");
                return;
            }
        }
    }

    /// Follows the topic of models. Ends only with an error.
    ///
    /// # Errors
    /// If Kafka cannot be reached, the topic does not exist or reading fails for good.
    pub async fn run(&self) -> anyhow::Result<()> {
        let (kafka, topic, progress) =
            (self.kafka.clone(), self.topic.clone(), self.progress.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let ends = Consumer::ends(&kafka, &topic)?;
            let reader = Consumer::reader(&kafka, FOLLOWER, &[topic.as_str()], progress)?;
            Ok::<_, weir_kafka::KafkaError>((ends, reader))
        });
        let (ends, mut reader) = opened.await.context("wait for Kafka")??;
        let history = ends.iter().map(|&(_, end)| end).max().unwrap_or(0);
        // Also what serves now, where nothing is on disk: Kafka may have been set back while it was away.
        let floor = self.disk.floor().max(self.slot.version().map(Floor::of));
        let mut log = Log::new(&self.model, Arc::clone(&self.trust)).above(floor);
        if history == 0 {
            self.slot.current.send_replace(true);
        }
        let mut candidates = VecDeque::new();
        let mut expiry = tokio::time::interval(EXPIRY_LOOK);
        loop {
            let event = tokio::select! {
                event = reader.next() => event,
                _ = expiry.tick() => {
                    self.tell_expired(&log);
                    continue;
                }
            };
            let records = match event {
                Some(ConsumerEvent::Records(records)) => records,
                Some(ConsumerEvent::Assignment(_)) => continue,
                Some(ConsumerEvent::Failed(reason)) => bail!("follow the models: {reason}"),
                None => bail!("follow the models: the reader has ended"),
            };
            let now = self.clock.now();
            for record in &records {
                match apply(&mut log, record) {
                    Ok(version) => candidates.extend(version),
                    Err(refusal) => self.counters.count(|counts| counts.refused(&refusal)),
                }
            }
            candidates.retain(|version: &Accepted| version.manifest.stage == Stage::Champion);
            candidates.drain(..candidates.len().saturating_sub(CANDIDATES_MAX));
            let Some(last) = records.last() else { continue };
            let next = last.position.offset + 1;
            if next < history {
                // A host that starts must not predict with a version that is long out of service.
                continue;
            }
            // Of several versions only the newest serves; an older one if the newest is unfit.
            while let Some(version) = candidates.pop_back() {
                let served = self.slot.version();
                if served.is_some_and(|served| served == version.manifest.model_ref()) {
                    candidates.clear();
                } else if let Err(refusal) = log.may_serve(&version.manifest, now) {
                    tracing::error!(
                        model.version = version.manifest.version.0, error = %Chain(&refusal),
                        "version must not serve"
                    );
                    self.counters.count(|counts| counts.refused(&refusal));
                } else if self.take(&version, true).await {
                    candidates.clear();
                }
            }
            self.accompany(&log).await;
            self.slot.current.send_replace(true);
            reader.done(&last.topic, last.position.partition, next, None);
        }
    }

    /// Lets the challenger predict beside the champion, or in a probation the version before.
    async fn accompany(&self, log: &Log) {
        let champion = log.champion().map(|champion| &champion.manifest);
        let serves = champion.is_some_and(|it| self.slot.version() == Some(it.model_ref()));
        let before = || log.get(champion?.probation?);
        let wanted = log.challenger().or_else(before).filter(|_| serves);
        let beside = self.slot.shadow.load().map(|active| active.tag.model);
        if beside == wanted.map(|wanted| wanted.manifest.model_ref()) {
            return;
        }
        self.slot.shadow.clear();
        let Some(wanted) = wanted else { return };
        let version = wanted.manifest.version.0;
        match self.load(wanted, false).await {
            Ok(model) => {
                self.slot.shadow.store(Arc::new(active(&wanted.manifest, model)));
                tracing::info!(
                    model.version = version,
                    "model predicts beside the one that serves"
                );
            }
            Err(error) => {
                tracing::error!(model.version = version, error, "model beside is unfit");
                self.counters.count(|counts| counts.models_unfit += 1);
            }
        }
    }

    /// An expired version goes on serving: no prediction is worse than one of a model that is known to be old.
    fn tell_expired(&self, log: &Log) {
        let Some(champion) = log.champion() else { return };
        if let Some(expires) = champion.manifest.expires.filter(|end| *end <= self.clock.now()) {
            let version = champion.manifest.version.0;
            tracing::error!(model.version = version, %expires, "model has expired and goes on serving");
        }
    }

    /// Loads, checks and swaps. False if the version is unfit.
    async fn take(&self, version: &Accepted, keep: bool) -> bool {
        let (number, digest) = (version.manifest.version.0, version.manifest.digest);
        match self.load(version, keep).await {
            Ok(model) => {
                crash_point("model-checked");
                self.slot.serve(&version.manifest, model);
                crash_point("model-serves");
                tracing::info!(model.version = number, model.digest = %digest, "model serves");
                true
            }
            Err(error) => {
                tracing::error!(
                    model.version = number, model.digest = %digest, error,
                    "model is unfit and does not serve; the one before it stays"
                );
                self.counters.count(|counts| counts.models_unfit += 1);
                false
            }
        }
    }

    /// Loads and checks a version, and keeps it on disk as the one that serves if it is to be.
    async fn load(&self, version: &Accepted, keep: bool) -> Result<weir_runtime::Model, String> {
        let (this, version) = (self.clone(), version.clone());
        let loaded = tokio::task::spawn_blocking(move || {
            let bytes = version.bytes.as_ref().ok_or("its component did not come before it")?;
            let model = this.runtime.load(bytes).map_err(|error| Chain(&error).to_string())?;
            candidate::check(&model, &this.schema, &version.manifest.golden)
                .map_err(|error| Chain(&error).to_string())?;
            if keep && let Err(error) = this.disk.keep(&version) {
                // It can serve all the same. But after a restart nobody knows that it did.
                tracing::error!(error = %Chain(&error), "version cannot be kept on disk");
            }
            Ok(model)
        });
        loaded.await.unwrap_or_else(|panicked| Err(panicked.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Row, Trainer};
    use weir_events::{EventTime, ModelVersion, SchemaConfig};
    use weir_registry::Cause;
    use weir_runtime::{FitOptions, Limits};

    #[test]
    fn the_version_before_comes_back_once_for_one_that_fails() {
        let schema = Arc::new(Schema::try_from(&SchemaConfig::fish()).expect("valid"));
        let runtime = Runtime::new(Limits::default()).expect("starts");
        let trainer = Trainer::new(runtime, schema, FitOptions::default()).expect("loads");
        let row = |n: u32| {
            let x = f64::from(n);
            Row { id: n.to_string(), features: vec![x, x * x], level: None, target: x + 1.0 }
        };
        let trained = trainer.train(&(1..9).map(row).collect::<Vec<_>>(), 0).expect("fits");
        let manifest = |version| {
            let manifest = trainer.manifest(&trained, "weight", EventTime::EPOCH, Cause::file());
            Manifest { version: ModelVersion(version), ..manifest }
        };
        let slot = ModelSlot::default();
        for version in [1, 2] {
            slot.serve(&manifest(version), trained.model.clone());
        }
        let second = slot.slot().load().expect("serves");
        assert!(slot.demote(&second));
        let first = slot.slot().load().expect("serves");
        assert_eq!(first.tag.model, manifest(1).model_ref());
        assert!(slot.demote(&second), "another batch of it had failed too");
        assert!(!slot.demote(&first), "there is none before");
        assert_eq!(slot.version(), Some(first.tag.model));
    }
}
