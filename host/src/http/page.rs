//! The page: what an operator looks at, and where they act.
//!
//! It is made here, whole, and its parts again whenever something has changed; the script only fetches and puts in
//! place. So it can be read without any script, and nothing of it is built.

mod lists;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};
use weir_events::ModelVersion;
use weir_registry::{Accepted, CauseKind, Manifest, Stage};
use weir_view::{Picture, Predicted, show};

use super::fault::Fault;
use super::watch::View;
use super::{App, Shared};

/// What the page may load, and from where: nothing but its own files.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("assets/weir.css");
const SCRIPT: &str = include_str!("assets/weir.js");

/// Versions in the table.
const VERSIONS_SHOWN: usize = 25;
/// Events over which the error of now is taken.
const LATEST: usize = 50;

/// `GET /`
pub(super) async fn whole(State(app): Shared) -> Html<String> {
    let model = show::text(&app.config.train.model, 40);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Weir: " (model) }
                link rel="stylesheet" href="/assets/weir.css";
                link rel="icon" href="/assets/weir.svg" type="image/svg+xml";
                script src="/assets/weir.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    h1 { "Weir" span.quiet { " " (model) } }
                    code.formula { (show::text(&app.schema.formula(), 120)) }
                    nav aria-label="Other views" {
                        a href="/swagger/" { "Interface" }
                        a href="/models" { "JSON" }
                    }
                    span #line role="status" { "not live: the page needs its script to follow events" }
                }
                main #main { (parts_of(&app)) }
                (dialog())
            }
        }
    };
    Html(page.into_string())
}

/// `GET /page`: what changes.
pub(super) async fn parts(State(app): Shared) -> Html<String> {
    Html(parts_of(&app).into_string())
}

/// `GET /assets/{name}`
pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, Fault> {
    let (kind, text) = match &*name {
        "weir.css" => ("text/css; charset=utf-8", STYLE),
        "weir.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "weir.svg" => ("image/svg+xml", ICON),
        _ => {
            let detail = "there is no such file";
            return Err(Fault::new(StatusCode::NOT_FOUND, "unknown-path", detail));
        }
    };
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, text).into_response())
}

/// Water over a weir.
const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\"><rect width=\"16\" height=\"16\" rx=\"3\" \
     fill=\"#0072b2\"/><path d=\"M2 5h5c3 0 2 7 7 7\" fill=\"none\" stroke=\"#fff\" stroke-width=\"2.2\"/></svg>";

fn parts_of(app: &Arc<App>) -> Markup {
    let number = app.watch.number();
    let serving = app.slot.version().map(|model| model.version);
    let view = app.watch.view();
    let picture = &view.picture;
    html! {
        @if let Some(trouble) = &view.trouble {
            p.alarm role="alert" { "Nothing new is read: " (show::text(trouble, 300)) }
        }
        @if serving.is_none() && picture.log().champion().is_none() {
            p.note {
                "There is no model yet, and predictions wait. Make one: "
                code { "weir model train --csv train.csv" }
            }
        }
        (cards(app, &view, serving))
        section aria-labelledby="errors" {
            h2 #errors { "Error over events" }
            (chart("errors", "Relative error of each event with the threshold, windows, swaps and training rows", number, 1200, 620))
        }
        div.pair {
            section aria-labelledby="pairs" {
                h2 #pairs { "Predicted against measured" }
                (chart("pairs", "Predicted against measured values, by level", number, 590, 420))
            }
            section aria-labelledby="levels" {
                h2 #levels { "Error by " (app.schema.factor.as_deref().map_or("level".to_owned(), |factor| show::text(factor, 30))) }
                (chart("levels", "Spread of the errors of each level", number, 590, 420))
            }
        }
        (versions(picture, serving))
        div.pair {
            (lists::stages(&view))
            (lists::letters(&view))
        }
        (lists::triggers(picture))
    }
}

/// A chart on the paper that the reader's screen has.
fn chart(name: &str, meaning: &str, number: u64, width: u32, height: u32) -> Markup {
    html! {
        picture {
            source media="(prefers-color-scheme: dark)" srcset=(format!("/charts/{name}.svg?dark=true&n={number}"));
            img src=(format!("/charts/{name}.svg?n={number}")) alt=(meaning) width=(width) height=(height);
        }
    }
}

fn cards(app: &App, view: &View, serving: Option<ModelVersion>) -> Markup {
    let picture = &view.picture;
    let results = picture.results();
    let threshold = app.config.window.threshold;
    let version = serving.and_then(|serving| picture.log().get(serving));
    let latest =
        mean(results.predictions.iter().rev().take(LATEST).filter_map(|event| event.error));
    html! {
        section.cards aria-label="Now" {
            div.card {
                span.what { "In service" }
                @match serving {
                    Some(serving) => { strong { (serving.to_string()) } }
                    None => { strong { "none" } }
                }
                @if let Some(version) = version {
                    span.quiet { (cause(&version.manifest)) }
                }
            }
            div.card {
                span.what { "Error of the last window" }
                @match results.windows.last() {
                    Some(window) => {
                        strong .bad[window.mean_error > threshold] { (format!("{:.3}", window.mean_error)) }
                        span.quiet { (show::time_of_day(window.start)) ", " (window.rows) " rows; threshold " (threshold) }
                    }
                    None => { strong { "-" } span.quiet { "no window has closed; threshold " (threshold) } }
                }
            }
            div.card {
                span.what { "Error of the last " (LATEST) " events" }
                @match latest {
                    Some(error) => { strong .bad[error > threshold] { (format!("{error:.3}")) } }
                    None => { strong { "-" } }
                }
                span.quiet { (show::count(results.counts.joined)) " joined since " (show::time_of_day(view.since)) }
            }
            (beside(picture, &results.predictions))
            div.card {
                span.what { "Not joined" }
                strong { (show::count(results.counts.unmatched + results.counts.late)) }
                span.quiet {
                    (show::count(results.counts.duplicates)) " duplicates, "
                    (show::count(results.counts.dead_lettered)) " refused"
                }
            }
        }
    }
}

/// The version that predicts beside the one in service, on the same rows.
fn beside(picture: &Picture, events: &[Predicted]) -> Markup {
    let Some(challenger) = picture.log().challenger() else { return html! {} };
    let number = challenger.manifest.version;
    let both: Vec<(f64, f64)> = events
        .iter()
        .filter_map(|event| {
            let (version, error) = event.shadow?;
            (version == number).then_some((event.error?, error?))
        })
        .collect();
    let served = mean(both.iter().map(|&(served, _)| served));
    let shadow = mean(both.iter().map(|&(_, shadow)| shadow));
    html! {
        div.card {
            span.what { "Challenger" }
            strong { (number.to_string()) }
            @match served.zip(shadow) {
                Some((served, shadow)) => span.quiet {
                    (format!("error {shadow:.3} against {served:.3}")) " on " (both.len()) " rows"
                },
                None => span.quiet { "no row is joined with both predictions yet" },
            }
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0_u32), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

/// Why a version was made, in a few words.
fn cause(manifest: &Manifest) -> String {
    let cause = &manifest.cause;
    let kind = match cause.kind {
        CauseKind::Trigger => "a detector asked for it",
        CauseKind::Retrain => "a person asked for it",
        CauseKind::Rollback => "an earlier version is back",
        CauseKind::Promotion => "promoted by a person",
        CauseKind::Comparison => "compared on the same rows",
        CauseKind::File => "made by hand",
    };
    let mut text = kind.to_owned();
    for (before, part) in [(" by ", &cause.by), (": ", &cause.reason)] {
        if let Some(part) = part.as_deref().filter(|part| !part.is_empty()) {
            text = text + before + &show::text(part, 120);
        }
    }
    if let (Some(id), None) = (&cause.id, &cause.by) {
        text = format!("{text} ({})", show::text(id, 60));
    }
    text
}

fn versions(picture: &Picture, serving: Option<ModelVersion>) -> Markup {
    let log = picture.log();
    let challenger = log.challenger().map(|it| it.manifest.version);
    let shown: Vec<&Accepted> = log.versions().rev().take(VERSIONS_SHOWN).collect();
    html! {
        section aria-labelledby="versions" {
            h2 #versions { "Versions" }
            p.actions {
                button type="button" data-act="/train" data-what="Train with the newest rows" { "Retrain" }
                button type="button" data-act="/models/rollback" data-what="Put the version before back into service" { "Roll back" }
            }
            @if shown.is_empty() {
                p.quiet { "None yet." }
            } @else {
                div.scroll tabindex="0" role="region" aria-labelledby="versions" {
                    table {
                        thead { tr {
                            th scope="col" { "Version" } th scope="col" { "Made" } th scope="col" { "Why" }
                            th.n scope="col" { "Rows" } th.n scope="col" { "R²" } th.n scope="col" { "Held out" }
                            th scope="col" { "Coefficients" } th scope="col" { span.hidden { "Actions" } }
                        } }
                        tbody {
                            @for version in shown {
                                (row(&version.manifest, serving, challenger))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn row(
    manifest: &Manifest,
    serving: Option<ModelVersion>,
    challenger: Option<ModelVersion>,
) -> Markup {
    let version = manifest.version;
    let rows = &manifest.rows;
    let is_serving = serving == Some(version);
    let stage = match manifest.stage {
        Stage::Champion if is_serving => "in service",
        Stage::Champion => "was in service",
        Stage::Challenger if challenger == Some(version) => "challenger",
        Stage::Challenger => "was challenger",
        Stage::Refused => "refused",
    };
    html! {
        tr .serving[is_serving] {
            th scope="row" {
                a href=(format!("/models/{}/card", version.0)) { (version.to_string()) }
                " " span.stage { (stage) }
                br; code.digest { (manifest.digest.short().to_string()) }
            }
            td { (show::instant(manifest.created)) }
            td { (cause(manifest)) }
            td.n { (rows.n) br; span.quiet { (show::text(&rows.first_id, 16)) "…" (show::text(&rows.last_id, 16)) } }
            td.n { (manifest.metrics.r_squared.map_or("-".to_owned(), |share| format!("{share:.4}"))) }
            td.n {
                @match &manifest.hold_out {
                    Some(held) => {
                        (format!("{:.4}", held.error))
                        @if let Some(error) = held.champion_error { br; span.quiet { (format!("champion {error:.4}")) } }
                    }
                    None => "-",
                }
            }
            td {
                details {
                    summary { (manifest.coefficients.len()) " terms" }
                    dl {
                        @for term in &manifest.coefficients {
                            dt { (show::text(&term.name, 40)) }
                            dd { (term.estimate.map_or("NA".to_owned(), show::significant)) }
                        }
                    }
                }
            }
            td { (action(manifest, is_serving)) }
        }
    }
}

/// What can be done with a version that does not serve.
fn action(manifest: &Manifest, is_serving: bool) -> Markup {
    let version = manifest.version;
    if is_serving {
        return html! {};
    }
    match manifest.stage {
        Stage::Champion => html! {
            button type="button" data-act="/models/rollback" data-version=(version.0)
                data-what=(format!("Put {version} back into service")) { "Put back" }
        },
        Stage::Challenger | Stage::Refused => html! {
            button type="button" data-act=(format!("/models/{}/promote", version.0))
                data-what=(format!("Put {version} into service")) { "Promote" }
        },
    }
}

/// Where an operator says who they are and why.
fn dialog() -> Markup {
    html! {
        dialog #act aria-labelledby="act-what" {
            form method="dialog" {
                h2 #act-what {}
                label { "Token" input #act-token type="password" name="token" autocomplete="off" required; }
                label { "Reason" input #act-reason type="text" name="reason" maxlength="500"; }
                p #act-said role="status" {}
                p.actions {
                    button #act-go type="submit" { "Do it" }
                    button #act-close type="button" { "Close" }
                }
            }
        }
    }
}
