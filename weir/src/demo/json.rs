//! The run as one JSON object, for programs.

use serde_json::{Map, Value, json};

use super::args::Json;
use weir_view::{Predicted, Results, Version};

/// The object that `--json` prints.
pub(crate) fn object(results: &Results, how: Json) -> Value {
    let counts = &results.counts;
    let windows: Vec<Value> = results
        .windows
        .iter()
        .map(|window| {
            json!({
                "start": window.start,
                "end": window.end,
                "n": window.rows,
                "mean_error": window.mean_error,
                "triggered": window.triggered,
            })
        })
        .collect();
    let mut object = json!({
        "sent": counts.sent,
        "bridged": counts.bridged,
        "predicted": counts.predicted,
        "unseen_level": counts.unseen_level,
        "joined": counts.joined,
        "unmatched": counts.unmatched,
        "late": counts.late,
        "duplicates": counts.duplicates,
        "dead_lettered": counts.dead_lettered,
        "windows": windows,
        "versions": results.versions.iter().map(version).collect::<Vec<_>>(),
    });
    if how == Json::Full {
        object["predictions"] = results.predictions.iter().map(prediction).collect();
    }
    object
}

fn version(version: &Version) -> Value {
    let manifest = &version.manifest;
    let coefficients: Map<String, Value> = manifest
        .coefficients
        .iter()
        .map(|term| (term.name.clone(), json!(term.estimate)))
        .collect();
    json!({
        "version": manifest.version,
        "digest": manifest.digest,
        "model_time": manifest.model_time,
        "rows": {
            "first_id": manifest.rows.first_id,
            "last_id": manifest.rows.last_id,
            "n": manifest.rows.n,
        },
        "species": manifest.levels,
        "coefficients": coefficients,
        "r_squared": manifest.metrics.r_squared,
        "retrain_ms": manifest.retrain_ms,
        "first_id_predicted": version.first_id_predicted,
    })
}

fn prediction(prediction: &Predicted) -> Value {
    json!({
        "id": prediction.id,
        "predicted": prediction.predicted,
        "actual": prediction.actual,
        "error": prediction.error,
        "version": prediction.version,
    })
}
