//! `weir model reproduce`: fits a version's rows again, and compares the bytes.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use weir_events::RowPosition;
use weir_host::model::{Division, Row, Trainer};
use weir_host::store::RowOrder;
use weir_host::{HostConfig, open_training_rows, training_csv};
use weir_registry::Manifest;
use weir_runtime::Runtime;

use super::source::Source;

pub(super) async fn execute(source: &Source, name: &str, csv: Option<&Path>) -> anyhow::Result<()> {
    let config = source.line.load()?;
    let versions = source.read().await?;
    let mut manifest = Arc::clone(&versions.get(name)?.manifest);
    while let Some(earlier) = manifest.source {
        // A version that is back has the rows of the one that it was.
        manifest = Arc::clone(&versions.get(&earlier.to_string())?.manifest);
    }
    let schema = Arc::new(config.schema()?);
    ensure!(
        schema.formula() == manifest.formula,
        "fit {} again: it was made for {:?}, the configuration says {:?}",
        manifest.version,
        manifest.formula,
        schema.formula()
    );
    let runtime = Runtime::new(config.limits()?)?;
    let trainer = Trainer::new(runtime, Arc::clone(&schema), config.fit_options())?;
    let template = trainer.template();
    ensure!(
        template == manifest.template,
        "fit {} again: it was made from the template {}, this program has {template}",
        manifest.version,
        manifest.template
    );
    let rows = match csv {
        Some(csv) => training_csv::read(csv, &schema)?.rows,
        None => stored(&config, &manifest).await?,
    };
    let trained = trainer.train(&rows, manifest.rows.left_out)?;
    if trained.rows.digest != manifest.rows.digest {
        bail!(
            "fit {} again: the rows are others. It was fitted to {} rows from {} to {} ({}); now there are {} \
             from {} to {} ({}). Were some deleted, or stored later with an earlier time?",
            manifest.version,
            manifest.rows.n,
            manifest.rows.first_id,
            manifest.rows.last_id,
            manifest.rows.digest,
            trained.rows.n,
            trained.rows.first_id,
            trained.rows.last_id,
            trained.rows.digest
        );
    }
    let digest = weir_events::Digest::from_bytes(trained.model.digest());
    ensure!(
        digest == manifest.digest,
        "fit {} again: the same rows gave {digest}, not {}; was it fitted with another train.tolerance?",
        manifest.version,
        manifest.digest
    );
    writeln!(
        std::io::stdout(),
        "{} is reproduced: {} rows give {digest}",
        manifest.version,
        manifest.rows.n
    )?;
    Ok(())
}

/// The rows that a version was trained with, as the store has them now.
async fn stored(config: &HostConfig, manifest: &Manifest) -> anyhow::Result<Vec<Row>> {
    let selection = manifest.rows.selection.as_ref().with_context(|| {
        format!(
            "find the rows of {}: it was trained from a file; give that with --csv",
            manifest.version
        )
    })?;
    let store = open_training_rows(config).await.context("open the training rows")?;
    let (time, partition, offset) = selection.last;
    let last = RowOrder { time, position: RowPosition { partition, offset } };
    Ok(Division::again(selection).read(&*store, last).await?.training)
}
