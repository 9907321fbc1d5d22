//! The last versions that served, on this host's disk.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use weir_events::Digest;
use weir_registry::{Accepted, Floor, Layout, LayoutError, Manifest, Stored, Trust};

/// The tag of the version that serves.
const CHAMPION: &str = "champion";
/// The tag of the version before it.
const PREVIOUS: &str = "previous";

/// Versions on disk; nothing is kept without a directory. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    layout: Option<Arc<Mutex<Layout>>>,
    keep: usize,
}

impl Disk {
    pub(crate) fn open(path: &Path, keep: usize) -> Result<Self, LayoutError> {
        let layout = if path.as_os_str().is_empty() { None } else { Some(Layout::open(path)?) };
        for tag in layout.iter().flat_map(Layout::damaged) {
            tracing::error!(tag, "version on disk cannot be read and is dropped");
        }
        Ok(Self { layout: layout.map(|layout| Arc::new(Mutex::new(layout))), keep })
    }

    /// The versions that count, newest first, but first the one that served last.
    pub(crate) fn versions(&self, trust: &Trust) -> Vec<Accepted> {
        let Some(layout) = &self.layout else { return Vec::new() };
        let layout = layout.lock().unwrap_or_else(PoisonError::into_inner);
        let tags = layout.versions().into_iter().rev().map(|version| version.to_string());
        let read = |tag: String| match read(&layout, &tag, trust) {
            Ok(version) => Some(version),
            Err(error) => {
                tracing::error!(tag, error = format!("{error:#}"), "version on disk is refused");
                None
            }
        };
        std::iter::once(CHAMPION.to_owned())
            .filter(|tag| layout.tags().contains(&**tag))
            .chain(tags)
            .filter_map(read)
            .collect()
    }

    /// The highest version that has ever served here.
    pub(crate) fn floor(&self) -> Option<Floor> {
        let layout = self.layout.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever can write to this directory can also replace the program: a signature would prove nothing more.
        // Its component may be damaged: what served is known all the same.
        let manifest = layout.unchecked(CHAMPION).ok()?;
        Some(Floor { version: manifest.version, digest: manifest.digest })
    }

    /// Keeps the version that is about to serve. Blocks.
    pub(crate) fn keep(&self, version: &Accepted) -> Result<(), LayoutError> {
        let (Some(layout), Some(stored)) = (&self.layout, Stored::of(version)) else {
            return Ok(());
        };
        let mut layout = layout.lock().unwrap_or_else(PoisonError::into_inner);
        let before = layout.unchecked(CHAMPION).ok().map(|manifest| manifest.version);
        let manifest: &Manifest = &version.manifest;
        if before == Some(manifest.version) {
            return Ok(());
        }
        layout.put(manifest, &stored)?;
        // The one before is kept under its tag even where only one version is to be.
        layout.tag(PREVIOUS, before)?;
        layout.tag(CHAMPION, Some(manifest.version))?;
        layout.retain(self.keep)
    }
}

fn read(layout: &Layout, tag: &str, trust: &Trust) -> anyhow::Result<Accepted> {
    let stored = layout.get(tag)?;
    let manifest = trust.open(&stored.envelope)?;
    anyhow::ensure!(Digest::of(&stored.bytes) == manifest.digest, "the component is another one");
    Ok(Accepted {
        manifest: Arc::new(manifest),
        envelope: stored.envelope,
        bytes: Some(stored.bytes),
    })
}
