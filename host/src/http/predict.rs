//! Predictions for whoever asks, by the component that predicts the line's events.
//!
//! The original's `GET /prediction?length=&height=&species=` with its answer `{Weight, ModelTime}`, to which ours adds
//! which version it was; and the same for many at once. What is asked here is no event: it is not recorded, joined or
//! learned from.

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use weir_events::{Missing, ModelRef, Outcome};
use weir_view::show;

use super::fault::{ECHO_CHARS_MAX, Fault, Unpredicted};
use super::{App, Shared};
use crate::model::Active;
use crate::roles::predict::{columns, outcomes};

/// Rows of one request.
const ROWS_MAX: usize = 1_000;

/// A row as it was asked: features in the order of the schema, and the level.
struct Row {
    features: Vec<f64>,
    level: Option<String>,
}

/// Predicts from one row.
///
/// The parameters are the columns of the line's formula, with or without capitals.
#[utoipa::path(
    get, path = "/prediction", tag = "predict",
    responses(
        (status = 200, description = "the prediction, and which model made it", body = Object),
        Unpredicted,
    )
)]
pub(super) async fn one(
    State(app): Shared,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Value>, Fault> {
    let Query(pairs) = query?;
    let row = row(&app, |column| {
        let mut given = pairs.iter().filter(|(name, _)| name.eq_ignore_ascii_case(column));
        let value = given.next().map(|(_, value)| Given::Text(value));
        if given.next().is_some() {
            return Err(Fault::bad("repeated-parameter", format!("{column} is given twice")));
        }
        Ok(value)
    })?;
    let target = app.schema.target.clone();
    let level = row.level.clone();
    let (model, outcomes) = predict(app, vec![row]).await?;
    match outcomes[..] {
        [Outcome::Value(value)] => {
            let mut answer = names(model);
            answer.insert(target, json!(value));
            Ok(Json(Value::Object(answer)))
        }
        [Outcome::Missing(Missing::UnseenLevel)] => {
            let level = show::text(level.as_deref().unwrap_or_default(), ECHO_CHARS_MAX);
            let detail =
                format!("{} has not seen the level \"{level}\" in training", model.version);
            Err(Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "unseen-level", detail))
        }
        _ => {
            let detail = format!("{} has no finite answer to these numbers", model.version);
            Err(Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "not-finite", detail))
        }
    }
}

/// Predicts from many rows.
///
/// The body is an array of at most 1000 objects with the columns of the line's formula. The answer has one entry for each,
/// in their order; one without a number says why.
#[utoipa::path(
    post, path = "/predict", tag = "predict",
    request_body(content = Vec<Object>, description = "rows"),
    responses(
        (status = 200, description = "the predictions, and which model made them", body = Object),
        (status = 413, description = "too long", content_type = "application/problem+json", body = Fault),
        (status = 415, description = "no JSON", content_type = "application/problem+json", body = Fault),
        Unpredicted,
    )
)]
pub(super) async fn many(
    State(app): Shared,
    body: Result<Json<Vec<Map<String, Value>>>, JsonRejection>,
) -> Result<Json<Value>, Fault> {
    let Json(objects) = body?;
    if objects.len() > ROWS_MAX {
        let detail = format!("{} rows are more than {ROWS_MAX}", objects.len());
        return Err(Fault::bad("too-many-rows", detail));
    }
    let mut rows = Vec::with_capacity(objects.len());
    for (number, object) in objects.iter().enumerate() {
        let value = |column: &str| {
            let mut given = object.iter().filter(|(name, _)| name.eq_ignore_ascii_case(column));
            Ok(given.next().map(|(_, value)| Given::Json(value)))
        };
        rows.push(row(&app, value).map_err(|fault| fault.in_row(number))?);
    }
    let target = app.schema.target.clone();
    let (model, outcomes) = predict(app, rows).await?;
    let entry = |outcome: &Outcome| match outcome {
        Outcome::Value(value) => json!({&target: value}),
        Outcome::Missing(missing) => json!({&target: null, "Reason": missing.as_str()}),
    };
    let mut answer = names(model);
    answer.insert("Predictions".into(), outcomes.iter().map(entry).collect());
    Ok(Json(Value::Object(answer)))
}

/// How an answer names its model.
fn names(model: ModelRef) -> Map<String, Value> {
    let ModelRef { version, digest, time } = model;
    let names = [
        ("ModelTime", json!(time)),
        ("ModelVersion", json!(version)),
        ("ModelDigest", json!(digest)),
    ];
    names.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A value as somebody wrote it.
enum Given<'a> {
    Text(&'a str),
    Json(&'a Value),
}

/// Reads a row by the schema: what the bridge would refuse of a measurement is refused here.
fn row<'a>(
    app: &App,
    value: impl Fn(&str) -> Result<Option<Given<'a>>, Fault>,
) -> Result<Row, Fault> {
    let mut features = Vec::with_capacity(app.schema.features.len());
    for column in &app.schema.features {
        let Some(given) = value(column)? else {
            return Err(Fault::bad("missing-number", format!("{column} is missing")));
        };
        let number = match given {
            Given::Text(text) => text.parse().ok(),
            Given::Json(json) => json.as_f64(),
        };
        let Some(number) = number.filter(|number: &f64| number.is_finite()) else {
            let given = match given {
                Given::Text(text) => show::text(text, ECHO_CHARS_MAX),
                Given::Json(json) => show::text(&json.to_string(), ECHO_CHARS_MAX),
            };
            return Err(Fault::bad("bad-number", format!("{column} is no finite number: {given}")));
        };
        if !app.schema.range(column).contains(number) {
            let detail = format!("{column} is out of the range of the schema: {number}");
            return Err(Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "out-of-range", detail));
        }
        features.push(number);
    }
    let level = match app.schema.factor.as_deref() {
        None => None,
        Some(factor) => match value(factor)? {
            None => return Err(Fault::bad("missing-level", format!("{factor} is missing"))),
            Some(Given::Text(text)) => Some(text.to_owned()),
            Some(Given::Json(Value::String(text))) => Some(text.clone()),
            Some(Given::Json(_)) => {
                return Err(Fault::bad("bad-level", format!("{factor} is no text")));
            }
        },
    };
    Ok(Row { features, level })
}

/// Predicts with whatever serves now. That it fails here takes no version out of service: that is for events to decide.
async fn predict(app: Arc<App>, rows: Vec<Row>) -> Result<(ModelRef, Vec<Outcome>), Fault> {
    let predicted = tokio::task::spawn_blocking(move || {
        let mut worker = app.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(serving) = worker.current() else { return Err(Fault::no_model()) };
        let active = Arc::clone(serving.active());
        let Active { model, .. } = &active.tag;
        if rows.is_empty() {
            return Ok((*model, Vec::new()));
        }
        let given = rows.iter().map(|row| (&*row.features, row.level.as_deref()));
        let (features, codes) = columns(&given.collect::<Vec<_>>(), &active.tag);
        match serving.predict(&features, &codes) {
            Ok(predictions) => Ok((*model, outcomes(&predictions))),
            Err(error) => {
                tracing::error!(%error, model.version = model.version.0, "model failed a request");
                let detail = format!("{} failed; the host's log says how", model.version);
                Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "model-failed", detail))
            }
        }
    });
    predicted.await.unwrap_or_else(|panicked| Err(Fault::internal(&panicked.into())))
}
