//! Everything a run needs, checked before anything starts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use weir_agent::{AnySampler, Timing, at_hand, replay, simulate};
use weir_events::Schema;
use weir_host::model::{Row, Trained, Trainer};
use weir_host::training_csv::{self, TrainingSet};
use weir_service::{Clock as _, SystemClock};

use super::args::{Arguments, Scenario};

const FISHCATCH_TRAIN: &str = include_str!("../../data/fishcatch-train.csv");
const FISHCATCH_STREAM: &str = include_str!("../../data/fishcatch-stream.csv");

/// Between two measurements, as on the original's line.
const INTERVAL: Duration = Duration::from_secs(2);
/// Rows of the simulated training set.
const TRAINING_ROWS: usize = 100;

/// Checked input.
pub(crate) struct Input {
    /// The initial model.
    pub(crate) trained: Trained,
    /// What the machines send.
    pub(crate) events: AnySampler,
    /// How many measurements there are, where that is known.
    pub(crate) total: Option<u64>,
    /// Where files are written, if anywhere.
    pub(crate) out: Option<PathBuf>,
    /// Holds the carried data while it is read.
    _carried: Option<tempfile::TempDir>,
}

impl Input {
    /// Reads and checks; the training set must be one that can be fitted.
    pub(crate) fn open(
        arguments: &Arguments,
        schema: &Arc<Schema>,
        trainer: &Trainer,
    ) -> anyhow::Result<Self> {
        let out = out(arguments)?;
        let timing = Timing { start: arguments.start, interval: INTERVAL, lead: arguments.lead };
        let clocks = replay::Clocks { timing, now: SystemClock.now() };
        let carried = carried(arguments)?;
        let train =
            arguments.train.clone().or_else(|| Some(carried.as_ref()?.path().join("train.csv")));
        let training = match train {
            Some(path) => training_csv::read(&path, schema)?,
            None => simulated_training(arguments.seed),
        };
        let trained = trainer.train(&training.rows, training.left_out)?;
        let (events, total): (AnySampler, _) =
            match (&arguments.measurements, &arguments.weights, &carried) {
                (Some(measurements), Some(weights), _) => {
                    let text = std::fs::read(measurements)
                        .with_context(|| format!("read {}", measurements.display()))?;
                    let total = lines(&text);
                    if total == 0 {
                        bail!("use {}: it has no line", measurements.display());
                    }
                    (at_hand(replay::lines(measurements, weights, schema, clocks)?), Some(total))
                }
                (_, _, Some(folder)) => {
                    let stream = folder.path().join("stream.csv");
                    let total = lines(FISHCATCH_STREAM.as_bytes()).saturating_sub(1);
                    (at_hand(replay::table(&stream, schema, clocks)?), Some(total))
                }
                _ => {
                    let events = simulate::simulate(arguments.seed, Some(arguments.events), timing);
                    (at_hand(events), Some(arguments.events))
                }
            };
        Ok(Self { trained, events, total, out, _carried: carried })
    }
}

/// Lines that are not blank.
fn lines(text: &[u8]) -> u64 {
    text.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count() as u64
}

/// The real data that come with the program, as files.
fn carried(arguments: &Arguments) -> anyhow::Result<Option<tempfile::TempDir>> {
    if arguments.scenario != Scenario::Fishcatch {
        return Ok(None);
    }
    let write = || -> std::io::Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("train.csv"), FISHCATCH_TRAIN)?;
        std::fs::write(folder.path().join("stream.csv"), FISHCATCH_STREAM)?;
        Ok(folder)
    };
    write().map(Some).context("write the carried data to a temporary folder")
}

fn simulated_training(seed: u64) -> TrainingSet {
    let row = |fish: simulate::Fish| Row {
        id: fish.id.to_string(),
        features: vec![fish.length.to_f64(), fish.height.to_f64()],
        level: Some(fish.species.into()),
        target: fish.weight.to_f64(),
    };
    let rows = simulate::training_set(seed, TRAINING_ROWS).into_iter().map(row).collect();
    TrainingSet { rows, left_out: 0 }
}

/// The folder for files, made and tried.
fn out(arguments: &Arguments) -> anyhow::Result<Option<PathBuf>> {
    let folder = match (&arguments.out, arguments.json) {
        (Some(folder), _) => folder.clone(),
        (None, Some(_)) => return Ok(None),
        (None, None) => PathBuf::from("weir-out"),
    };
    let try_out = |folder: &Path| -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        tempfile::tempfile_in(folder).map(drop)
    };
    try_out(&folder)
        .with_context(|| format!("write to the folder {} (--out)", folder.display()))?;
    Ok(Some(folder))
}
