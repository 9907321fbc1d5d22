//! The model in service: follows the topic of models and swaps.
//!
//! A new version is loaded, checked and tested while the old one serves, and takes over between two
//! batches. A version that fails is passed over: the old one stays.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::sync::watch;
use weir_events::{ModelRef, Schema};
use weir_kafka::{Consumer, ConsumerEvent, KafkaConfig, Progress};
use weir_registry::{Candidate, Log};
use weir_runtime::{Runtime, Slot};
use weir_service::crash_point;

use super::candidate;
use super::catalog::{Chain, apply};

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
}

/// Holds the model in service, and tells when there is one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ModelSlot {
    slot: Arc<Slot<Active>>,
    ready: watch::Sender<bool>,
}

impl Default for ModelSlot {
    fn default() -> Self {
        Self { slot: Arc::new(Slot::empty()), ready: watch::Sender::new(false) }
    }
}

impl ModelSlot {
    /// The slot for workers.
    pub fn slot(&self) -> &Arc<Slot<Active>> {
        &self.slot
    }

    /// Waits until there is a model.
    pub async fn ready(&self) {
        let mut ready = self.ready.subscribe();
        // The sender lives in self: the wait ends only with a model.
        drop(ready.wait_for(|ready| *ready).await);
    }

    fn serve(&self, candidate: &Candidate, model: weir_runtime::Model) {
        let levels = &model.description().levels;
        let codes =
            levels.iter().zip(0..).map(|(level, code)| (level.as_str().into(), code)).collect();
        let active = Active { model: candidate.manifest.model_ref(), codes };
        self.slot.store(Arc::new(weir_runtime::Active { model, tag: active }));
        self.ready.send_replace(true);
    }
}

/// Keeps the newest version of a model in the slot. Ends only with an error.
///
/// # Errors
/// If Kafka cannot be reached, the topic does not exist or reading fails for good.
pub async fn follow(
    kafka: KafkaConfig,
    topic: String,
    model: &str,
    runtime: Runtime,
    schema: Arc<Schema>,
    slot: ModelSlot,
    progress: Progress,
) -> anyhow::Result<()> {
    let opened = tokio::task::spawn_blocking(move || {
        let ends = Consumer::ends(&kafka, &topic)?;
        let reader = Consumer::reader(&kafka, FOLLOWER, &[topic.as_str()], progress)?;
        Ok::<_, weir_kafka::KafkaError>((ends, reader))
    });
    let (ends, mut reader) = opened.await.context("wait for Kafka")??;
    let history = ends.iter().map(|&(_, end)| end).max().unwrap_or(0);
    let mut log = Log::new(model);
    let mut candidates = VecDeque::new();
    while let Some(event) = reader.next().await {
        let records = match event {
            ConsumerEvent::Records(records) => records,
            ConsumerEvent::Assignment(_) => continue,
            ConsumerEvent::Failed(reason) => bail!("follow the models: {reason}"),
        };
        candidates.extend(records.iter().filter_map(|record| apply(&mut log, record)));
        candidates.drain(..candidates.len().saturating_sub(CANDIDATES_MAX));
        let Some(last) = records.last() else { continue };
        let next = last.position.offset + 1;
        if next < history {
            // A host that starts must not predict with a version that is long out of service.
            continue;
        }
        // Of several versions only the newest serves; an older one if the newest is unfit.
        while let Some(candidate) = candidates.pop_back() {
            if take(&candidate, &runtime, &schema, &slot).await {
                candidates.clear();
            }
        }
        reader.done(&last.topic, last.position.partition, next, None);
    }
    bail!("follow the models: the reader has ended")
}

/// Loads, checks and swaps. False if the candidate is unfit.
async fn take(
    candidate: &Candidate,
    runtime: &Runtime,
    schema: &Arc<Schema>,
    slot: &ModelSlot,
) -> bool {
    let (runtime, schema) = (runtime.clone(), Arc::clone(schema));
    let (bytes, golden) = (Arc::clone(&candidate.bytes), candidate.manifest.golden.clone());
    let loaded = tokio::task::spawn_blocking(move || {
        let model = runtime.load(&bytes).map_err(|error| Chain(&error).to_string())?;
        candidate::check(&model, &schema, &golden).map_err(|error| Chain(&error).to_string())?;
        Ok::<_, String>(model)
    });
    let version = candidate.manifest.version.0;
    let digest = candidate.manifest.digest;
    match loaded.await.unwrap_or_else(|panicked| Err(panicked.to_string())) {
        Ok(model) => {
            crash_point("model-checked");
            slot.serve(candidate, model);
            crash_point("model-serves");
            tracing::info!(model.version = version, model.digest = %digest, "model serves");
            true
        }
        Err(error) => {
            tracing::error!(
                model.version = version, model.digest = %digest, error,
                "model is unfit and does not serve; the one before it stays"
            );
            false
        }
    }
}
