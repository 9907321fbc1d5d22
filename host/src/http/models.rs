//! Versions: what is known of each, and what operators ask for.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use weir_events::ModelVersion;
use weir_registry::{Accepted, Action};
use weir_view::show;

use super::fault::{Fault, Unfound, Unwritten};
use super::guard::Operator;
use super::{App, Shared};
use crate::model::{Answered, Asking, ask};

/// Versions in one list.
const LISTED_MAX: usize = 200;
/// How long the trainer is waited for.
const PATIENCE: Duration = Duration::from_secs(25);
/// The longest reason.
const REASON_CHARS_MAX: usize = 500;

/// The versions of the model, newest first.
///
/// `Serving` is the version that this host predicts with; `Champion` the one that the trainer wants served.
#[utoipa::path(
    get, path = "/models", tag = "models",
    responses(
        (status = 200, description = "versions with everything that is known of them", body = Object),
        (status = 429, description = "too many requests", content_type = "application/problem+json", body = Fault),
    )
)]
pub(super) async fn list(State(app): Shared) -> Json<Value> {
    let serving = app.slot.version().map(|model| model.version);
    let view = app.watch.view();
    let log = view.picture.log();
    let number = |accepted: Option<&Accepted>| accepted.map(|it| it.manifest.version);
    let versions: Vec<_> =
        log.versions().rev().take(LISTED_MAX).map(|it| Arc::clone(&it.manifest)).collect();
    let (champion, challenger) = (number(log.champion()), number(log.challenger()));
    drop(view);
    Json(json!({
        "Model": app.config.train.model, "Serving": serving, "Champion": champion,
        "Challenger": challenger, "Versions": versions,
    }))
}

/// One version: its manifest.
#[utoipa::path(
    get, path = "/models/{version}", tag = "models",
    params(("version" = u64, Path, description = "its number", minimum = 1)),
    responses(
        (status = 200, description = "everything that is known of it", body = Object),
        Unfound,
    )
)]
pub(super) async fn inspect(
    State(app): Shared,
    version: Result<Path<u64>, PathRejection>,
) -> Result<Json<Value>, Fault> {
    let version = find(&app, version?.0)?;
    let manifest = serde_json::to_value(&*version.manifest);
    manifest.map(Json).map_err(|error| Fault::internal(&error.into()))
}

/// One version: its card, for people.
#[utoipa::path(
    get, path = "/models/{version}/card", tag = "models",
    params(("version" = u64, Path, description = "its number", minimum = 1)),
    responses(
        (status = 200, description = "the card", content_type = "text/markdown", body = String),
        Unfound,
    )
)]
pub(super) async fn card(
    State(app): Shared,
    version: Result<Path<u64>, PathRejection>,
) -> Result<Response, Fault> {
    let card = find(&app, version?.0)?.manifest.to_markdown();
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], card).into_response())
}

/// One version: its component, to be run by any host of the contract.
#[utoipa::path(
    get, path = "/models/{version}/component", tag = "models",
    params(("version" = u64, Path, description = "its number", minimum = 1)),
    responses(
        (status = 200, description = "the component", content_type = "application/wasm", body = Vec<u8>),
        Unfound,
    )
)]
pub(super) async fn component(
    State(app): Shared,
    version: Result<Path<u64>, PathRejection>,
) -> Result<Response, Fault> {
    let Path(number) = version?;
    let found = find(&app, number)?;
    let Some(bytes) = found.bytes else {
        let detail =
            format!("the component of {} is not in the topic any more", ModelVersion(number));
        return Err(Fault::new(StatusCode::NOT_FOUND, "no-component", detail));
    };
    let name = format!("attachment; filename=\"v{number}.wasm\"");
    let digest = format!("\"{}\"", found.manifest.digest);
    let headers = [
        (header::CONTENT_TYPE, "application/wasm".to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::ETAG, digest),
    ];
    Ok((headers, bytes.to_vec()).into_response())
}

fn find(app: &App, version: u64) -> Result<Accepted, Fault> {
    let view = app.watch.view();
    let found = view.picture.log().get(ModelVersion(version)).cloned();
    found.ok_or_else(|| Fault::unknown_version(version))
}

/// Why somebody asks for something.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase", default)]
pub(super) struct Why {
    /// The reason, for whoever looks later. It is kept with the version that comes of it.
    #[schema(max_length = 500)]
    reason: String,
}

/// Which earlier version is to come back, and why.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "PascalCase", default)]
pub(super) struct Back {
    /// Its number; none for the one before.
    #[schema(minimum = 1)]
    version: Option<u64>,
    /// The reason, for whoever looks later. It is kept with the version that comes of it.
    #[schema(max_length = 500)]
    reason: String,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Done {
    /// The version that came of it; none if nothing was to be done.
    version: Option<u64>,
}

/// A body that may be missing.
pub(super) struct Body<T>(T);

impl<T: Default + serde::de::DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Fault> {
        if !request.headers().contains_key(header::CONTENT_TYPE) {
            let bytes = axum::body::Bytes::from_request(request, app).await;
            let bytes = bytes.map_err(|error| {
                Fault::new(error.status(), "bad-body", show::text(&error.body_text(), 200))
            })?;
            if bytes.is_empty() {
                return Ok(Self(T::default()));
            }
            let detail = "say what the body is: Content-Type: application/json";
            return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad-body", detail));
        }
        let body: Result<Json<Option<T>>, JsonRejection> = Json::from_request(request, app).await;
        Ok(Self(body?.0.unwrap_or_default()))
    }
}

/// Trains with the newest rows.
///
/// What is trained serves when the promotion policy says so.
#[utoipa::path(
    post, path = "/train", tag = "models", security(("token" = [])),
    request_body(content = Option<Why>),
    responses(
        (status = 200, description = "done", body = Done),
        (status = 202, description = "asked for, and not answered yet", body = Object),
        Unwritten,
    )
)]
pub(super) async fn train(
    State(app): Shared,
    operator: Operator,
    Body(why): Body<Why>,
) -> Result<Response, Fault> {
    write(app, operator, Action::Retrain, why.reason).await
}

/// Puts a version into service: a challenger, or one that was refused.
#[utoipa::path(
    post, path = "/models/{version}/promote", tag = "models", security(("token" = [])),
    params(("version" = u64, Path, description = "its number", minimum = 1)),
    request_body(content = Option<Why>),
    responses(
        (status = 200, description = "done", body = Done),
        (status = 202, description = "asked for, and not answered yet", body = Object),
        Unwritten,
    )
)]
pub(super) async fn promote(
    State(app): Shared,
    version: Result<Path<u64>, PathRejection>,
    operator: Operator,
    Body(why): Body<Why>,
) -> Result<Response, Fault> {
    let version = find(&app, version?.0)?.manifest.version;
    write(app, operator, Action::Promote { version }, why.reason).await
}

/// Puts an earlier version back into service, under a new number.
#[utoipa::path(
    post, path = "/models/rollback", tag = "models", security(("token" = [])),
    request_body(content = Option<Back>),
    responses(
        (status = 200, description = "done", body = Done),
        (status = 202, description = "asked for, and not answered yet", body = Object),
        Unwritten,
    )
)]
pub(super) async fn rollback(
    State(app): Shared,
    operator: Operator,
    Body(back): Body<Back>,
) -> Result<Response, Fault> {
    let version = match back.version {
        Some(version) => Some(find(&app, version)?.manifest.version),
        None => None,
    };
    write(app, operator, Action::Rollback { version }, back.reason).await
}

/// Asks the trainer, and notes who did: also if whoever asked does not wait for the answer.
async fn write(
    app: Arc<App>,
    operator: Operator,
    action: Action,
    reason: String,
) -> Result<Response, Fault> {
    if reason.chars().count() > REASON_CHARS_MAX {
        let detail = format!("Reason is longer than {REASON_CHARS_MAX} characters");
        return Err(Fault::bad("bad-body", detail));
    }
    let asked = tokio::spawn(async move {
        let Ok(_asking) = app.asking.try_lock() else {
            let detail = "the trainer is asked for something else; wait for its answer";
            return Err(Fault::new(StatusCode::CONFLICT, "busy", detail));
        };
        let asking = Asking { action, by: operator.name, reason };
        let answered = ask(&app.config, asking.clone(), app.clock.now(), PATIENCE).await;
        let Asking { action, by, reason } = asking;
        let outcome = answered.as_ref().map_err(|error| format!("{error:#}"));
        tracing::info!(target: "weir_host::audit", by, reason, ?action, ?outcome, "asked over HTTP");
        said(answered)
    });
    asked.await.unwrap_or_else(|panicked| Err(Fault::internal(&panicked.into())))
}

fn said(answered: anyhow::Result<Answered>) -> Result<Response, Fault> {
    match answered {
        Ok(Answered::Done(version)) => {
            let version = version.map(|version| version.0);
            Ok(Json(Done { version }).into_response())
        }
        Ok(Answered::Refused(reason)) => {
            let detail = show::text(&reason, 400);
            Err(Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", detail))
        }
        Ok(Answered::NotYet(id)) => {
            let detail = "no trainer has answered yet; the request stays, and will be answered";
            let body = Json(json!({"Id": id, "Detail": detail}));
            Ok((StatusCode::ACCEPTED, body).into_response())
        }
        Err(_) => {
            let detail = "the trainer cannot be asked: Kafka does not answer";
            Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "no-kafka", detail))
        }
    }
}
