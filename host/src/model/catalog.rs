//! The topic of models as a trainer uses it: what was published, and publishing the next version.

use std::collections::HashSet;

use anyhow::{Context as _, bail};
use weir_events::ModelVersion;
use weir_kafka::{Consumer, ConsumerEvent, KafkaConfig, NewRecord, Producer, Progress, Record};
use weir_registry::{Candidate, Log, Manifest, RecordKey};
use weir_service::crash_point;

/// The versions of one model, read up to some moment.
#[derive(Debug)]
pub struct Catalog {
    reader: Consumer,
    producer: Producer,
    topic: String,
    model: String,
    log: Log,
    /// The triggers of all versions that the topic still holds. Compaction leaves out old ones, whose
    /// triggers were committed long before.
    triggers: HashSet<String>,
}

/// A published version.
#[derive(Debug)]
pub struct Publication {
    /// The manifest with the number that was won; the newest, if another trainer has answered the trigger.
    pub manifest: Manifest,
}

impl Catalog {
    /// Reads everything that has been published so far.
    ///
    /// # Errors
    /// If Kafka cannot be reached or the topic does not exist.
    pub async fn open(
        kafka: &KafkaConfig,
        producer: Producer,
        topic: &str,
        model: &str,
    ) -> anyhow::Result<Self> {
        // Not part of the process's ledger: a trainer reads on only when it publishes.
        let ledger = Progress::default();
        let (config, name) = (kafka.clone(), topic.to_owned());
        let opened = tokio::task::spawn_blocking(move || {
            let ends = Consumer::ends(&config, &name)?;
            let reader = Consumer::reader(&config, "weir-catalog", &[name.as_str()], ledger)?;
            Ok::<_, weir_kafka::KafkaError>((ends, reader))
        });
        let (ends, reader) = opened.await.context("wait for Kafka")??;
        let [(_, end)] = ends[..] else {
            bail!(
                "use the topic {topic:?}: it must have exactly one partition, it has {}",
                ends.len()
            );
        };
        let (topic, model) = (topic.to_owned(), model.to_owned());
        let log = Log::new(&model);
        let triggers = HashSet::new();
        let mut catalog = Self { reader, producer, topic, model, log, triggers };
        let mut next = 0;
        while next < end {
            next = catalog.read(|_| {}).await?;
        }
        Ok(catalog)
    }

    /// The newest manifest.
    pub fn newest(&self) -> Option<&Manifest> {
        self.log.newest()
    }

    /// Whether a version was published for this trigger, as far as the topic has been read.
    pub fn has_answered(&self, trigger: &str) -> bool {
        self.triggers.contains(trigger)
    }

    /// Publishes a component: its bytes first, then its manifest, which `describe` makes for a number.
    /// If another trainer wins that number, the next one is tried; unless it has answered the same trigger, for then
    /// its version is the one: a trainer that was replaced while it trained adds none.
    ///
    /// # Errors
    /// If Kafka refuses. Whether the version was published is then unknown; a restart finds out.
    pub async fn publish(
        &mut self,
        bytes: &[u8],
        describe: impl Fn(ModelVersion) -> Manifest,
    ) -> anyhow::Result<Publication> {
        loop {
            let manifest = describe(self.log.next_version());
            self.write(&RecordKey::Blob(manifest.digest), bytes).await?;
            crash_point("train-component-written");
            let key = RecordKey::Manifest(self.model.clone());
            self.write(&key, &manifest.to_bytes()).await?;
            crash_point("train-manifest-written");
            let mut won = false;
            while self.log.newest().is_none_or(|newest| newest.version < manifest.version) {
                // Another trainer's next version may be read together with this one.
                self.read(|accepted| won |= *accepted == manifest).await?;
            }
            if won {
                return Ok(Publication { manifest });
            }
            let is_answered = manifest.trigger.as_ref().is_some_and(|id| self.has_answered(id));
            if let (true, Some(newest)) = (is_answered, self.log.newest()) {
                return Ok(Publication { manifest: newest.clone() });
            }
            tracing::warn!(
                model.version = manifest.version.0,
                "another trainer published this version"
            );
        }
    }

    async fn write(&self, key: &RecordKey, payload: &[u8]) -> anyhow::Result<()> {
        let key = key.to_string();
        let record = NewRecord {
            topic: &self.topic,
            key: Some(key.as_bytes()),
            payload: Some(payload),
            headers: &[],
            timestamp: None,
        };
        let delivery = self.producer.send_patiently(&record).await?;
        delivery.await.with_context(|| format!("publish {key}"))?;
        Ok(())
    }

    /// Reads some records, shows the versions that they bring, and returns the offset after them.
    async fn read(&mut self, mut accepted: impl FnMut(&Manifest)) -> anyhow::Result<i64> {
        match self.reader.next().await {
            Some(ConsumerEvent::Records(records)) => {
                for record in &records {
                    if let Some(Candidate { manifest, .. }) = apply(&mut self.log, record) {
                        accepted(&manifest);
                        self.triggers.extend(manifest.trigger);
                    }
                }
                Ok(records.last().map_or(0, |record| record.position.offset + 1))
            }
            Some(ConsumerEvent::Assignment(_)) => Ok(0),
            Some(ConsumerEvent::Failed(reason)) => {
                bail!("read the topic {:?}: {reason}", self.topic)
            }
            None => bail!("read the topic {:?}: the reader has ended", self.topic),
        }
    }
}

/// Applies a record to a log; what does not fit is told and passed over.
pub(super) fn apply(log: &mut Log, record: &Record) -> Option<Candidate> {
    let key = record.key_text().unwrap_or_default();
    log.apply(key, record.payload.as_deref()).unwrap_or_else(|refusal| {
        let offset = record.position.offset;
        tracing::warn!(error = %Chain(&refusal), offset, "record of the models topic is passed over");
        None
    })
}

/// An error with its sources on one line.
pub(super) struct Chain<'a>(pub(super) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
