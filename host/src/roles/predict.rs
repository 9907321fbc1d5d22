//! Measurements to predictions: a batch at a time, each by exactly one model version.
//!
//! A measurement is never lost to a model: if the component fails or does not know the level, the
//! prediction says so and has no number.

use std::time::{Duration, Instant, SystemTime};

use weir_events::{EventKind, Measurement, Missing, ModelRef, Outcome, Prediction, Shadow, Source};
use weir_kafka::Record;
use weir_runtime::{Predictions, Worker};
use weir_service::crash_point;
use weir_service::traces::{Attribute, Stage};

use super::{Context, Input, Work, id_of, trace_of};
use crate::config::Role;
use crate::model::{Active, ModelSlot};
use crate::outputs::Outputs;

/// How often a model may fail on end. A machine that stood still makes the best one miss its deadline; not three times.
const ATTEMPTS: u32 = 3;

pub(crate) async fn run(context: &Context, slot: &ModelSlot) -> anyhow::Result<()> {
    tokio::select! {
        () = wait_for_model(slot) => {}
        () = context.shutdown.cancelled() => return Ok(()),
    }
    let mut workers = Workers {
        serving: Worker::new(slot.slot().clone()),
        shadow: Worker::new(slot.shadow().clone()),
        shadow_failures: 0,
        took: Vec::new(),
    };
    let mut input = context.consume(Role::Predict, &[&context.topics().measurement])?;
    while let Some(work) = input.next().await? {
        if let Work::Records(records) = work {
            batch(context, slot, &mut workers, &input, &records).await?;
        }
    }
    input.consumer.close().await;
    Ok(())
}

/// Does not consume before there is a model, and says how to make one.
async fn wait_for_model(slot: &ModelSlot) {
    const REMINDER: std::time::Duration = std::time::Duration::from_secs(30);
    while tokio::time::timeout(REMINDER, slot.current()).await.is_err() {
        if slot.version().is_some() {
            tracing::warn!("predictions wait until it is known whether there is a newer model");
        } else {
            tracing::warn!(
                "no model yet, predictions wait; make one with `weir model train --csv FILE`"
            );
        }
    }
}

async fn batch(
    context: &Context,
    slot: &ModelSlot,
    workers: &mut Workers,
    input: &Input,
    records: &[Record],
) -> anyhow::Result<()> {
    let mut outputs = Outputs::new(&context.producer);
    let began = SystemTime::now();
    let (mut measurements, mut steps) = (Vec::with_capacity(records.len()), Vec::new());
    for record in records {
        let source = Source::record(record.timestamp);
        match context.schema.decode(EventKind::Measurement, record.payload(), &source) {
            Ok(decoded) => {
                let (id, told) = (id_of(record), trace_of(record));
                measurements.push(decoded.into_measurement(id));
                steps.push((context.tracer.begin(Stage::Predict, id, told, began), record));
            }
            Err(rejection) => outputs.dead_letter(record, &rejection).await?,
        }
    }
    let predictions = predict(slot, workers, measurements);
    for (prediction, (step, _)) in predictions.iter().zip(&steps) {
        let payload = context.schema.encode_prediction(prediction);
        let Measurement { id, key, .. } = &prediction.measurement;
        outputs.event(&context.topics().prediction, key, *id, &payload, step.context()).await?;
        crash_point("predict-written");
    }
    let letters = outputs.settle().await?;
    crash_point("predict-delivered");
    for (prediction, (step, record)) in predictions.iter().zip(steps) {
        context.tracer.end(step, || attributes(prediction, record));
    }
    input.done(records);
    context.counters.count(|counts| {
        counts.done(Role::Predict, records, &letters);
        predictions.iter().for_each(|prediction| counts.predicted(prediction.outcome));
        workers.took.drain(..).for_each(|took| counts.prediction_took.add(took));
    });
    crash_point("predict-done");
    Ok(())
}

/// What a span tells of a prediction.
fn attributes(prediction: &Prediction, record: &Record) -> Vec<Attribute> {
    let ModelRef { version, digest, .. } = prediction.model;
    let outcome = match prediction.outcome {
        Outcome::Value(_) => "predicted",
        Outcome::Missing(missing) => missing.as_str(),
    };
    vec![
        ("messaging.system", "kafka".into()),
        ("messaging.operation.type", "process".into()),
        ("messaging.destination.name", (&*record.topic).into()),
        ("messaging.destination.partition.id", record.position.partition.to_string().into()),
        ("messaging.kafka.offset", record.position.offset.into()),
        ("weir.model.version", version.0.cast_signed().into()),
        ("weir.model.digest", digest.to_string().into()),
        ("weir.outcome", outcome.into()),
    ]
}

/// The version that serves, and the one beside it.
struct Workers {
    serving: Worker<Active>,
    shadow: Worker<Active>,
    /// Batches on end that the one beside has failed.
    shadow_failures: u32,
    /// How long each call of the one that serves took, since it was counted last.
    took: Vec<Duration>,
}

/// Predicts the batch with whatever model serves now, and with the one beside it.
fn predict(
    slot: &ModelSlot,
    workers: &mut Workers,
    measurements: Vec<Measurement>,
) -> Vec<Prediction> {
    let (model, outcomes) = answer(slot, &mut workers.serving, &mut workers.took, &measurements);
    let mut shadows = shadows(slot, workers, &measurements).into_iter();
    let predictions = measurements.into_iter().zip(outcomes);
    let prediction = |(measurement, outcome)| {
        let shadow = shadows.next().filter(|shadow| shadow.version != model.version);
        Prediction { measurement, outcome, model, shadow }
    };
    predictions.map(prediction).collect()
}

/// What the version that serves says. One that fails again and again on the same batch is taken out of service, and the one
/// before it answers, if there is one.
fn answer(
    slot: &ModelSlot,
    worker: &mut Worker<Active>,
    took: &mut Vec<Duration>,
    measurements: &[Measurement],
) -> (ModelRef, Vec<Outcome>) {
    let mut failures = 0;
    loop {
        let serving = worker.current().expect("a slot that has had a model keeps one");
        let active = serving.active().clone();
        let (features, codes) = columns(&inputs(measurements), &active.tag);
        let model = active.tag.model;
        let began = Instant::now();
        let answered = serving.predict(&features, &codes);
        took.push(began.elapsed());
        let error = match answered {
            Ok(predictions) => return (model, outcomes(&predictions)),
            Err(error) => error,
        };
        let (version, digest) = (model.version.0, model.digest);
        tracing::error!(%error, model.version = version, model.digest = %digest, "model failed");
        failures += 1;
        if failures == ATTEMPTS {
            if !slot.demote(&active) {
                return (model, vec![Outcome::Missing(Missing::ModelFailed); measurements.len()]);
            }
            failures = 0;
        }
    }
}

/// What the version beside the one that serves says; nothing if there is none. That it fails harms nobody.
/// One that fails again and again is not asked any more: each time may take as long as its deadline.
fn shadows(slot: &ModelSlot, workers: &mut Workers, measurements: &[Measurement]) -> Vec<Shadow> {
    let Some(serving) = workers.shadow.current() else { return Vec::new() };
    let active = serving.active().clone();
    let (features, codes) = columns(&inputs(measurements), &active.tag);
    let ModelRef { version, digest, .. } = active.tag.model;
    match serving.predict(&features, &codes) {
        Ok(predictions) => {
            workers.shadow_failures = 0;
            let shadow = |outcome: Outcome| Shadow { value: outcome.value(), version, digest };
            outcomes(&predictions).into_iter().map(shadow).collect()
        }
        Err(error) => {
            tracing::warn!(%error, model.version = version.0, model.digest = %digest, "model beside failed");
            workers.shadow_failures += 1;
            if workers.shadow_failures == ATTEMPTS {
                workers.shadow_failures = 0;
                slot.shadow().clear();
            }
            vec![Shadow { value: None, version, digest }; measurements.len()]
        }
    }
}

/// Features and level of each measurement.
fn inputs(measurements: &[Measurement]) -> Vec<(&[f64], Option<&str>)> {
    measurements.iter().map(|it| (&*it.features, it.level.as_deref())).collect()
}

/// The batch as the component takes it: features column by column, levels as codes.
pub(crate) fn columns(rows: &[(&[f64], Option<&str>)], active: &Active) -> (Vec<f64>, Vec<u32>) {
    let width = rows.first().map_or(0, |(features, _)| features.len());
    let column = |column: usize| rows.iter().map(move |(features, _)| features[column]);
    let features = (0..width).flat_map(column).collect();
    if active.codes.is_empty() {
        return (features, Vec::new());
    }
    let code = |(_, level): &(&[f64], Option<&str>)| {
        active.codes.get(level.unwrap_or_default()).copied().unwrap_or(u32::MAX)
    };
    (features, rows.iter().map(code).collect())
}

/// What the component says, row by row.
pub(crate) fn outcomes(predictions: &Predictions) -> Vec<Outcome> {
    let mut outcomes: Vec<_> = predictions.values.iter().copied().map(Outcome::Value).collect();
    let mut mark = |rows: &[u32], missing| {
        for &row in rows {
            outcomes[row as usize] = Outcome::Missing(missing);
        }
    };
    mark(&predictions.unseen_level, Missing::UnseenLevel);
    mark(&predictions.not_finite, Missing::NotFinite);
    outcomes
}
