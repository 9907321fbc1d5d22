//! Everything a run needs, checked before anything starts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
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
    _carried: Option<TempDir>,
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
            None => simulated_training(arguments.seed, schema)?,
        };
        let trained = trainer.train(&training.rows, training.left_out)?;
        let (events, total) = events(arguments, schema, clocks, carried.as_ref())?;
        Ok(Self { trained, events, total, out, _carried: carried })
    }
}

/// What the machines send, and how many measurements that is.
fn events(
    arguments: &Arguments,
    schema: &Schema,
    clocks: replay::Clocks,
    carried: Option<&TempDir>,
) -> anyhow::Result<(AnySampler, Option<u64>)> {
    if let (Some(measurements), Some(weights)) = (&arguments.measurements, &arguments.weights) {
        let total = lines(measurements)?;
        if total == 0 {
            bail!("use {}: it has no line", measurements.display());
        }
        let events = replay::lines(measurements, weights, schema, clocks)?;
        return Ok((at_hand(events), Some(total)));
    }
    let carried = carried.map(|folder| folder.path().join("stream.csv"));
    if let Some(table) = arguments.csv.as_ref().or(carried.as_ref()) {
        let total = lines(table)?.saturating_sub(1);
        if total == 0 {
            bail!("use {}: it has no row below a header", table.display());
        }
        return Ok((at_hand(replay::table(table, schema, clocks)?), Some(total)));
    }
    simulated(schema)?;
    let events = simulate::simulate(arguments.seed, Some(arguments.events), clocks.timing);
    Ok((at_hand(events), Some(arguments.events)))
}

/// How many lines of a file are not blank.
fn lines(path: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let blank = |line: &[u8]| line.trim_ascii().is_empty();
    Ok(text.split(|&byte| byte == b'\n').filter(|line| !blank(line)).count() as u64)
}

/// The real data that come with the program, as files.
fn carried(arguments: &Arguments) -> anyhow::Result<Option<TempDir>> {
    if arguments.scenario != Scenario::Fishcatch {
        return Ok(None);
    }
    let write = || -> std::io::Result<TempDir> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("train.csv"), FISHCATCH_TRAIN)?;
        std::fs::write(folder.path().join("stream.csv"), FISHCATCH_STREAM)?;
        Ok(folder)
    };
    write().map(Some).context("write the carried data to a temporary folder")
}

/// Whether the simulator has what the schema asks for; it knows nothing but fish.
fn simulated(schema: &Schema) -> anyhow::Result<()> {
    let fits = schema.target == "Weight"
        && schema.features.iter().all(|name| ["Length", "Height"].contains(&name.as_str()))
        && schema.factor.as_ref().is_none_or(|name| name == "Species")
        && schema.key == ["Fish_Id"]
        && schema.timestamp == "Timestamp";
    if !fits {
        bail!(
            "simulate {}: the simulator makes fish, with Weight, Length, Height, Species, Fish_Id and Timestamp; \
             give your own data with --train FILE and --csv FILE",
            schema.formula()
        );
    }
    Ok(())
}

fn simulated_training(seed: u64, schema: &Schema) -> anyhow::Result<TrainingSet> {
    simulated(schema)?;
    let row = |fish: simulate::Fish| {
        let number = |name: &String| match name.as_str() {
            "Length" => fish.length.to_f64(),
            _ => fish.height.to_f64(),
        };
        Row {
            id: fish.id.to_string(),
            features: schema.features.iter().map(number).collect(),
            level: schema.factor.is_some().then(|| fish.species.into()),
            target: fish.weight.to_f64(),
        }
    };
    let rows = simulate::training_set(seed, TRAINING_ROWS).into_iter().map(row).collect();
    Ok(TrainingSet { rows, left_out: 0 })
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
