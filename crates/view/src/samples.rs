//! Runs made up for the tests of whoever shows one.

use weir_events::{Digest, EventTime, Key, ModelVersion, WindowClosed, relative_error};
use weir_registry::{Cause, Coefficient, Manifest, Metrics, Stage, TrainingRows};

use crate::results::{Counts, Predicted, Results, Version};

/// Two seconds apart, from 08:00:36 on: twelve of them are in the first minute.
fn measured_at(number: u64) -> EventTime {
    let start: EventTime = "2026-01-05T08:00:34Z".parse().expect("a time");
    start.plus(std::time::Duration::from_secs(2 * number))
}

/// One event that was joined ten seconds later, and whose error is this one.
pub fn event(number: u64, level: &str, version: u64, error: Option<f64>) -> Predicted {
    let actual = 4.0;
    Predicted {
        id: Key::new(&number.to_string()).expect("not empty"),
        measured_at: measured_at(number),
        joined_at: Some(measured_at(number)),
        level: Some(level.into()),
        predicted: error.map(|error| actual * (1.0 + error)),
        actual: Some(actual),
        error: error.map(|error| relative_error(actual * (1.0 + error), actual)),
        version: ModelVersion(version),
        shadow: None,
    }
}

/// A version with the coefficients of R for the salmon and walleye.
pub fn version(number: u64, rows: Option<(u64, u64)>) -> Version {
    let coefficient = |(name, estimate): (&str, f64)| Coefficient {
        name: name.to_owned(),
        estimate: Some(estimate),
        std_error: Some(0.1),
    };
    let (first, last) = rows.unwrap_or((1, 100));
    let mut terms = vec![("(Intercept)", 0.6116), ("Length", 0.0483), ("Height", -0.01387)];
    let mut levels = vec!["salmon".to_owned()];
    if rows.is_some() {
        terms.push(("Specieswalleye", -2.0057));
        levels.push("walleye".to_owned());
    }
    let digest = Digest::of(&number.to_be_bytes());
    let manifest = Manifest {
        model: "weight".to_owned(),
        version: ModelVersion(number),
        digest,
        size: 80_000,
        model_time: measured_at(last),
        stage: Stage::Champion,
        created: measured_at(last),
        expires: None,
        parent: None,
        source: None,
        template: Digest::of(b"template"),
        formula: "Weight ~ Length + Height + Species".to_owned(),
        cause: rows.map_or_else(Cause::file, |_| Cause::trigger(&format!("window-error/{number}"))),
        rows: TrainingRows {
            first_id: first.to_string(),
            last_id: last.to_string(),
            n: last - first + 1,
            left_out: 0,
            ids: Vec::new(),
            times: None,
            selection: None,
            digest: Digest::of(b"rows"),
        },
        levels,
        coefficients: terms.into_iter().map(coefficient).collect(),
        metrics: Metrics {
            r_squared: Some(0.9819),
            adj_r_squared: Some(0.9807),
            sigma: Some(0.1419),
            df_residual: 46,
        },
        hold_out: None,
        probation: None,
        golden: Vec::new(),
        retrain_ms: 12.34,
    };
    let first_id_predicted = None;
    Version { manifest, first_id_predicted }
}

/// The one-minute windows over these events; the last stays open.
fn windows(predictions: &[Predicted]) -> Vec<WindowClosed> {
    let minute = std::time::Duration::from_secs(60);
    let start = |event: &Predicted| event.joined_at.expect("joined").window_start(minute);
    let mut windows: Vec<WindowClosed> = predictions
        .chunk_by(|one, other| start(one) == start(other))
        .map(|events| {
            let errors: Vec<f64> = events.iter().filter_map(|event| event.error).collect();
            let mean_error = errors.iter().sum::<f64>() / errors.len() as f64;
            let (start, rows) = (start(&events[0]), errors.len() as u64);
            let triggered = mean_error > 0.15;
            WindowClosed { start, end: start.plus(minute), rows, mean_error, triggered }
        })
        .collect();
    windows.pop();
    windows
}

/// Salmon, then walleye that the first version does not know, then salmon: 180 events.
pub fn salmon_walleye_salmon() -> Results {
    let predictions: Vec<Predicted> = (1..=180)
        .map(|number| {
            let (level, scale) = match number {
                61..=77 => ("walleye", 0.9),
                78..=120 => ("walleye", 0.05),
                1..=60 => ("salmon", 0.02),
                _ => ("salmon", 0.04),
            };
            let version = 1 + u64::from(number >= 78) + u64::from(number >= 108);
            // From 0.5 to 1.5 times the scale, in no visible order.
            let spread = 0.5 + ((number * 37) % 61) as f64 / 60.0;
            event(number, level, version, Some(scale * spread))
        })
        .collect();
    run(predictions, &[None, Some((24, 73)), Some((54, 103))])
}

/// These events and versions; each version has the rows it was retrained with.
pub fn run(predictions: Vec<Predicted>, rows: &[Option<(u64, u64)>]) -> Results {
    let joined = predictions.len() as u64;
    let counts = Counts {
        sent: 2 * joined,
        bridged: 2 * joined,
        predicted: joined,
        joined,
        ..Counts::default()
    };
    let versions = (1..).zip(rows).map(|(number, rows)| {
        let first = predictions.iter().find(|event| event.version == ModelVersion(number));
        Version {
            first_id_predicted: first.map(|event| event.id.clone()),
            ..version(number, *rows)
        }
    });
    Results { counts, windows: windows(&predictions), versions: versions.collect(), predictions }
}

/// A long run, of this many events and two levels.
pub fn long(events: u64) -> Results {
    let predictions: Vec<Predicted> = (1..=events)
        .map(|number| {
            let phase = number * 4 / events.max(1);
            let spread = 0.5 + ((number * 7_919) % 1_009) as f64 / 1_008.0;
            let (level, scale) = if (number * 31) % 7 < 2 * phase {
                ("walleye", if phase == 1 { 0.8 } else { 0.06 })
            } else {
                ("salmon", 0.03)
            };
            event(number, level, 1 + u64::from(phase > 1), Some(scale * spread))
        })
        .collect();
    run(predictions, &[None, Some((events / 2 - 49, events / 2))])
}
