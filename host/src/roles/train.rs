//! Triggers to model versions, one at a time.
//!
//! A trigger names the row whose arrival caused it. Training waits until the store has that row, and
//! takes the newest rows up to and including it. A trigger whose version was published before, by a
//! run that crashed before it could say so, is passed over. The topic of triggers has one partition: of several
//! processes with this role one trains, and the others stand by.

use std::sync::Arc;
use std::time::Duration;
use weir_events::Trigger;
use weir_kafka::{Assignment, Record};
use weir_service::crash_point;

use super::{Context, Work, stands_by};
use crate::config::Role;
use crate::model::{Catalog, Row, Trainer};
use crate::outputs::Outputs;
use crate::store::{RowOrder, TrainingRow, TrainingStore};

pub(crate) async fn run(
    context: &Context,
    store: &Arc<dyn TrainingStore>,
    trainer: &Trainer,
) -> anyhow::Result<()> {
    let topics = context.topics();
    let model = &context.config.train.model;
    let producer = context.producer.clone();
    let kafka = context.kafka();
    let open = || Catalog::open(&kafka, producer.clone(), &topics.models, model);
    let mut catalog = open().await?;
    let mut input = context.consume(Role::Train, &[&topics.trigger])?;
    'work: while let Some(work) = input.next().await? {
        let records = match work {
            Work::Records(records) => records,
            Work::Assignment(Assignment::Assigned(assigned)) => {
                if !stands_by(Role::Train, &assigned) {
                    // Another process may have published meanwhile.
                    catalog = open().await?;
                }
                continue;
            }
            Work::Assignment(Assignment::Revoked(_)) => continue,
        };
        for record in &records {
            let mut outputs = Outputs::new(&context.producer);
            match context.schema.decode_trigger(record.payload()) {
                // A trigger whose training is cut off by the end comes again.
                Ok(trigger) => tokio::select! {
                    done = retrain(context, store, trainer, &mut catalog, &trigger) => done?,
                    () = context.shutdown.cancelled() => break 'work,
                },
                Err(rejection) => outputs.dead_letter(record, &rejection).await?,
            }
            outputs.settle().await?;
            crash_point("train-published");
            input.done(std::slice::from_ref::<Record>(record));
        }
    }
    input.consumer.close().await;
    Ok(())
}

async fn retrain(
    context: &Context,
    store: &Arc<dyn TrainingStore>,
    trainer: &Trainer,
    catalog: &mut Catalog,
    trigger: &Trigger,
) -> anyhow::Result<()> {
    if catalog.has_answered(&trigger.id) {
        tracing::info!(trigger = trigger.id, "retraining was done before");
        return Ok(());
    }
    let config = &context.config.train;
    if !stored(store, trigger, config.row_timeout).await? {
        let (trigger, row) = (&trigger.id, trigger.closed_by);
        tracing::error!(trigger, %row, "row was not stored in time; no retraining");
        return Ok(());
    }
    let last = RowOrder { time: trigger.closed_at, position: trigger.position };
    let stored = store.newest(config.rows, last).await?;
    let rows: Vec<Row> = stored.iter().filter_map(usable).collect();
    let left_out = (stored.len() - rows.len()) as u64;
    let fit = {
        let trainer = trainer.clone();
        tokio::task::spawn_blocking(move || trainer.train(&rows, left_out))
    };
    let trained = match fit.await? {
        Ok(trained) => trained,
        Err(error) => {
            tracing::error!(
                trigger = trigger.id,
                error = format!("{error:#}"),
                "retraining failed; the model stays"
            );
            return Ok(());
        }
    };
    let now = context.clock.now();
    let id = Some(trigger.id.clone());
    let describe = |version| trainer.manifest(&trained, &config.model, version, now, id.clone());
    crash_point("train-fitted");
    let published = catalog.publish(trained.model.bytes(), describe).await?.manifest;
    tracing::info!(
        trigger = trigger.id, model.version = published.version.0, model.digest = %published.digest,
        rows = published.rows.n, retrain_ms = published.retrain_ms, "model version published"
    );
    Ok(())
}

/// Waits for the row that caused a trigger.
async fn stored(
    store: &Arc<dyn TrainingStore>,
    trigger: &Trigger,
    timeout: Duration,
) -> anyhow::Result<bool> {
    /// The row usually is there already; a wait that grows spares a store that is slow.
    const PAUSE_MAX: Duration = Duration::from_millis(500);
    let mut pause = Duration::from_millis(2);
    let mut waited = Duration::ZERO;
    while !store.contains(trigger.closed_by).await? {
        if waited >= timeout {
            return Ok(false);
        }
        tokio::time::sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    Ok(true)
}

/// A stored row as the trainer takes it; none if a number is not finite.
fn usable(row: &TrainingRow) -> Option<Row> {
    let measurement = &row.joined.prediction.measurement;
    let finite =
        measurement.features.iter().all(|value| value.is_finite()) && row.joined.actual.is_finite();
    finite.then(|| Row {
        id: measurement.key.to_string(),
        features: measurement.features.clone(),
        level: measurement.level.clone(),
        target: row.joined.actual,
    })
}
