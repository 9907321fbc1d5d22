//! Watches a run as any consumer could: by reading the topics.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::sync::oneshot;
use weir_events::{Missing, Outcome, Schema, TopicNames, headers};
use weir_host::http::seen;
use weir_kafka::{Consumer, ConsumerEvent, KafkaConfig, Progress, Record};
use weir_registry::{Accepted, Log};
use weir_view::{Change, Picture, Results};

use super::live::Live;

/// The observer's name in the ledger.
pub(crate) const NAME: &str = "weir-demo";

/// What was read so far.
pub(crate) struct Observer {
    reader: Consumer,
    picture: Picture,
    live: Live,
    out: Option<PathBuf>,
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
        Ok(Self { reader, picture: Picture::whole(schema, topics, models), live, out })
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
        Ok(self.picture.into_results())
    }

    fn observe(&mut self, record: &Record) -> anyhow::Result<()> {
        match self.picture.apply(&seen(record))? {
            Change::Predicted(Outcome::Missing(Missing::UnseenLevel), level) => {
                self.live.unseen(level.as_deref().unwrap_or_default());
            }
            Change::Joined(error) => self.live.joined(error),
            Change::Window(window) => self.live.window(&window),
            Change::Version(accepted) => self.version(&accepted)?,
            Change::Nothing
            | Change::Predicted(..)
            | Change::Unjoined(_)
            | Change::Triggered(_) => {}
            Change::DeadLetter => {
                let reason = record.header(headers::REASON).unwrap_or("unknown");
                self.live.dead_letter(reason, record.header(headers::DETAIL).unwrap_or_default());
            }
        }
        Ok(())
    }

    fn version(&mut self, accepted: &Accepted) -> anyhow::Result<()> {
        let Accepted { manifest, bytes, .. } = accepted;
        if let Some((folder, bytes)) = self.out.as_ref().zip(bytes.as_ref()) {
            let file = folder.join(format!("{}.wasm", manifest.version));
            std::fs::write(&file, bytes).with_context(|| format!("write {}", file.display()))?;
        }
        self.live.version(manifest);
        Ok(())
    }
}
