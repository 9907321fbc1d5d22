//! Where versions are looked up: in the topic of models, or in a directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use weir_events::ModelVersion;
use weir_host::HostConfig;
use weir_host::model::Catalog;
use weir_kafka::{Producer, Progress};
use weir_registry::{Accepted, Envelope, KeyId, Layout, Manifest, SecretKey, Stage, Stored, Trust};

use crate::line::Line;

/// Where versions are.
#[derive(clap::Args, Clone, Default, Debug)]
pub(crate) struct Source {
    #[command(flatten)]
    pub(crate) line: Line,
    /// A directory with versions (an OCI image layout), in place of Kafka.
    #[arg(long, value_name = "DIR", conflicts_with = "kafka")]
    pub(crate) store: Option<PathBuf>,
}

/// A version that was found.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) stored: Option<Stored>,
    pub(crate) signature: Signature,
}

/// What is known about who vouches for a version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Signature {
    /// A key in trust.keys.
    Valid(Option<KeyId>),
    /// No key is configured to check it with.
    Unchecked,
    /// It does not count, for this reason.
    Bad(String),
}

impl Signature {
    pub(crate) fn of(trust: Option<&Trust>, envelope: &[u8]) -> Self {
        let signer =
            Envelope::from_bytes(envelope).ok().and_then(|envelope| envelope.signers().next());
        match trust.map(|trust| trust.open(envelope)) {
            None => Self::Unchecked,
            Some(Ok(_)) => Self::Valid(signer),
            Some(Err(error)) => Self::Bad(error.to_string()),
        }
    }
}

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Valid(Some(key)) => write!(f, "valid, {key}"),
            Self::Valid(None) => write!(f, "none, and none is asked for"),
            Self::Unchecked => write!(f, "not checked: trust.keys names no key"),
            Self::Bad(reason) => write!(f, "bad: {reason}"),
        }
    }
}

/// The versions of a place, oldest first.
pub(crate) struct Versions {
    pub(crate) all: Vec<Version>,
    champion: Option<ModelVersion>,
}

impl Source {
    /// Reads all versions.
    ///
    /// # Errors
    /// If the place cannot be read.
    pub(crate) async fn read(&self) -> anyhow::Result<Versions> {
        let config = self.line.load()?;
        let strict = strict(&config)?;
        if let Some(root) = &self.store {
            return from_directory(root, strict.as_ref());
        }
        let catalog = open(&config, Trust::unsigned(), None).await?;
        let version = |accepted: &Accepted| Version {
            manifest: Arc::clone(&accepted.manifest),
            stored: Stored::of(accepted),
            signature: Signature::of(strict.as_ref(), &accepted.envelope),
        };
        let champion = catalog.champion().map(|champion| champion.version);
        Ok(Versions { all: catalog.log().versions().map(version).collect(), champion })
    }
}

impl Versions {
    /// The version that serves.
    pub(crate) fn champion(&self) -> Option<&Version> {
        self.all.iter().find(|version| Some(version.manifest.version) == self.champion)
    }

    /// The version that a person names: `v3`, `3`, `champion`.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<&Version> {
        if name == "champion" {
            return self.champion().context("find a champion: no version serves");
        }
        let number = number(name)?;
        let found = self.all.iter().find(|version| version.manifest.version == number);
        found.with_context(|| {
            let known: Vec<_> = self.all.iter().map(|v| v.manifest.version.to_string()).collect();
            format!("find {number}: there are {}", known.join(", "))
        })
    }
}

/// A version's number as a person writes it.
///
/// # Errors
/// If it is none.
pub(crate) fn number(name: &str) -> anyhow::Result<ModelVersion> {
    let digits = name.strip_prefix('v').unwrap_or(name);
    let number = digits.parse().ok().map(ModelVersion);
    number.with_context(|| format!("read {name:?} as a version: write v3, or champion"))
}

/// A directory and a tag in it: `DIR:TAG`, or `DIR` with the champion or the newest version.
///
/// # Errors
/// If there is no such directory or tag.
pub(crate) fn layout_and_tag(text: &str) -> anyhow::Result<(PathBuf, String)> {
    let (root, tag) = match text.rsplit_once(':') {
        Some((root, tag)) if !tag.contains('/') => (PathBuf::from(root), Some(tag.to_owned())),
        _ => (PathBuf::from(text), None),
    };
    let layout = Layout::read_only(&root)?;
    let newest = || layout.versions().last().map(ModelVersion::to_string);
    let champion = || layout.tags().contains("champion").then(|| "champion".to_owned());
    match tag.or_else(champion).or_else(newest) {
        Some(tag) => Ok((root, tag)),
        None => bail!("find a version in {}: it is empty", root.display()),
    }
}

/// The keys that are configured; none if there are none.
pub(crate) fn strict(config: &HostConfig) -> anyhow::Result<Option<Trust>> {
    let pinned = !config.trust.keys.is_empty() || config.trust.allow_unsigned;
    Ok(if pinned { Some(config.trust()?) } else { None })
}

/// Opens the topic of models.
pub(crate) async fn open(
    config: &HostConfig,
    trust: Trust,
    key: Option<SecretKey>,
) -> anyhow::Result<Catalog> {
    let producer = Producer::new(&config.kafka(), Progress::default())?;
    let (topic, model) = (&config.topics.models, &config.train.model);
    Catalog::open(&config.kafka(), producer, topic, model, trust, key.map(Arc::new)).await
}

fn from_directory(root: &Path, trust: Option<&Trust>) -> anyhow::Result<Versions> {
    let layout = Layout::read_only(root)?;
    let read = |number: ModelVersion| -> anyhow::Result<Version> {
        let stored = layout.get(&number.to_string())?;
        let manifest =
            stored.unchecked().with_context(|| format!("read the manifest of {number}"))?;
        let signature = Signature::of(trust, &stored.envelope);
        Ok(Version { manifest: Arc::new(manifest), stored: Some(stored), signature })
    };
    let all: Vec<Version> = layout.versions().into_iter().map(read).collect::<Result<_, _>>()?;
    let tagged = layout.get("champion").ok().and_then(|stored| stored.unchecked().ok());
    let newest = || {
        let champions = all.iter().rev().filter(|v| v.manifest.stage == Stage::Champion);
        champions.map(|version| version.manifest.version).next()
    };
    let champion = tagged.map(|manifest| manifest.version).or_else(newest);
    Ok(Versions { all, champion })
}
