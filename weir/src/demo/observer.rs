//! Watches a run as any consumer could: by reading the topics.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::sync::oneshot;
use weir_events::{
    EventId, Joined, Key, Missing, ModelVersion, Outcome, Schema, Side, TopicNames, Unjoined,
    UnjoinedReason, WindowClosed, headers,
};
use weir_kafka::{Consumer, ConsumerEvent, KafkaConfig, Progress, Record};
use weir_registry::{Accepted, Log};

use super::live::Live;
use super::results::{Predicted, Results, Version};

/// The observer's name in the ledger.
pub(crate) const NAME: &str = "weir-demo";

/// What was read so far.
pub(crate) struct Observer {
    reader: Consumer,
    schema: Arc<Schema>,
    topics: TopicNames,
    models: Log,
    live: Live,
    out: Option<PathBuf>,
    results: Results,
    joined: HashMap<EventId, Joined>,
    unjoined: HashSet<(EventId, Side, UnjoinedReason)>,
    predicted: HashMap<EventId, usize>,
}

impl Observer {
    /// Starts to read all topics from their beginning. Blocks until Kafka has answered.
    pub(crate) fn start(
        kafka: &KafkaConfig,
        topics: TopicNames,
        schema: Arc<Schema>,
        models: Log,
        progress: Progress,
        live: Live,
        out: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let dead_letters = topics.dead_letters();
        let mut names = vec![
            &*topics.prediction,
            &*topics.joined,
            &*topics.unjoined,
            &*topics.window,
            &*topics.models,
        ];
        names.extend(dead_letters.iter().map(String::as_str));
        let reader = Consumer::reader(kafka, NAME, &names, progress)?;
        Ok(Self {
            reader,
            schema,
            topics,
            models,
            live,
            out,
            results: Results::default(),
            joined: HashMap::new(),
            unjoined: HashSet::new(),
            predicted: HashMap::new(),
        })
    }

    /// Reads until told to end.
    pub(crate) async fn run(mut self, mut end: oneshot::Receiver<()>) -> anyhow::Result<Results> {
        loop {
            let event = tokio::select! {
                event = self.reader.next() => event,
                _ = &mut end => break,
            };
            match event {
                Some(ConsumerEvent::Records(records)) => {
                    for record in &records {
                        self.observe(record)?;
                        let position = record.position;
                        self.reader.done(
                            &record.topic,
                            position.partition,
                            position.offset + 1,
                            None,
                        );
                    }
                }
                Some(ConsumerEvent::Assignment(_)) => {}
                Some(ConsumerEvent::Failed(reason)) => bail!("watch the run: {reason}"),
                None => bail!("watch the run: the reader has ended"),
            }
        }
        self.live.finish();
        Ok(self.results())
    }

    fn observe(&mut self, record: &Record) -> anyhow::Result<()> {
        let topic = &*record.topic;
        let topics = &self.topics;
        if topic == topics.prediction {
            self.prediction(record)?;
        } else if topic == topics.joined {
            let row = self.schema.decode_joined(record.payload())?;
            self.live.joined(row.error);
            self.joined.insert(row.prediction.measurement.id, row);
        } else if topic == topics.unjoined {
            let event = Unjoined::decode(record.payload())?;
            self.unjoined(record, &event);
        } else if topic == topics.window {
            let window = WindowClosed::decode(record.payload())?;
            self.live.window(&window);
            self.results.windows.push(window);
        } else if topic == topics.models {
            self.model(record)?;
        } else {
            let reason = record.header(headers::REASON).unwrap_or("unknown");
            let detail = record.header(headers::DETAIL).unwrap_or_default();
            tracing::debug!(topic, reason, "dead letter");
            self.live.dead_letter(reason, detail);
            self.results.counts.dead_lettered += 1;
        }
        Ok(())
    }

    fn prediction(&mut self, record: &Record) -> anyhow::Result<()> {
        let id: EventId = record.header(headers::ID).context("read a prediction's id")?.parse()?;
        let prediction = self.schema.decode_prediction(record.payload(), id)?;
        self.results.counts.predicted += 1;
        let measurement = prediction.measurement;
        if prediction.outcome == Outcome::Missing(Missing::UnseenLevel) {
            self.results.counts.unseen_level += 1;
            self.live.unseen(measurement.level.as_deref().unwrap_or_default());
        }
        // A repeated measurement is predicted again; the first prediction is the one that is joined.
        if let Entry::Vacant(entry) = self.predicted.entry(id) {
            entry.insert(self.results.predictions.len());
            self.results.predictions.push(Predicted {
                id: measurement.key,
                measured_at: measurement.time,
                joined_at: None,
                level: measurement.level,
                predicted: prediction.outcome.value(),
                actual: None,
                error: None,
                version: prediction.model.version,
            });
        }
        Ok(())
    }

    fn unjoined(&mut self, record: &Record, event: &Unjoined) {
        // A repetition of an event has the event's id: each record is one event that left.
        let counts = &mut self.results.counts;
        match event.reason {
            UnjoinedReason::Unmatched
                if self.unjoined.insert((event.id, event.side, event.reason)) =>
            {
                counts.unmatched += 1;
            }
            UnjoinedReason::Unmatched => {
                tracing::debug!(offset = record.position.offset, "reported again after a restart");
            }
            UnjoinedReason::Late => counts.late += 1,
            // What is sent twice, to the byte, has one id: it is an event that was sent all the same.
            UnjoinedReason::Duplicate | UnjoinedReason::Superseded => counts.duplicates += 1,
        }
    }

    fn model(&mut self, record: &Record) -> anyhow::Result<()> {
        let key = record.key_text().unwrap_or_default();
        let applied = self.models.apply(key, record.payload.as_deref())?;
        let Some(Accepted { manifest, bytes, .. }) = applied else { return Ok(()) };
        if let Some((folder, bytes)) = self.out.as_ref().zip(bytes) {
            let file = folder.join(format!("{}.wasm", manifest.version));
            std::fs::write(&file, bytes).with_context(|| format!("write {}", file.display()))?;
        }
        self.live.version(&manifest);
        let manifest = Arc::unwrap_or_clone(manifest);
        self.results.versions.push(Version { manifest, first_id_predicted: None });
        Ok(())
    }

    /// Puts together what was read from different topics.
    fn results(self) -> Results {
        let Self { mut results, joined, predicted, .. } = self;
        results.counts.joined = joined.len() as u64;
        for (id, row) in joined {
            let Some(&index) = predicted.get(&id) else { continue };
            let prediction = &mut results.predictions[index];
            prediction.joined_at = Some(row.time);
            prediction.actual = Some(row.actual);
            prediction.error = row.error;
        }
        let mut first: HashMap<ModelVersion, Key> = HashMap::new();
        for prediction in &results.predictions {
            first.entry(prediction.version).or_insert_with(|| prediction.id.clone());
        }
        for version in &mut results.versions {
            version.first_id_predicted = first.remove(&version.manifest.version);
        }
        results
    }
}
