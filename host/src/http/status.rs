//! How the line is: stages, windows, detectors.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use weir_events::{Trigger, WindowClosed};
use weir_stream::{TumblingMean, UnseenLevel};
use weir_view::Letter;

use super::Shared;
use super::fault::Fault;

/// Windows and dead letters in one list.
const LISTED_MAX: usize = 200;

/// How the line is: the version in service, counts since this host began to look, lag and rates, and what was refused.
#[utoipa::path(
    get, path = "/status", tag = "look",
    responses(
        (status = 200, description = "how the line is", body = Object),
        (status = 429, description = "too many requests", content_type = "application/problem+json", body = Fault),
    )
)]
pub(super) async fn status(State(app): Shared) -> Json<Value> {
    let serving = app.slot.version();
    let view = app.watch.view();
    let counts = view.picture.results().counts;
    let stage = |stage: &super::watch::Stage| {
        json!({
            "Role": stage.role, "Topic": stage.topic, "Lag": stage.lag,
            "RecordsPerSecond": stage.rate,
        })
    };
    let letters = view.picture.letter_counts();
    let letters =
        letters.map(|(topic, reason, n)| json!({"Topic": topic, "Reason": reason, "Count": n}));
    Json(json!({
        "Serving": serving.map(|model| json!({
            "ModelVersion": model.version, "ModelDigest": model.digest, "ModelTime": model.time,
        })),
        "Trouble": view.trouble,
        "Since": view.since,
        "Counts": {
            "Joined": counts.joined, "Unmatched": counts.unmatched, "Late": counts.late,
            "Duplicates": counts.duplicates, "DeadLettered": counts.dead_lettered,
            "Unreadable": view.unreadable,
        },
        "Stages": view.stages.iter().map(stage).collect::<Vec<_>>(),
        "DeadLetters": letters.collect::<Vec<_>>(),
        "NewestDeadLetters": view.picture.letters().take(20).map(letter).collect::<Vec<_>>(),
    }))
}

fn letter(letter: &Letter) -> Value {
    json!({
        "Topic": letter.topic, "Reason": letter.reason, "Detail": letter.detail,
        "Source": letter.source, "Timestamp": letter.at,
    })
}

/// The windows that have closed, newest first.
#[utoipa::path(
    get, path = "/windows", tag = "look",
    responses(
        (status = 200, description = "closed windows", body = Vec<Object>),
        (status = 429, description = "too many requests", content_type = "application/problem+json", body = Fault),
    )
)]
pub(super) async fn windows(State(app): Shared) -> Json<Vec<Value>> {
    let view = app.watch.view();
    let windows = view.picture.results().windows.iter().rev();
    Json(windows.take(LISTED_MAX).map(window).collect())
}

/// A window as JSON.
pub(super) fn window(window: &WindowClosed) -> Value {
    json!({
        "Start": window.start, "End": window.end, "Rows": window.rows,
        "MeanError": window.mean_error, "Triggered": window.triggered,
    })
}

/// What the detectors watch, and what they have asked for, newest first.
#[utoipa::path(
    get, path = "/drift", tag = "look",
    responses(
        (status = 200, description = "detectors and triggers", body = Object),
        (status = 429, description = "too many requests", content_type = "application/problem+json", body = Fault),
    )
)]
pub(super) async fn drift(State(app): Shared) -> Json<Value> {
    let view = app.watch.view();
    let config = &app.config;
    let last = view.picture.results().windows.last().map(window);
    let triggers: Vec<_> = view.picture.triggers().take(LISTED_MAX).map(trigger).collect();
    drop(view);
    Json(json!({
        "Detectors": [
            {"Detector": TumblingMean::NAME, "Threshold": config.window.threshold,
             "WindowSeconds": config.window.length.as_secs_f64(), "LastWindow": last},
            {"Detector": UnseenLevel::NAME, "Rows": config.unseen_level.rows},
        ],
        "Triggers": triggers,
    }))
}

/// A trigger as JSON.
pub(super) fn trigger(trigger: &Trigger) -> Value {
    json!({
        "Id": trigger.id, "Detector": trigger.detector, "Levels": trigger.levels,
        "First": trigger.first, "Last": trigger.last, "MeanError": trigger.mean_error,
        "Rows": trigger.rows, "Start": trigger.start, "End": trigger.end,
    })
}
