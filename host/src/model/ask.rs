//! What is asked of the trainer, who alone can sign: a request in one topic, its answer in another.

use std::time::Duration;

use anyhow::{Context as _, bail};
use weir_events::{EventTime, ModelVersion};
use weir_kafka::{Consumer, ConsumerEvent, NewRecord, Producer, Progress, Start};
use weir_registry::{Action, Answer, RecordKey, Request};

use crate::config::HostConfig;

/// Who asks for what, and why.
#[derive(Clone, Debug)]
pub struct Asking {
    /// What is to be done.
    pub action: Action,
    /// Who asks.
    pub by: String,
    /// Why, for whoever looks later.
    pub reason: String,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answered {
    /// It is done. The version that came of it, if one did.
    Done(Option<ModelVersion>),
    /// The trainer refuses, for this reason.
    Refused(String),
    /// There is no answer yet. The request with this id stays, and will be answered when a trainer runs.
    NotYet(String),
}

/// Sends a request, and waits for what becomes of it.
///
/// # Errors
/// If Kafka cannot be reached, or does not take the request.
pub async fn ask(
    config: &HostConfig,
    asking: Asking,
    now: EventTime,
    patience: Duration,
) -> anyhow::Result<Answered> {
    let (kafka, models) = (config.kafka(), config.topics.models.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let from = [(&*models, Start::Now)];
        Consumer::reader_from(&kafka, "weir-answer", &from, Progress::default())
    });
    // Before the request is sent: the answer cannot be missed.
    let mut reader = opened.await.context("wait for Kafka")??;
    let mut random = [0; 16];
    getrandom::fill(&mut random).context("draw random numbers")?;
    let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let Asking { action, by, reason } = asking;
    let model = config.train.model.clone();
    let request = Request { id: id.clone(), model, action, by, reason, timestamp: now };
    let producer = Producer::new(&config.kafka(), Progress::default())?;
    let payload = request.encode();
    let record = NewRecord {
        topic: &config.topics.request,
        key: Some(request.model.as_bytes()),
        payload: Some(&payload),
        headers: &[],
        timestamp: None,
    };
    producer.send_patiently(&record).await?.await.context("send the request")?;
    let key = RecordKey::Answer(request.model).to_string();
    let Ok(answer) = tokio::time::timeout(patience, wait(&mut reader, &key, &id)).await else {
        return Ok(Answered::NotYet(id));
    };
    Ok(match answer? {
        Answer { refused: Some(reason), .. } => Answered::Refused(reason),
        Answer { version, .. } => Answered::Done(version),
    })
}

async fn wait(reader: &mut Consumer, key: &str, id: &str) -> anyhow::Result<Answer> {
    loop {
        match reader.next().await {
            Some(ConsumerEvent::Records(records)) => {
                let answers = records.iter().filter(|record| record.key_text() == Some(key));
                let answers = answers
                    .filter_map(|record| serde_json::from_slice::<Answer>(record.payload()).ok());
                if let Some(answer) = answers.into_iter().find(|answer| answer.id == id) {
                    return Ok(answer);
                }
            }
            Some(ConsumerEvent::Assignment(_)) => {}
            Some(ConsumerEvent::Failed(reason)) => bail!("wait for the answer: {reason}"),
            None => bail!("wait for the answer: the reader has ended"),
        }
    }
}
