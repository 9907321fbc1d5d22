//! How a version does on rows that it was not trained with: through the component that serves, in the runtime that serves.

use std::collections::BTreeSet;

use weir_events::{Schema, relative_error};
use weir_registry::{Accepted, HoldOut};
use weir_runtime::{CallError, Model};

use super::training::{Row, Trained, Trainer, digest};

/// Compares a version with the champion. None without rows.
///
/// # Errors
/// If the new component fails. A champion that does not load, or fails, is no measure.
pub fn compare(
    trainer: &Trainer,
    trained: &Trained,
    champion: Option<&Accepted>,
    rows: &[Row],
) -> Result<Option<HoldOut>, CallError> {
    if rows.is_empty() {
        return Ok(None);
    }
    let schema = trainer.schema();
    let of_champion = |champion: &Accepted| {
        let model = trainer.runtime().load(champion.bytes.as_ref()?).ok()?;
        mean_error(&model, schema, rows).ok()
    };
    Ok(Some(HoldOut {
        n: rows.len() as u64,
        digest: digest(rows),
        error: mean_error(&trained.model, schema, rows)?,
        champion: champion.map(|champion| champion.manifest.version),
        champion_error: champion.and_then(of_champion),
    }))
}

/// The mean relative error of a model on rows, as the detectors measure it. A row that it has no answer to counts as 1.
///
/// # Errors
/// If the component fails.
fn mean_error(model: &Model, schema: &Schema, rows: &[Row]) -> Result<f64, CallError> {
    let columns = 0..schema.features.len();
    let features: Vec<f64> =
        columns.flat_map(|column| rows.iter().map(move |row| row.features[column])).collect();
    let levels = &model.description().levels;
    let code = |row: &Row| {
        let level = row.level.as_deref().unwrap_or_default();
        let found = levels.iter().position(|known| known == level);
        found.and_then(|code| u32::try_from(code).ok()).unwrap_or(u32::MAX)
    };
    let codes: Vec<u32> =
        if levels.is_empty() { Vec::new() } else { rows.iter().map(code).collect() };
    let predictions = model.predictor().predict(&features, &codes)?;
    let missing: BTreeSet<u32> =
        predictions.unseen_level.iter().chain(&predictions.not_finite).copied().collect();
    let errors = rows.iter().zip(&predictions.values).zip(0..).map(|((row, predicted), at)| {
        if missing.contains(&at) { 1.0 } else { relative_error(*predicted, row.target) }
    });
    #[expect(clippy::cast_precision_loss, reason = "few rows")]
    Ok(errors.sum::<f64>() / rows.len() as f64)
}
