//! `weir model promote`, `rollback` and `retrain`: asks the trainer, who alone can sign.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use weir_kafka::{Consumer, ConsumerEvent, NewRecord, Producer, Progress, Start};
use weir_registry::{Action, Answer, RecordKey, Request};
use weir_service::{Clock as _, SystemClock};

use crate::line::Line;
use crate::show;

/// Arguments of requests.
#[derive(clap::Args, Clone, Default, Debug)]
pub(crate) struct Asking {
    #[command(flatten)]
    line: Line,
    /// Why, for whoever looks later.
    #[arg(long, default_value = "")]
    reason: String,
    /// How long to wait for the trainer, in seconds.
    #[arg(long, default_value_t = 60)]
    timeout: u64,
}

/// Sends a request and waits for what becomes of it.
pub(super) async fn ask(asking: &Asking, action: Action) -> anyhow::Result<()> {
    let config = asking.line.load()?;
    let (kafka, models) = (config.kafka(), config.topics.models.clone());
    let opened = tokio::task::spawn_blocking(move || {
        Consumer::reader_from(&kafka, "weir-answer", &[&models], Start::Now, Progress::default())
    });
    // Before the request is sent: the answer cannot be missed.
    let mut reader = opened.await.context("wait for Kafka")??;
    let mut random = [0; 16];
    getrandom::fill(&mut random).context("draw random numbers")?;
    let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let request = Request {
        id: id.clone(),
        model: config.train.model.clone(),
        action,
        by: user().unwrap_or_else(|| "weir".into()),
        reason: asking.reason.clone(),
        timestamp: SystemClock.now(),
    };
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
    let key = RecordKey::Answer(config.train.model.clone()).to_string();
    let timeout = Duration::from_secs(asking.timeout);
    let answer = tokio::time::timeout(timeout, wait(&mut reader, &key, &id)).await;
    let Ok(answer) = answer else {
        bail!(
            "get an answer within {timeout:?}: is a host with the role train running? The request {id} stays, \
             and will be answered when one is"
        );
    };
    let mut out = std::io::stdout().lock();
    match answer? {
        Answer { refused: Some(reason), .. } => bail!("do it: {}", show::text(&reason, 400)),
        Answer { version: Some(version), .. } => writeln!(out, "{version}")?,
        Answer { version: None, .. } => writeln!(out, "nothing was to be done")?,
    }
    Ok(())
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

/// Who runs this program, by the system's word.
pub(super) fn user() -> Option<String> {
    ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok())
}
