//! Versions on disk, as an image layout of the Open Container Initiative
//! (<https://github.com/opencontainers/image-spec/blob/main/image-layout.md>), which standard tools read, copy and push.
//!
//! ```text
//! oci-layout            the layout's version
//! index.json            tags: v1, v2 ..., champion, challenger, previous
//! blobs/sha256/<hex>    OCI manifests, configurations, components
//! ```
//! A version is an OCI manifest with a configuration (`application/vnd.wasm.config.v0+json`), the component as its only
//! layer (`application/wasm`), and the signed envelope as the annotation `dev.weir.envelope`, which a copy keeps.
//!
//! Crash safety: a file is written under another name, synced and renamed, and then its directory is synced. Blobs come before
//! the index that names them, and are deleted after the index that does not. One process at a time has a layout open to
//! write.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::image::{
    Descriptor, DescriptorBuilder, ImageIndex, ImageIndexBuilder, ImageManifest,
    ImageManifestBuilder, MediaType, SCHEMA_VERSION,
};
use serde_json::json;
use weir_events::{Digest, ModelVersion};

use crate::envelope::Envelope;
use crate::log::Accepted;
use crate::manifest::Manifest;

/// The media type of the configuration.
pub const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
/// The media type of the component.
pub const COMPONENT_TYPE: &str = "application/wasm";
/// The annotation with the envelope.
pub(crate) const ENVELOPE: &str = "dev.weir.envelope";
/// The annotation with a tag, by the specification.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The largest file that is read: a component of the largest size that any configuration allows is below.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A directory with versions.
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
    index: ImageIndex,
    /// Tags of what could not be read when it was opened.
    damaged: Vec<String>,
    /// Locked as long as this lives; none for who only reads.
    _lock: Option<File>,
}

/// A version in a layout. Nobody has checked its signature yet.
#[derive(Clone, PartialEq, Debug)]
pub struct Stored {
    /// The envelope's bytes.
    pub envelope: Arc<[u8]>,
    /// The component, whose digest is the one of the layer.
    pub bytes: Arc<[u8]>,
}

/// A version as registries exchange it: the OCI manifest, its configuration and the component.
#[derive(Clone, PartialEq, Debug)]
pub struct Image {
    /// The OCI manifest.
    pub manifest: Vec<u8>,
    /// The configuration.
    pub config: Vec<u8>,
    /// The component.
    pub component: Vec<u8>,
}

/// Why a layout cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file cannot be read or written.
    #[error("{doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("use the models in {0}: another process does")]
    InUse(PathBuf),
    /// A file is not what the specification says.
    #[error("read {path}: {reason}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such tag.
    #[error("find {tag:?} in {root}: there are {known}")]
    NoSuchTag {
        /// What was asked for.
        tag: String,
        /// Where.
        root: PathBuf,
        /// What there is.
        known: String,
    },
}

impl Layout {
    /// Opens a directory to write, and makes it if there is none.
    ///
    /// # Errors
    /// If it cannot be used, or another process does.
    pub fn open(root: &Path) -> Result<Self, LayoutError> {
        files::create_directory(&root.join("blobs/sha256"))?;
        let lock = files::lock(root)?;
        let mut layout = Self::new(root, Some(lock));
        if root.join("index.json").exists() {
            layout.index = layout.read_index()?;
        } else {
            files::write(&root.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
            layout.write_index()?;
        }
        layout.drop_damaged()?;
        layout.sweep()?;
        Ok(layout)
    }

    fn new(root: &Path, lock: Option<File>) -> Self {
        let (index, damaged) = (empty_index(), Vec::new());
        Self { root: root.to_owned(), index, damaged, _lock: lock }
    }

    /// A disk that has lost a file must not keep the others from serving.
    fn drop_damaged(&mut self) -> Result<(), LayoutError> {
        let (whole, damaged): (Vec<_>, Vec<_>) = self
            .index
            .manifests()
            .iter()
            .cloned()
            .partition(|entry| self.parse_image(entry).is_ok());
        self.damaged = damaged.iter().filter_map(tag_of).map(str::to_owned).collect();
        if damaged.is_empty() {
            return Ok(());
        }
        self.index.set_manifests(whole);
        self.write_index()
    }

    /// The tags that were dropped when it was opened, because what they name could not be read.
    pub fn damaged(&self) -> &[String] {
        &self.damaged
    }

    /// Opens a directory to read, whoever else has it open.
    ///
    /// # Errors
    /// If it is no layout.
    pub fn read_only(root: &Path) -> Result<Self, LayoutError> {
        let mut layout = Self::new(root, None);
        layout.index = layout.read_index()?;
        Ok(layout)
    }

    /// The tags.
    pub fn tags(&self) -> BTreeSet<&str> {
        self.index.manifests().iter().filter_map(tag_of).collect()
    }

    /// The numbers of the versions.
    pub fn versions(&self) -> BTreeSet<ModelVersion> {
        self.tags().into_iter().filter_map(version_of).collect()
    }

    /// Keeps a version under its number.
    ///
    /// # Errors
    /// If it cannot be written. The layout is then as before.
    pub fn put(&mut self, manifest: &Manifest, stored: &Stored) -> Result<(), LayoutError> {
        let component = self.write_blob(COMPONENT_TYPE, &stored.bytes)?;
        let config = json!({
            "created": manifest.created,
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [component.digest().to_string()],
            "component": { "exports": ["weir:model/regressor@0.1.0"], "imports": [] },
        });
        let config = self.write_blob(CONFIG_TYPE, config.to_string().as_bytes())?;
        let annotations = BTreeMap::from([
            (ENVELOPE, String::from_utf8_lossy(&stored.envelope).into_owned()),
            ("org.opencontainers.image.title", manifest.model.clone()),
            ("org.opencontainers.image.version", manifest.version.0.to_string()),
            ("org.opencontainers.image.created", manifest.created.to_string()),
        ]);
        let annotations = annotations.into_iter().map(|(name, value)| (name.to_owned(), value));
        let image = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(config)
            .layers(vec![component])
            .annotations(annotations.collect::<std::collections::HashMap<_, _>>())
            .build()
            .expect("all that it needs is given");
        let text = in_order(&image);
        let descriptor = self.write_blob(MediaType::ImageManifest.as_ref(), text.as_bytes())?;
        self.point(&manifest.version.to_string(), Some(descriptor))
    }

    /// Moves a tag to a version, or removes it.
    ///
    /// # Errors
    /// If there is no such version, or the index cannot be written.
    pub fn tag(&mut self, tag: &str, version: Option<ModelVersion>) -> Result<(), LayoutError> {
        let descriptor =
            version.map(|version| self.find(&version.to_string()).cloned()).transpose()?;
        if descriptor.is_none() && !self.tags().contains(tag) {
            return Ok(());
        }
        self.point(tag, descriptor)
    }

    /// The version under a tag.
    ///
    /// # Errors
    /// If there is none, or its files are not what their digests say.
    pub fn get(&self, tag: &str) -> Result<Stored, LayoutError> {
        let manifest = self.read_blob(self.find(tag)?)?;
        let image = self.image(tag)?;
        let bytes = match image.layers().first() {
            Some(component) => self.read_blob(component)?,
            None => Vec::new(),
        };
        let path = self.root.join("index.json");
        Stored::from_image(&manifest, bytes)
            .map_err(|reason| LayoutError::Form { path, reason: format!("{tag}: {reason}") })
    }

    /// The manifest under a tag, whoever has signed it. Its component need not be readable.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn unchecked(&self, tag: &str) -> Result<Manifest, LayoutError> {
        let image = self.image(tag)?;
        let form = |reason| LayoutError::Form { path: self.root.join("index.json"), reason };
        let envelope = image.annotations().as_ref().and_then(|all| all.get(ENVELOPE));
        let envelope = envelope.ok_or_else(|| form(format!("{tag} has no {ENVELOPE}")))?;
        manifest_in(envelope.as_bytes()).map_err(|error| form(format!("{tag}: {error}")))
    }

    /// The version under a tag, as registries exchange it.
    ///
    /// # Errors
    /// If there is none, or its files are not what their digests say.
    pub fn image_of(&self, tag: &str) -> Result<Image, LayoutError> {
        let manifest = self.read_blob(self.find(tag)?)?;
        let image = self.image(tag)?;
        let config = self.read_blob(image.config())?;
        let component = self.get(tag)?.bytes.to_vec();
        Ok(Image { manifest, config, component })
    }

    /// Forgets versions but for the newest `keep` and those under another tag, and deletes what nothing names.
    ///
    /// # Errors
    /// If something cannot be written or deleted.
    pub fn retain(&mut self, keep: usize) -> Result<(), LayoutError> {
        let tagged: BTreeSet<String> = self
            .index
            .manifests()
            .iter()
            .filter(|entry| tag_of(entry).is_some_and(|tag| version_of(tag).is_none()))
            .map(|entry| entry.digest().to_string())
            .collect();
        let newest: BTreeSet<ModelVersion> = self.versions().into_iter().rev().take(keep).collect();
        let kept = self.index.manifests().iter().filter(|entry| {
            let version = tag_of(entry).and_then(version_of);
            version.is_none_or(|version| {
                newest.contains(&version) || tagged.contains(&entry.digest().to_string())
            })
        });
        let kept: Vec<Descriptor> = kept.cloned().collect();
        if kept.len() < self.index.manifests().len() {
            self.index.set_manifests(kept);
            self.write_index()?;
        }
        self.sweep()
    }

    fn point(&mut self, tag: &str, descriptor: Option<Descriptor>) -> Result<(), LayoutError> {
        let before = self.index.clone();
        let mut manifests = before.manifests().clone();
        manifests.retain(|entry| tag_of(entry) != Some(tag));
        if let Some(mut descriptor) = descriptor {
            let annotations = [(REF_NAME.to_owned(), tag.to_owned())].into_iter().collect();
            descriptor.set_annotations(Some(annotations));
            manifests.push(descriptor);
        }
        self.index.set_manifests(manifests);
        self.write_index().inspect_err(|_| self.index = before)
    }

    fn find(&self, tag: &str) -> Result<&Descriptor, LayoutError> {
        let found = self.index.manifests().iter().find(|entry| tag_of(entry) == Some(tag));
        found.ok_or_else(|| LayoutError::NoSuchTag {
            tag: tag.to_owned(),
            root: self.root.clone(),
            known: self.tags().into_iter().collect::<Vec<_>>().join(", "),
        })
    }

    fn image(&self, tag: &str) -> Result<ImageManifest, LayoutError> {
        let descriptor = self.find(tag)?;
        self.parse_image(descriptor)
    }

    fn parse_image(&self, descriptor: &Descriptor) -> Result<ImageManifest, LayoutError> {
        let bytes = self.read_blob(descriptor)?;
        ImageManifest::from_reader(&*bytes).map_err(|error| LayoutError::Form {
            path: self.blob_path(descriptor.digest().as_ref()),
            reason: error.to_string(),
        })
    }

    /// Deletes blobs that nothing names: those that retain has freed, and those of a write that was cut off.
    fn sweep(&self) -> Result<(), LayoutError> {
        let mut named = BTreeSet::new();
        for entry in self.index.manifests() {
            named.insert(entry.digest().to_string());
            let image = self.parse_image(entry)?;
            named.insert(image.config().digest().to_string());
            named.extend(image.layers().iter().map(|layer| layer.digest().to_string()));
        }
        let paths: BTreeSet<PathBuf> = named.iter().map(|digest| self.blob_path(digest)).collect();
        files::delete_others(&self.root.join("blobs/sha256"), &paths)
    }

    fn blob_path(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        self.root.join("blobs/sha256").join(hex)
    }

    fn write_blob(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, LayoutError> {
        let digest = Digest::of(bytes).to_string();
        let path = self.blob_path(&digest);
        if !path.exists() {
            files::write(&path, bytes)?;
        }
        let digest: oci_spec::image::Digest = digest.parse().expect("a SHA-256 digest");
        Ok(DescriptorBuilder::default()
            .media_type(MediaType::from(media_type))
            .digest(digest)
            .size(bytes.len() as u64)
            .build()
            .expect("all that it needs is given"))
    }

    fn read_blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        let named = descriptor.digest().to_string();
        let path = self.blob_path(&named);
        let form =
            |reason: &str| LayoutError::Form { path: path.clone(), reason: reason.to_owned() };
        let digest: Digest = named.parse().map_err(|_| form("is not named by SHA-256"))?;
        let bytes = files::read(&path, FILE_BYTES_MAX)?;
        if Digest::of(&bytes) != digest {
            return Err(form("does not have the digest that it is named by"));
        }
        Ok(bytes)
    }

    fn read_index(&self) -> Result<ImageIndex, LayoutError> {
        let path = self.root.join("index.json");
        let bytes = files::read(&path, FILE_BYTES_MAX)?;
        ImageIndex::from_reader(&*bytes)
            .map_err(|error| LayoutError::Form { path, reason: error.to_string() })
    }

    fn write_index(&self) -> Result<(), LayoutError> {
        let text = self.index.to_string().expect("an index has string keys and can be written");
        files::write(&self.root.join("index.json"), text.as_bytes())
    }
}

impl Stored {
    /// What a registry has sent. Nobody has checked its signature yet.
    ///
    /// # Errors
    /// What is wrong with the OCI manifest.
    pub fn from_image(manifest: &[u8], component: Vec<u8>) -> Result<Self, String> {
        let image = ImageManifest::from_reader(manifest).map_err(|error| error.to_string())?;
        let envelope = image.annotations().as_ref().and_then(|all| all.get(ENVELOPE));
        let envelope = envelope.ok_or_else(|| format!("it has no annotation {ENVELOPE}"))?;
        let [layer] = image.layers().as_slice() else {
            return Err("it has not exactly one layer".into());
        };
        if layer.digest().to_string() != Digest::of(&component).to_string() {
            return Err(format!("the component is not {}", layer.digest()));
        }
        Ok(Self { envelope: envelope.as_bytes().into(), bytes: component.into() })
    }

    /// What was accepted from the topic; none without its component.
    pub fn of(accepted: &Accepted) -> Option<Self> {
        let bytes = accepted.bytes.clone()?;
        Some(Self { envelope: Arc::clone(&accepted.envelope), bytes })
    }

    /// The manifest, whoever has signed it.
    ///
    /// # Errors
    /// If the envelope or what is in it cannot be read.
    pub fn unchecked(&self) -> Result<Manifest, serde_json::Error> {
        manifest_in(&self.envelope)
    }
}

fn manifest_in(envelope: &[u8]) -> Result<Manifest, serde_json::Error> {
    Manifest::from_bytes(Envelope::from_bytes(envelope)?.payload())
}

/// The manifest's bytes: always the same, while the library's map of annotations has no order.
fn in_order(image: &ImageManifest) -> String {
    let mut json = serde_json::to_value(image).expect("a manifest has string keys");
    let annotations: BTreeMap<&String, &String> = image.annotations().iter().flatten().collect();
    json["annotations"] = json!(annotations);
    json.to_string()
}

fn empty_index() -> ImageIndex {
    ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests(Vec::new())
        .build()
        .expect("all that it needs is given")
}

fn tag_of(descriptor: &Descriptor) -> Option<&str> {
    descriptor.annotations().as_ref()?.get(REF_NAME).map(String::as_str)
}

fn version_of(tag: &str) -> Option<ModelVersion> {
    tag.strip_prefix('v')?.parse().ok().map(ModelVersion)
}
