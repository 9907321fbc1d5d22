//! Charts, drawn when somebody looks, and kept until something changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use weir_view::chart::{self, Theme};

use super::fault::Fault;
use super::{App, Shared};

/// Which chart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind {
    Errors,
    Pairs,
    Levels,
}

type Drawn = HashMap<(Kind, bool), (u64, Arc<str>)>;

/// The charts that were drawn last.
#[derive(Default)]
pub(super) struct Charts(Mutex<Drawn>);

#[derive(Deserialize)]
pub(super) struct Look {
    #[serde(default)]
    dark: bool,
}

/// `GET /charts/{name}`
pub(super) async fn get(
    State(app): Shared,
    Path(name): Path<String>,
    Query(look): Query<Look>,
) -> Result<Response, Fault> {
    let kind = match &*name {
        "errors.svg" => Kind::Errors,
        "pairs.svg" => Kind::Pairs,
        "levels.svg" => Kind::Levels,
        _ => {
            let detail = "there are errors.svg, pairs.svg and levels.svg";
            return Err(Fault::new(StatusCode::NOT_FOUND, "unknown-chart", detail));
        }
    };
    let drawn = tokio::task::spawn_blocking(move || svg(&app, kind, look.dark));
    let svg = drawn.await.map_err(|error| Fault::internal(&error.into()))?;
    let kind = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "no-cache")];
    Ok((kind, svg.to_string()).into_response())
}

fn svg(app: &App, kind: Kind, dark: bool) -> Arc<str> {
    // Held while it is drawn: who asks for the same meanwhile gets it too.
    let mut drawn = app.charts.0.lock().unwrap_or_else(PoisonError::into_inner);
    let number = app.watch.number();
    if let Some((_, svg)) = drawn.get(&(kind, dark)).filter(|(known, _)| *known == number) {
        return Arc::clone(svg);
    }
    let results = app.watch.view().picture.results().clone();
    let (events, threshold) = (&results.predictions, app.config.window.threshold);
    let theme = if dark { Theme::Dark } else { Theme::Light };
    let svg: Arc<str> = match kind {
        Kind::Errors => chart::svg(&results, threshold, theme),
        Kind::Pairs => chart::pairs(events, &app.schema.target, theme),
        Kind::Levels => chart::levels(events, threshold, theme),
    }
    .into();
    drawn.insert((kind, dark), (number, Arc::clone(&svg)));
    svg
}
