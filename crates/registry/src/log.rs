//! Reads the topic of models, record by record.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use weir_events::{Digest, ModelVersion};

use crate::manifest::Manifest;

/// Components that may wait for their manifest. A trainer writes one and then its manifest.
const BLOBS_MAX: usize = 16;

/// The key of a record in the topic of models.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordKey {
    /// The newest manifest of this model.
    Manifest(String),
    /// The component with this digest.
    Blob(Digest),
}

impl RecordKey {
    /// Reads a key; none if it is of another kind.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/')? {
            ("manifest", model) if !model.is_empty() => Some(Self::Manifest(model.to_owned())),
            ("blob", digest) => digest.parse().ok().map(Self::Blob),
            _ => None,
        }
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(model) => write!(f, "manifest/{model}"),
            Self::Blob(digest) => write!(f, "blob/{digest}"),
        }
    }
}

/// A version that is the newest, with the bytes that its manifest names.
#[derive(Clone, PartialEq, Debug)]
pub struct Candidate {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its component.
    pub bytes: Arc<[u8]>,
}

/// Why a record of the topic is passed over. The version in service stays.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The key is of no known kind.
    #[error("record key {0:?} is neither manifest/<model> nor blob/<digest>")]
    Key(String),
    /// The manifest cannot be read.
    #[error("manifest cannot be read")]
    Manifest(#[source] serde_json::Error),
    /// The manifest lies under another model's key.
    #[error("manifest is of model {0:?}")]
    OtherModel(String),
    /// The number is not above all before it.
    #[error("manifest has version {offered}, which is not above {accepted}")]
    NotNewer {
        /// Its number.
        offered: ModelVersion,
        /// The highest number so far.
        accepted: ModelVersion,
    },
    /// The bytes under a digest have another.
    #[error("component under {0} has another digest")]
    Digest(Digest),
    /// The component did not come before its manifest.
    #[error("component {0} did not come before its manifest")]
    NoBlob(Digest),
}

/// The state of one model's versions as the topic tells it.
#[derive(Debug)]
pub struct Log {
    model: String,
    accepted: Option<Manifest>,
    blobs: VecDeque<(Digest, Arc<[u8]>)>,
}

impl Log {
    /// The log of a model of which nothing has been read yet.
    pub fn new(model: &str) -> Self {
        Self { model: model.to_owned(), accepted: None, blobs: VecDeque::new() }
    }

    /// The newest accepted manifest.
    pub fn newest(&self) -> Option<&Manifest> {
        self.accepted.as_ref()
    }

    /// The number that the next version must have.
    pub fn next_version(&self) -> ModelVersion {
        self.accepted.as_ref().map_or(ModelVersion::FIRST, |manifest| manifest.version.next())
    }

    /// Takes the next record; `payload` is none for a tombstone, which retires nothing by itself.
    /// Returns a candidate when a newer version is complete.
    ///
    /// # Errors
    /// Why the record is passed over.
    pub fn apply(
        &mut self,
        key: &str,
        payload: Option<&[u8]>,
    ) -> Result<Option<Candidate>, Refusal> {
        let parsed = RecordKey::parse(key);
        let parsed = parsed.ok_or_else(|| Refusal::Key(key.chars().take(128).collect()))?;
        match (parsed, payload) {
            (_, None) => Ok(None),
            (RecordKey::Blob(digest), Some(bytes)) => self.keep(digest, bytes).map(|()| None),
            (RecordKey::Manifest(model), Some(_)) if model != self.model => Ok(None),
            (RecordKey::Manifest(_), Some(bytes)) => self.accept(bytes).map(Some),
        }
    }

    fn keep(&mut self, digest: Digest, bytes: &[u8]) -> Result<(), Refusal> {
        if Digest::of(bytes) != digest {
            return Err(Refusal::Digest(digest));
        }
        if self.blobs.iter().any(|(known, _)| *known == digest) {
            return Ok(());
        }
        if self.blobs.len() == BLOBS_MAX {
            self.blobs.pop_front();
        }
        self.blobs.push_back((digest, bytes.into()));
        Ok(())
    }

    fn accept(&mut self, bytes: &[u8]) -> Result<Candidate, Refusal> {
        let manifest = Manifest::from_bytes(bytes).map_err(Refusal::Manifest)?;
        if manifest.model != self.model {
            return Err(Refusal::OtherModel(manifest.model));
        }
        if let Some(accepted) = self.accepted.as_ref().map(|accepted| accepted.version)
            && manifest.version <= accepted
        {
            return Err(Refusal::NotNewer { offered: manifest.version, accepted });
        }
        let blob = self.blobs.iter().find(|(digest, _)| *digest == manifest.digest);
        let (_, bytes) = blob.ok_or(Refusal::NoBlob(manifest.digest))?;
        let candidate = Candidate { manifest: manifest.clone(), bytes: Arc::clone(bytes) };
        self.accepted = Some(manifest);
        Ok(candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Metrics, TrainingRows};
    use proptest::prelude::*;
    use weir_events::EventTime;

    fn manifest(version: u64, component: &[u8]) -> Manifest {
        let digest = Digest::of(component);
        Manifest {
            model: "weight".into(),
            version: ModelVersion(version),
            digest,
            size: component.len() as u64,
            model_time: EventTime::EPOCH,
            parent: None,
            template: digest,
            formula: "Weight ~ Length".into(),
            trigger: None,
            rows: TrainingRows {
                first_id: "1".into(),
                last_id: "9".into(),
                n: 9,
                left_out: 0,
                digest,
            },
            levels: vec![],
            coefficients: vec![],
            metrics: Metrics { r_squared: None, adj_r_squared: None, sigma: None, df_residual: 0 },
            golden: vec![],
            retrain_ms: 0.5,
        }
    }

    fn blob(log: &mut Log, component: &[u8]) -> Result<Option<Candidate>, Refusal> {
        log.apply(&format!("blob/{}", Digest::of(component)), Some(component))
    }

    fn offer(log: &mut Log, manifest: &Manifest) -> Result<Option<Candidate>, Refusal> {
        log.apply("manifest/weight", Some(&manifest.to_bytes()))
    }

    #[test]
    fn a_version_is_handed_out_with_its_bytes() {
        let mut log = Log::new("weight");
        assert_eq!(log.next_version(), ModelVersion(1));
        assert!(blob(&mut log, b"one").expect("kept").is_none());
        let candidate = offer(&mut log, &manifest(1, b"one")).expect("accepted").expect("complete");
        assert_eq!((&*candidate.bytes, candidate.manifest.version), (&b"one"[..], ModelVersion(1)));
        assert_eq!(log.next_version(), ModelVersion(2));
    }

    #[test]
    fn of_two_manifests_with_one_number_the_first_counts() {
        let mut log = Log::new("weight");
        blob(&mut log, b"one").expect("kept");
        blob(&mut log, b"two").expect("kept");
        offer(&mut log, &manifest(1, b"one")).expect("accepted");
        let refusal = offer(&mut log, &manifest(1, b"two")).expect_err("refused");
        assert!(matches!(refusal, Refusal::NotNewer { .. }), "{refusal}");
        assert_eq!(log.newest().map(|newest| newest.digest), Some(Digest::of(b"one")));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut log = Log::new("weight");
        let forged = log.apply(&format!("blob/{}", Digest::of(b"one")), Some(b"two"));
        assert!(matches!(forged, Err(Refusal::Digest(_))));
        assert!(matches!(offer(&mut log, &manifest(1, b"one")), Err(Refusal::NoBlob(_))));
        assert!(matches!(log.apply("else", Some(b"")), Err(Refusal::Key(_))));
        assert!(matches!(log.apply("manifest/weight", Some(b"{}")), Err(Refusal::Manifest(_))));
        let other = Manifest { model: "other".into(), ..manifest(1, b"one") };
        assert!(matches!(offer(&mut log, &other), Err(Refusal::OtherModel(_))));
        assert!(log.apply("manifest/other", Some(b"{}")).expect("another model's").is_none());
        assert!(log.apply("manifest/weight", None).expect("a tombstone").is_none());
        assert!(log.newest().is_none());
    }

    proptest! {
        /// Whatever is written by whoever: accepted versions rise, and a reader that begins later ends
        /// with the same version as long as the newest manifest and its component are kept.
        #[test]
        fn accepted_versions_rise(versions in proptest::collection::vec(0u64..6, 1..30)) {
            let mut log = Log::new("weight");
            let mut highest = None;
            for version in versions {
                let component = version.to_be_bytes();
                blob(&mut log, &component).expect("kept");
                let accepted = offer(&mut log, &manifest(version, &component)).is_ok();
                prop_assert_eq!(accepted, highest.is_none_or(|highest| version > highest));
                highest = highest.max(Some(version));
                prop_assert_eq!(log.newest().map(|newest| newest.version.0), highest);
            }
        }
    }
}
