//! Reads the topic of models, record by record.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use weir_events::{Digest, EventTime, ModelRef, ModelVersion};

use crate::manifest::{Manifest, Stage};
use crate::trust::{Trust, TrustError};

/// Bytes of components at hand, the newest whatever its size. A trainer writes one and then its manifest, so a host needs
/// the last; a rollback needs earlier ones, of which this holds some hundred of the usual size.
const BLOB_BYTES_MAX: usize = 64 << 20;
/// Manifests at hand: the newest.
const MANIFESTS_MAX: usize = 1024;

/// The key of a record in the topic of models.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordKey {
    /// A manifest of this model, with its number.
    Manifest(String, ModelVersion),
    /// The component with this digest.
    Blob(Digest),
    /// What became of the last request about this model.
    Answer(String),
}

impl RecordKey {
    /// Reads a key; none if it is of another kind.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/')? {
            ("manifest", rest) => {
                let (model, version) = rest.rsplit_once('/')?;
                let version = version.parse().ok().map(ModelVersion)?;
                (!model.is_empty()).then(|| Self::Manifest(model.to_owned(), version))
            }
            ("blob", digest) => digest.parse().ok().map(Self::Blob),
            ("answer", model) if !model.is_empty() => Some(Self::Answer(model.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(model, version) => write!(f, "manifest/{model}/{}", version.0),
            Self::Blob(digest) => write!(f, "blob/{digest}"),
            Self::Answer(model) => write!(f, "answer/{model}"),
        }
    }
}

/// A manifest that counts, with the bytes that it names.
#[derive(Clone, PartialEq, Debug)]
pub struct Accepted {
    /// The manifest.
    pub manifest: Arc<Manifest>,
    /// The envelope that it came in.
    pub envelope: Arc<[u8]>,
    /// Its component; none if that did not come before it.
    pub bytes: Option<Arc<[u8]>>,
}

/// The highest champion that a host has ever served. It is kept on disk, so that nobody can bring a host back to
/// an older version while it is down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Floor {
    /// Its number.
    pub version: ModelVersion,
    /// The digest of the component.
    pub digest: Digest,
}

impl Floor {
    /// That a version serves.
    pub fn of(model: ModelRef) -> Self {
        Self { version: model.version, digest: model.digest }
    }
}

/// Why a record of the topic is passed over. The version in service stays.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The key is of no known kind.
    #[error("record key {0:?} is no manifest/<model>/<version>, blob/<digest> or answer/<model>")]
    Key(String),
    /// Nobody who counts has signed it.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The manifest lies under another key than its own.
    #[error("manifest is of {0:?}, not of its key")]
    OtherKey(String),
    /// The number is not above all before it.
    #[error("manifest has {offered}, which is not above {accepted}")]
    NotNewer {
        /// Its number.
        offered: ModelVersion,
        /// The highest number so far.
        accepted: ModelVersion,
    },
    /// This host has served a version under that number, and it was another one.
    #[error("manifest of {0} is not the one that this host has served under that number")]
    OtherThanServed(ModelVersion),
    /// The bytes under a digest have another.
    #[error("component under {0} has another digest")]
    Digest(Digest),
}

impl Refusal {
    /// Every answer of [`Refusal::reason`].
    pub const REASONS: [&str; 6] =
        ["key", "trust", "other-key", "not-newer", "other-than-served", "digest"];

    /// The stable text form of its kind.
    pub fn reason(&self) -> &'static str {
        let place = match self {
            Self::Key(_) => 0,
            Self::Trust(_) => 1,
            Self::OtherKey(_) => 2,
            Self::NotNewer { .. } => 3,
            Self::OtherThanServed(_) => 4,
            Self::Digest(_) => 5,
        };
        Self::REASONS[place]
    }
}

/// The state of one model's versions as the topic tells it.
#[derive(Debug)]
pub struct Log {
    model: String,
    trust: Arc<Trust>,
    floor: Option<Floor>,
    highest: Option<ModelVersion>,
    accepted: BTreeMap<ModelVersion, Accepted>,
    blobs: VecDeque<(Digest, Arc<[u8]>)>,
}

impl Log {
    /// The log of a model of which nothing has been read yet.
    pub fn new(model: &str, trust: Arc<Trust>) -> Self {
        Self {
            model: model.to_owned(),
            trust,
            floor: None,
            highest: None,
            accepted: BTreeMap::new(),
            blobs: VecDeque::new(),
        }
    }

    /// Accepts no champion below this one, nor another one under its number.
    #[must_use]
    pub fn above(self, floor: Option<Floor>) -> Self {
        Self { floor, ..self }
    }

    /// Whose versions count.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The version that hosts serve.
    pub fn champion(&self) -> Option<&Accepted> {
        self.accepted.values().rev().find(|accepted| accepted.manifest.stage == Stage::Champion)
    }

    /// The version that predicts beside the champion, until something is decided about it.
    pub fn challenger(&self) -> Option<&Accepted> {
        let newest = self.accepted.values().rev();
        let mut newest = newest.take_while(|accepted| accepted.manifest.stage != Stage::Champion);
        let challenger = newest.find(|accepted| accepted.manifest.stage == Stage::Challenger)?;
        let version = challenger.manifest.version;
        let decided =
            self.accepted.range(version..).any(|(_, later)| later.manifest.source == Some(version));
        (!decided).then_some(challenger)
    }

    /// A version that the topic still holds.
    pub fn get(&self, version: ModelVersion) -> Option<&Accepted> {
        self.accepted.get(&version)
    }

    /// All versions that the topic still holds, oldest first.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &Accepted> + '_ {
        self.accepted.values()
    }

    /// The component with this digest, if it is at hand.
    fn blob(&self, digest: Digest) -> Option<&Arc<[u8]>> {
        self.blobs.iter().find(|(known, _)| *known == digest).map(|(_, bytes)| bytes)
    }

    /// The number that the next version must have.
    pub fn next_version(&self) -> ModelVersion {
        self.highest.map_or(ModelVersion::FIRST, ModelVersion::next)
    }

    /// Takes the next record; `payload` is none for a tombstone. Returns a version when there is a new one. Whether it
    /// may serve is another question: [`Log::may_serve`].
    ///
    /// # Errors
    /// Why the record is passed over.
    pub fn apply(
        &mut self,
        key: &str,
        payload: Option<&[u8]>,
    ) -> Result<Option<Accepted>, Refusal> {
        let parsed = RecordKey::parse(key);
        let parsed = parsed.ok_or_else(|| Refusal::Key(key.chars().take(128).collect()))?;
        match (parsed, payload) {
            (RecordKey::Answer(_), _) => Ok(None),
            (RecordKey::Blob(digest), Some(bytes)) => self.keep(digest, bytes).map(|()| None),
            (RecordKey::Blob(digest), None) => {
                self.drop_blob(digest);
                Ok(None)
            }
            (RecordKey::Manifest(model, _), _) if model != self.model => Ok(None),
            (RecordKey::Manifest(_, version), None) => {
                // The trainer forgets what is long out of service. The champion stays in service whatever is deleted.
                if self.champion().is_some_and(|champion| champion.manifest.version != version) {
                    self.accepted.remove(&version);
                }
                Ok(None)
            }
            (RecordKey::Manifest(_, version), Some(bytes)) => self.accept(version, bytes),
        }
    }

    fn keep(&mut self, digest: Digest, bytes: &[u8]) -> Result<(), Refusal> {
        if Digest::of(bytes) != digest {
            return Err(Refusal::Digest(digest));
        }
        self.blobs.retain(|(known, _)| *known != digest);
        while let Some(oldest) = self.blobs.front().map(|(digest, _)| *digest)
            && self.blobs.iter().map(|(_, kept)| kept.len()).sum::<usize>() + bytes.len()
                > BLOB_BYTES_MAX
        {
            self.drop_blob(oldest);
        }
        let bytes: Arc<[u8]> = bytes.into();
        // Compaction may have left a component behind the manifest of an earlier version with the same one.
        for accepted in self.accepted.values_mut().filter(|old| old.manifest.digest == digest) {
            accepted.bytes.get_or_insert_with(|| Arc::clone(&bytes));
        }
        self.blobs.push_back((digest, bytes));
        Ok(())
    }

    fn drop_blob(&mut self, digest: Digest) {
        self.blobs.retain(|(known, _)| *known != digest);
        for accepted in self.accepted.values_mut().filter(|old| old.manifest.digest == digest) {
            accepted.bytes = None;
        }
    }

    fn accept(&mut self, version: ModelVersion, bytes: &[u8]) -> Result<Option<Accepted>, Refusal> {
        let manifest = self.trust.open(bytes)?;
        if manifest.model != self.model || manifest.version != version {
            return Err(Refusal::OtherKey(format!("{} {}", manifest.model, manifest.version)));
        }
        if let Some(accepted) = self.highest.filter(|highest| version <= *highest) {
            // The last one again, to the byte: a producer that did not hear that it had been taken.
            if version == accepted
                && self.get(version).is_some_and(|known| *known.envelope == *bytes)
            {
                return Ok(None);
            }
            return Err(Refusal::NotNewer { offered: version, accepted });
        }
        let is_champion = manifest.stage == Stage::Champion;
        if let Some(floor) = self.floor.filter(|_| is_champion)
            && floor.version == version
            && floor.digest != manifest.digest
        {
            return Err(Refusal::OtherThanServed(version));
        }
        self.highest = Some(version);
        let bytes_of = self.blob(manifest.digest).cloned();
        let accepted =
            Accepted { manifest: Arc::new(manifest), envelope: bytes.into(), bytes: bytes_of };
        self.accepted.insert(version, accepted.clone());
        while self.accepted.len() > MANIFESTS_MAX {
            self.accepted.pop_first();
        }
        Ok(Some(accepted))
    }

    /// Whether a host may begin to serve this champion: not one from before what it has served already, and not one that
    /// has expired, unless it is what it has served: that goes on, also after a restart.
    ///
    /// # Errors
    /// Why not.
    pub fn may_serve(&self, manifest: &Manifest, now: EventTime) -> Result<(), Refusal> {
        let floor = self.floor.map(|floor| floor.version);
        if let Some(accepted) = floor.filter(|floor| manifest.version < *floor) {
            return Err(Refusal::NotNewer { offered: manifest.version, accepted });
        }
        match manifest.expires {
            Some(expires) if expires <= now && floor != Some(manifest.version) => {
                Err(TrustError::Expired(expires).into())
            }
            _ => Ok(()),
        }
    }
}
