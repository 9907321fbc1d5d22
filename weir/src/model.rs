//! `weir model`: makes the first version from a file, shows what a component is, and audits swaps.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use weir_events::ModelVersion;
use weir_host::model::{Catalog, Trained, Trainer};
use weir_host::{HostConfig, training_csv};
use weir_kafka::{Producer, Progress};
use weir_registry::Manifest;
use weir_runtime::Runtime;
use weir_service::{Clock as _, SystemClock};

use crate::line::Line;

/// Arguments of `weir model`.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Train a version from a CSV file and publish it, or write it to a file.
    #[command(after_help = "\
The header names the columns as the schema does, without regard to case; other columns are ignored.

Examples:
  weir model train --csv train.csv --kafka localhost:9092   publish: hosts put it into service
  weir model train --csv train.csv --if-none                publish the first version, or do nothing
  weir model train --csv train.csv --out model.wasm         only write the component")]
    Train {
        /// The training set.
        #[arg(long, value_name = "FILE")]
        csv: PathBuf,
        #[command(flatten)]
        line: Line,
        /// Write the component to this file instead of publishing it.
        #[arg(long, value_name = "FILE", conflicts_with = "kafka")]
        out: Option<PathBuf>,
        /// Do nothing if there is a version already: for set-ups that may run again.
        #[arg(long, conflicts_with = "out")]
        if_none: bool,
    },
    /// Show what a component file is: schema, levels, coefficients.
    Show {
        /// The component.
        file: PathBuf,
    },
    /// Check that models were swapped without losing an event, and show which version served when.
    Audit(crate::audit::Arguments),
}

/// Runs `weir model`.
pub(crate) async fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.action {
        Action::Train { csv, line, out, if_none } => {
            let to = out.map_or(Destination::Kafka { if_none }, Destination::File);
            train(&csv, &line, to).await?
        }
        Action::Show { file } => show(&file)?,
        Action::Audit(arguments) => return crate::audit::execute(arguments).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a version goes.
enum Destination {
    /// The component alone, to be looked at.
    File(PathBuf),
    /// Into service.
    Kafka {
        /// Unless there is a version already.
        if_none: bool,
    },
}

async fn train(csv: &Path, line: &Line, to: Destination) -> anyhow::Result<()> {
    let config = line.load()?;
    let schema = Arc::new(config.schema()?);
    let set = training_csv::read(csv, &schema)?;
    let trainer = Trainer::new(Runtime::new(config.limits()?)?, schema, config.fit_options())?;
    let trained = trainer.train(&set.rows, set.left_out)?;
    let manifest = match to {
        Destination::File(file) => {
            std::fs::write(&file, trained.model.bytes())
                .with_context(|| format!("write {}", file.display()))?;
            let (model, now) = (&config.train.model, SystemClock.now());
            trainer.manifest(&trained, model, ModelVersion::FIRST, now, None)
        }
        Destination::Kafka { if_none } => publish(&config, &trainer, &trained, if_none).await?,
    };
    print(&manifest)
}

/// Publishes a version made by hand. Returns the one that is the newest afterwards.
async fn publish(
    config: &HostConfig,
    trainer: &Trainer,
    trained: &Trained,
    if_none: bool,
) -> anyhow::Result<Manifest> {
    let producer = Producer::new(&config.kafka(), Progress::default())?;
    let (topic, model) = (&config.topics.models, &config.train.model);
    let mut catalog = Catalog::open(&config.kafka(), producer, topic, model).await?;
    if if_none && let Some(newest) = catalog.newest() {
        return Ok(newest.clone());
    }
    let now = SystemClock.now();
    let describe = |version| trainer.manifest(trained, model, version, now, None);
    Ok(catalog.publish(trained.model.bytes(), describe).await?.manifest)
}

fn print(manifest: &Manifest) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} {} of model {}", manifest.version, manifest.digest, manifest.model)?;
    writeln!(out, "{}", manifest.formula)?;
    let rows = &manifest.rows;
    writeln!(
        out,
        "{} rows, {} to {}; {} left out",
        rows.n, rows.first_id, rows.last_id, rows.left_out
    )?;
    for term in &manifest.coefficients {
        let number =
            |number: Option<f64>| number.map_or_else(|| "dropped".into(), |n| n.to_string());
        writeln!(
            out,
            "  {:<24} {:<24} se {}",
            term.name,
            number(term.estimate),
            number(term.std_error)
        )?;
    }
    Ok(())
}

fn show(file: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let runtime = Runtime::new(weir_runtime::Limits::default())?;
    let model = runtime.load(&bytes).with_context(|| format!("load {}", file.display()))?;
    let description = model.description();
    let Some((schema, report)) = description.schema.as_ref().zip(description.report.as_ref())
    else {
        bail!("show {}: it is a template, not a trained model", file.display());
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", weir_events::Digest::from_bytes(model.digest()))?;
    let terms = schema.features.iter().chain(&schema.factor).cloned().collect::<Vec<_>>();
    writeln!(out, "{} ~ {}; {} rows", schema.target, terms.join(" + "), report.rows)?;
    let levels: Vec<String> = description.levels.iter().map(|level| format!("{level:?}")).collect();
    writeln!(out, "levels: {}", if levels.is_empty() { "none".into() } else { levels.join(", ") })?;
    for term in &report.terms {
        writeln!(out, "  {:<24} {:?}", term.name, term.estimate)?;
    }
    writeln!(
        out,
        "R2 {:?}, sigma {:?}, df {}",
        report.r_squared, report.sigma, report.df_residual
    )?;
    Ok(())
}
