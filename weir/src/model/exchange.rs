//! `weir model export`, `import` and `sign`: versions in directories that other programs read.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use weir_events::Digest;
use weir_host::model::check;
use weir_registry::{Cause, CauseKind, Envelope, Layout, Manifest, SecretKey, Stage, Stored};
use weir_runtime::Runtime;
use weir_service::{Clock as _, SystemClock};

use super::source::{self, Signature, Source, layout_and_tag};
use crate::line::Line;

/// Writes a version to a directory.
pub(super) async fn export(source: &Source, name: &str, out: &Path) -> anyhow::Result<()> {
    let versions = source.read().await?;
    let version = versions.get(name)?;
    let stored =
        version.stored.as_ref().context("export it: its component is not there any more")?;
    let mut layout = Layout::open(out)?;
    layout.put(&version.manifest, stored)?;
    writeln!(std::io::stdout(), "{}:{}", out.display(), version.manifest.version)?;
    Ok(())
}

/// Publishes a version from a directory, under a number of its own and signed by whoever imports it.
pub(super) async fn import(from: &str, line: &Line, key: Option<&Path>) -> anyhow::Result<()> {
    let (root, tag) = layout_and_tag(from)?;
    let stored = Layout::read_only(&root)?.get(&tag)?;
    let manifest = stored.unchecked().with_context(|| format!("read the manifest of {from}"))?;
    ensure!(
        Digest::of(&stored.bytes) == manifest.digest,
        "import {from}: the component is another one"
    );
    let config = line.load()?;
    // A host would refuse it, and a signature says that somebody has looked.
    let model =
        Runtime::new(config.limits()?)?.load(&stored.bytes).context("load the component")?;
    check(&model, &config.schema()?, &manifest.golden).context("test the component")?;
    let signature = Signature::of(source::strict(&config)?.as_ref(), &stored.envelope);
    writeln!(std::io::stderr(), "{from}: its signature is {signature}")?;
    let key = signing_key(&config, key)?;
    let trust = source::strict(&config)?.unwrap_or_else(weir_registry::Trust::unsigned);
    let mut catalog = source::open(&config, trust, key).await?;
    let cause = Cause { reason: Some(format!("import of {tag}")), ..Cause::file() };
    let manifest = Manifest {
        stage: Stage::Champion,
        created: SystemClock.now(),
        model: config.train.model.clone(),
        source: None,
        probation: None,
        cause,
        ..manifest
    };
    let published = catalog.publish(&stored.bytes, manifest).await?.manifest;
    writeln!(std::io::stdout(), "{} {}", published.version, published.digest)?;
    Ok(())
}

/// Adds a signature to a version in a directory.
pub(super) fn sign(at: &str, key: &Path) -> anyhow::Result<()> {
    let (root, tag) = layout_and_tag(at)?;
    let mut layout = Layout::open(&root)?;
    let stored = layout.get(&tag)?;
    let manifest = stored.unchecked().with_context(|| format!("read the manifest of {at}"))?;
    let mut envelope = Envelope::from_bytes(&stored.envelope).context("read the envelope")?;
    let key = read_key(key)?;
    envelope.sign(&key);
    let signed = Stored { envelope: envelope.to_bytes().into(), bytes: Arc::clone(&stored.bytes) };
    let champion = layout.get("champion").is_ok_and(|champion| champion == stored);
    layout.put(&manifest, &signed)?;
    if champion {
        layout.tag("champion", Some(manifest.version))?;
    }
    writeln!(std::io::stdout(), "{} {}", manifest.version, key.public().id())?;
    Ok(())
}

/// The key that signs: that of the argument, or the configured one.
///
/// # Errors
/// If there is none, and versions must be signed.
pub(super) fn signing_key(
    config: &weir_host::HostConfig,
    file: Option<&Path>,
) -> anyhow::Result<Option<SecretKey>> {
    match file {
        Some(file) => read_key(file).map(Some),
        None => Ok(config.signing_key().context("sign the version (or give --key)")?),
    }
}

fn read_key(file: &Path) -> anyhow::Result<SecretKey> {
    let read = || format!("read the key {}", file.display());
    let text = std::fs::read_to_string(file).with_context(read)?;
    SecretKey::from_pem(&text).with_context(read)
}

/// What a version made of a file of rows says about its cause.
pub(super) fn by_hand() -> Cause {
    Cause { kind: CauseKind::File, id: None, by: super::ask::user(), reason: None }
}
