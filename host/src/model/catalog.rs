//! The topic of models as a trainer uses it: what was published, and publishing the next version.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use weir_events::{Digest, ModelVersion};
use weir_kafka::{Consumer, ConsumerEvent, KafkaConfig, NewRecord, Producer, Progress, Record};
use weir_registry::{
    Accepted, Answer, Envelope, Log, Manifest, RecordKey, Refusal, SecretKey, Trust,
};
use weir_service::crash_point;

/// The versions of one model, read up to some moment.
#[derive(Debug)]
pub struct Catalog {
    kafka: KafkaConfig,
    reader: Consumer,
    /// The offset up to which the topic has been read.
    next: i64,
    producer: Producer,
    topic: String,
    model: String,
    key: Option<Arc<SecretKey>>,
    log: Log,
}

/// A published version.
#[derive(Debug)]
pub struct Publication {
    /// The manifest with the number that was won; that of the other trainer, if one has answered the same trigger.
    pub manifest: Arc<Manifest>,
}

impl Catalog {
    /// Reads everything that has been published so far. What is published here is signed with `key`.
    ///
    /// # Errors
    /// If Kafka cannot be reached or the topic does not exist.
    pub async fn open(
        kafka: &KafkaConfig,
        producer: Producer,
        topic: &str,
        model: &str,
        trust: Trust,
        key: Option<Arc<SecretKey>>,
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
        let log = Log::new(&model, Arc::new(trust));
        let (kafka, next) = (kafka.clone(), 0);
        let mut catalog = Self { kafka, reader, next, producer, topic, model, key, log };
        catalog.read_to(end).await?;
        Ok(catalog)
    }

    /// Reads what others have published meanwhile: people publish too.
    ///
    /// # Errors
    /// If Kafka cannot be read.
    pub async fn refresh(&mut self) -> anyhow::Result<()> {
        let (kafka, topic) = (self.kafka.clone(), self.topic.clone());
        let asked = tokio::task::spawn_blocking(move || Consumer::ends(&kafka, &topic));
        let end = asked.await.context("wait for Kafka")??.iter().map(|&(_, end)| end).max();
        self.read_to(end.unwrap_or(0)).await
    }

    async fn read_to(&mut self, end: i64) -> anyhow::Result<()> {
        while self.next < end {
            self.read(|_| {}).await?;
        }
        Ok(())
    }

    /// What the topic says, as far as it has been read.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The manifest of the version in service.
    pub fn champion(&self) -> Option<&Manifest> {
        self.log.champion().map(|accepted| &*accepted.manifest)
    }

    /// Publishes a component: its bytes first, then its manifest, which gets its number and its parent here.
    /// If another trainer wins that number, the next one is tried; unless it has answered the same trigger, for then
    /// its version is the one: a trainer that was replaced while it trained adds none.
    ///
    /// # Errors
    /// If Kafka refuses. Whether the version was published is then unknown; a restart finds out.
    pub async fn publish(
        &mut self,
        bytes: &[u8],
        mut manifest: Manifest,
    ) -> anyhow::Result<Publication> {
        loop {
            manifest.version = self.log.next_version();
            manifest.parent = self.champion().map(|champion| champion.version);
            self.write(&RecordKey::Blob(manifest.digest), Some(bytes)).await?;
            crash_point("train-component-written");
            let key = RecordKey::Manifest(self.model.clone(), manifest.version);
            let envelope = Envelope::seal(&manifest, self.key.as_deref()).to_bytes();
            // What would not count here does not count for hosts.
            self.log.trust().open(&envelope).context("sign the manifest")?;
            self.write(&key, Some(&envelope)).await?;
            crash_point("train-manifest-written");
            let mut won = None;
            while self.log.next_version() <= manifest.version {
                // Another trainer's next version may be read together with this one.
                let is_ours = |accepted: &Accepted| *accepted.envelope == *envelope;
                self.read(|accepted| {
                    if is_ours(accepted) {
                        won = Some(Arc::clone(&accepted.manifest));
                    }
                })
                .await?;
            }
            if let Some(manifest) = won {
                return Ok(Publication { manifest });
            }
            if let Some(answer) = manifest.cause.id.as_deref().and_then(|id| self.answer_to(id)) {
                return Ok(Publication { manifest: answer });
            }
            tracing::warn!(
                model.version = manifest.version.0,
                "another trainer published this version"
            );
        }
    }

    /// The version that was made for this trigger or request, as far as the topic has been read.
    pub fn answer_to(&self, cause: &str) -> Option<Arc<Manifest>> {
        let mut versions = self.log.versions().rev();
        let found = versions.find(|entry| entry.manifest.cause.id.as_deref() == Some(cause));
        found.map(|entry| Arc::clone(&entry.manifest))
    }

    /// Says what became of a request.
    ///
    /// # Errors
    /// If Kafka refuses.
    pub async fn answer(&self, answer: &Answer) -> anyhow::Result<()> {
        let payload = serde_json::to_vec(answer).context("write an answer")?;
        self.write(&RecordKey::Answer(self.model.clone()), Some(&payload)).await
    }

    /// Deletes what is neither among the newest `keep` versions nor in service, and the components of nothing else.
    ///
    /// # Errors
    /// If Kafka refuses.
    pub async fn forget(&self, keep: usize) -> anyhow::Result<()> {
        let champion = self.champion().map(|champion| champion.version);
        let all: Vec<(ModelVersion, Digest)> = self
            .log
            .versions()
            .map(|entry| (entry.manifest.version, entry.manifest.digest))
            .collect();
        let old = all.len().saturating_sub(keep);
        let (old, kept) = all.split_at(old);
        let (spared, old): (Vec<_>, Vec<_>) =
            old.iter().partition(|(version, _)| Some(*version) == champion);
        let used: BTreeSet<Digest> =
            kept.iter().chain(&spared).map(|(_, digest)| *digest).collect();
        for (version, digest) in old {
            self.write(&RecordKey::Manifest(self.model.clone(), version), None).await?;
            if !used.contains(&digest) {
                self.write(&RecordKey::Blob(digest), None).await?;
            }
        }
        Ok(())
    }

    async fn write(&self, key: &RecordKey, payload: Option<&[u8]>) -> anyhow::Result<()> {
        let key = key.to_string();
        let key_bytes = Some(key.as_bytes());
        let record = NewRecord {
            topic: &self.topic,
            key: key_bytes,
            payload,
            headers: &[],
            timestamp: None,
        };
        let delivery = self.producer.send_patiently(&record).await?;
        delivery.await.with_context(|| format!("publish {key}"))?;
        Ok(())
    }

    /// Reads some records and shows the versions that they bring.
    async fn read(&mut self, mut accepted: impl FnMut(&Accepted)) -> anyhow::Result<()> {
        match self.reader.next().await {
            Some(ConsumerEvent::Records(records)) => {
                for record in &records {
                    if let Ok(Some(version)) = apply(&mut self.log, record) {
                        accepted(&version);
                    }
                }
                self.next = records.last().map_or(self.next, |record| record.position.offset + 1);
                Ok(())
            }
            Some(ConsumerEvent::Assignment(_)) => Ok(()),
            Some(ConsumerEvent::Failed(reason)) => {
                bail!("read the topic {:?}: {reason}", self.topic)
            }
            None => bail!("read the topic {:?}: the reader has ended", self.topic),
        }
    }
}

/// Applies a record to a log. What does not fit is told, and is to be passed over.
pub(super) fn apply(log: &mut Log, record: &Record) -> Result<Option<Accepted>, Refusal> {
    let key = record.key_text().unwrap_or_default();
    log.apply(key, record.payload.as_deref()).inspect_err(|refusal| {
        let offset = record.position.offset;
        tracing::error!(error = %Chain(refusal), offset, "record of the models topic is refused");
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
