//! What goes wrong with a request, as RFC 9457 writes it: `application/problem+json`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::{
    ContentBuilder, Ref, RefOr, Response as ResponseDescription, ResponseBuilder,
};
use utoipa::{IntoResponses, ToSchema};
use weir_view::show;

/// The most of somebody's own text that is repeated to them.
pub(super) const ECHO_CHARS_MAX: usize = 60;

/// A problem.
#[derive(Clone, Serialize, ToSchema, Debug)]
pub(super) struct Fault {
    /// What kind of problem: `urn:weir:` and a name that programs can compare.
    #[serde(rename = "type")]
    kind: String,
    /// The HTTP status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What exactly is wrong, and what to do about it.
    detail: String,
}

impl Fault {
    pub(super) fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:weir:{kind}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
        }
    }

    pub(super) fn bad(kind: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, detail)
    }

    /// The same, of one row among many; the first has the number 0.
    pub(super) fn in_row(self, number: usize) -> Self {
        Self { detail: format!("row {number}: {}", self.detail), ..self }
    }

    pub(super) fn unknown_version(version: u64) -> Self {
        let detail = format!("there is no version {version} (any more); GET /models lists them");
        Self::new(StatusCode::NOT_FOUND, "unknown-version", detail)
    }

    pub(super) fn no_model() -> Self {
        let detail = "no model serves yet; make one with `weir model train --csv FILE`";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "no-model", detail)
    }

    /// Something of ours has failed. What exactly is in the log, not in the answer.
    pub(super) fn internal(error: &anyhow::Error) -> Self {
        tracing::error!(error = format!("{error:#}"), "request failed");
        let detail = "the request could not be worked on; the host's log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// How predicting fails.
pub(super) struct Unpredicted;

/// How looking at one version fails.
pub(super) struct Unfound;

/// How asking the trainer fails.
pub(super) struct Unwritten;

impl IntoResponses for Unpredicted {
    fn responses() -> BTreeMap<String, RefOr<ResponseDescription>> {
        described(&[
            (
                "400",
                "a number or level is missing or is none, a body is no rows, or there are too many",
            ),
            ("422", "a level that the model does not know, or a number out of range"),
            ("429", "too many requests"),
            ("503", "no model, or it failed"),
        ])
    }
}

impl IntoResponses for Unfound {
    fn responses() -> BTreeMap<String, RefOr<ResponseDescription>> {
        described(&[
            ("400", "the version is no number"),
            ("404", "there is no such version, or not its component any more"),
            ("429", "too many requests"),
        ])
    }
}

impl IntoResponses for Unwritten {
    fn responses() -> BTreeMap<String, RefOr<ResponseDescription>> {
        described(&[
            ("400", "the body, or the version, is not what is asked for"),
            ("401", "no valid token"),
            ("403", "a page of another origin, or nobody may write"),
            ("404", "there is no such version"),
            ("409", "the trainer is asked for something else"),
            ("413", "the body is too long"),
            ("415", "the body is no JSON"),
            ("422", "the trainer refuses"),
            ("429", "too many requests, or wrong tokens"),
            ("503", "Kafka is away"),
        ])
    }
}

fn described(failures: &[(&str, &str)]) -> BTreeMap<String, RefOr<ResponseDescription>> {
    let failure = |(status, meaning): &(&str, &str)| {
        let fault = Ref::from_schema_name("Fault");
        let content = ContentBuilder::new().schema(Some(fault)).build();
        let response = ResponseBuilder::new().description(*meaning);
        let response = response.content("application/problem+json", content).build();
        ((*status).to_owned(), RefOr::T(response))
    };
    failures.iter().map(failure).collect()
}

impl From<QueryRejection> for Fault {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad("bad-query", show::text(&rejection.body_text(), 200))
    }
}

impl From<PathRejection> for Fault {
    fn from(rejection: PathRejection) -> Self {
        Self::bad("bad-path", show::text(&rejection.body_text(), 200))
    }
}

impl From<JsonRejection> for Fault {
    fn from(rejection: JsonRejection) -> Self {
        // Of JSON that is well-formed and not what was asked for, axum says 422; here that is for values.
        let status = match rejection.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        Self::new(status, "bad-body", show::text(&rejection.body_text(), 200))
    }
}
