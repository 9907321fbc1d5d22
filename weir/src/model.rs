//! `weir model`: makes versions, looks at them, and asks for them to serve.

mod ask;
mod exchange;
pub(crate) mod keygen;
mod look;
mod remote;
mod reproduce;
pub(crate) mod source;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::json;
use weir_host::model::{Trained, Trainer};
use weir_host::{HostConfig, training_csv};
use weir_registry::{Action as Wanted, Manifest, Trust};
use weir_runtime::Runtime;
use weir_service::{Clock as _, SystemClock};

use crate::line::Line;
use ask::Asking;
use source::Source;

/// Arguments of `weir model`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Versions are numbered from 1 for ever, signed, and never changed: one that comes back gets a new number.

Examples:
  weir model keygen trainer                                 trainer.pem to sign with, trainer.pub for hosts
  weir model train --csv train.csv --key trainer.pem        make the first version
  weir model list                                           all versions; the one that serves
  weir model inspect champion                               coefficients, as R's summary shows them
  weir model diff v3 v5                                     what is different
  weir model rollback --reason \"v5 is off on walleye\"     the version before serves again
  weir model export v5 --out models                         for skopeo, oras and other OCI tools
  weir model audit                                          which version predicted what, and that none is missing")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Make a key that signs versions.
    Keygen {
        /// The files are PATH.pem and PATH.pub.
        #[arg(default_value = "weir-trainer")]
        path: PathBuf,
    },
    /// Train a version from a CSV file and publish it, or write it to a file.
    #[command(after_help = "\
The header names the columns as the schema does, without regard to case; other columns are ignored.

Examples:
  weir model train --csv train.csv --kafka localhost:9092 --key trainer.pem   publish: hosts put it into service
  weir model train --csv train.csv --key trainer.pem --if-none                publish the first version, or do nothing
  weir model train --csv train.csv --out model.wasm                           only write the component")]
    Train {
        /// The training set.
        #[arg(long, value_name = "FILE")]
        csv: PathBuf,
        #[command(flatten)]
        line: Line,
        /// The key to sign it with; in place of train.key-file.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Write the component to this file instead of publishing it.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["kafka", "key"])]
        out: Option<PathBuf>,
        /// Do nothing if there is a version already: for set-ups that may run again.
        #[arg(long, conflicts_with = "out")]
        if_none: bool,
        /// Print the manifest.
        #[arg(long)]
        json: bool,
    },
    /// Show what a component file is: schema, levels, coefficients.
    Show {
        /// The component.
        file: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Show all versions.
    List {
        #[command(flatten)]
        source: Source,
        /// Print one JSON object for each version.
        #[arg(long)]
        json: bool,
    },
    /// Show a version: who made it, from what, how good it is.
    Inspect {
        /// v3, or champion.
        #[arg(default_value = "champion")]
        version: String,
        #[command(flatten)]
        source: Source,
        /// How.
        #[arg(long, value_enum, default_value_t)]
        form: look::Form,
        /// The same as --form json.
        #[arg(long, conflicts_with = "form")]
        json: bool,
    },
    /// Show what is different between two versions.
    Diff {
        /// v3, or champion.
        left: String,
        /// v5, or champion.
        right: String,
        #[command(flatten)]
        source: Source,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Check versions as a host does before they serve.
    Verify {
        /// Which; all if none.
        version: Option<String>,
        #[command(flatten)]
        source: Source,
        /// Print one JSON object for each version.
        #[arg(long)]
        json: bool,
    },
    /// Put a version into service that waits or was refused.
    Promote {
        /// Which.
        version: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// Put the version before, or another earlier one, into service again.
    Rollback {
        /// Which; the one before if none.
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Train with the newest rows.
    Retrain {
        #[command(flatten)]
        asking: Asking,
    },
    /// Write a version to a directory (an OCI image layout).
    Export {
        /// v3, or champion.
        version: String,
        #[command(flatten)]
        source: Source,
        /// The directory.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Publish a version from a directory, signed with one's own key.
    Import {
        /// DIR, or DIR:TAG.
        from: String,
        #[command(flatten)]
        line: Line,
        /// The key to sign it with; in place of train.key-file.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Add a signature to a version in a directory.
    Sign {
        /// DIR, or DIR:TAG.
        at: String,
        /// The key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Copy a version to a registry.
    #[command(after_help = "\
Examples:
  weir model push v5 oci://registry.example/weir/weight:v5 --username ci --password-file password
  weir model push champion oci://localhost:5000/weight:v5 --plain-http --store models")]
    Push {
        /// v3, or champion.
        version: String,
        /// oci://HOST/NAME:TAG
        to: String,
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        access: remote::Access,
    },
    /// Copy a version from a registry to a directory, and check its signature.
    Pull {
        /// oci://HOST/NAME:TAG
        from: String,
        /// The directory.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        line: Line,
        #[command(flatten)]
        access: remote::Access,
    },
    /// Fit the rows of a version again: they must give the same component.
    Reproduce {
        /// v3, or champion.
        version: String,
        #[command(flatten)]
        source: Source,
        /// The file that it was trained from.
        #[arg(long, value_name = "FILE")]
        csv: Option<PathBuf>,
    },
    /// Check that models were swapped without losing an event, and show which version served when.
    Audit(crate::audit::Arguments),
}

/// Runs `weir model`.
pub(crate) async fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.action {
        Action::Keygen { path } => keygen::execute(&path)?,
        Action::Train { csv, line, key, out, if_none, json } => {
            let to = out.map_or(Destination::Kafka { if_none, key }, Destination::File);
            train(&csv, &line, to, json).await?
        }
        Action::Show { file, json } => show(&file, json)?,
        Action::List { source, json } => look::list(&source, json).await?,
        Action::Inspect { version, source, form, json } => {
            let form = if json { look::Form::Json } else { form };
            look::inspect(&source, &version, form).await?
        }
        Action::Diff { left, right, source, json } => {
            look::diff(&source, [&left, &right], json).await?
        }
        Action::Verify { version, source, json } => {
            look::verify(&source, version.as_deref(), json).await?
        }
        Action::Promote { version, asking } => {
            ask::ask(&asking, Wanted::Promote { version: source::number(&version)? }).await?
        }
        Action::Rollback { to, asking } => {
            let version = to.as_deref().map(source::number).transpose()?;
            ask::ask(&asking, Wanted::Rollback { version }).await?
        }
        Action::Retrain { asking } => ask::ask(&asking, Wanted::Retrain).await?,
        Action::Export { version, source, out } => {
            exchange::export(&source, &version, &out).await?
        }
        Action::Import { from, line, key } => {
            exchange::import(&from, &line, key.as_deref()).await?
        }
        Action::Push { version, to, source, access } => {
            remote::push(&source, &version, &to, &access).await?
        }
        Action::Pull { from, out, line, access } => {
            remote::pull(&from, &out, &line, &access).await?
        }
        Action::Sign { at, key } => exchange::sign(&at, &key)?,
        Action::Reproduce { version, source, csv } => {
            reproduce::execute(&source, &version, csv.as_deref()).await?
        }
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
        /// The key to sign it with.
        key: Option<PathBuf>,
    },
}

async fn train(csv: &Path, line: &Line, to: Destination, as_json: bool) -> anyhow::Result<()> {
    let config = line.load()?;
    let schema = Arc::new(config.schema()?);
    let set = training_csv::read(csv, &schema)?;
    let trainer = Trainer::new(Runtime::new(config.limits()?)?, schema, config.fit_options())?;
    let trained = trainer.train(&set.rows, set.left_out)?;
    let model = &config.train.model;
    let manifest = trainer.manifest(&trained, model, SystemClock.now(), exchange::by_hand());
    let manifest = match to {
        Destination::File(file) => {
            std::fs::write(&file, trained.model.bytes())
                .with_context(|| format!("write {}", file.display()))?;
            manifest
        }
        Destination::Kafka { if_none, key } => {
            publish(&config, &trained, manifest, key.as_deref(), if_none).await?
        }
    };
    if as_json {
        writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&manifest)?)?;
        return Ok(());
    }
    print(&manifest)
}

/// Publishes a version made by hand. Returns the one that serves afterwards.
async fn publish(
    config: &HostConfig,
    trained: &Trained,
    manifest: Manifest,
    key: Option<&Path>,
    if_none: bool,
) -> anyhow::Result<Manifest> {
    let key = exchange::signing_key(config, key)?;
    let trust = source::strict(config)?.unwrap_or_else(Trust::unsigned);
    let mut catalog = source::open(config, trust, key).await?;
    if if_none && let Some(champion) = catalog.champion() {
        return Ok(champion.clone());
    }
    let published = catalog.publish(trained.model.bytes(), manifest).await?;
    Ok(Arc::unwrap_or_clone(published.manifest))
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

fn show(file: &Path, as_json: bool) -> anyhow::Result<()> {
    let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let runtime = Runtime::new(weir_runtime::Limits::default())?;
    let model = runtime.load(&bytes).with_context(|| format!("load {}", file.display()))?;
    let description = model.description();
    let Some((schema, report)) = description.schema.as_ref().zip(description.report.as_ref())
    else {
        bail!("show {}: it is a template, not a trained model", file.display());
    };
    let mut out = std::io::stdout().lock();
    let digest = weir_events::Digest::from_bytes(model.digest());
    if as_json {
        let coefficients = report
            .terms
            .iter()
            .map(|term| (term.name.clone(), json!(term.estimate)))
            .collect::<serde_json::Map<_, _>>();
        let object = json!({
            "digest": digest,
            "target": schema.target,
            "features": schema.features,
            "factor": schema.factor,
            "levels": description.levels,
            "rows": report.rows,
            "coefficients": coefficients,
            "r_squared": report.r_squared,
            "sigma": report.sigma,
            "df_residual": report.df_residual,
        });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    writeln!(out, "{digest}")?;
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
