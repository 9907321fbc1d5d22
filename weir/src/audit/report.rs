//! What the audit has found, for programs: its fields are those of the JSON object.

use serde::Serialize;
use weir_events::{Digest, EventId, ModelVersion};

/// Everything.
#[derive(Clone, PartialEq, Serialize, Debug)]
pub(super) struct Report {
    /// Nothing is missing and nothing contradicts anything.
    pub(super) ok: bool,
    #[serde(flatten)]
    pub(super) counts: Counts,
    /// Whether the oldest predictions have been deleted.
    pub(super) predictions_cut: bool,
    /// Which model served from where to where, by partition and offset.
    pub(super) served: Vec<Range>,
    /// All versions that predictions or rows name.
    pub(super) versions: Vec<Version>,
    /// Events without prediction.
    pub(super) missing: Listed<Missing>,
    /// Predictions of events that had one.
    pub(super) superseded: Listed<Superseded>,
    /// Joined rows that say again what another has said.
    pub(super) repeated: Listed<Repeated>,
    /// What cannot be.
    pub(super) contradictions: Listed<Contradiction>,
}

/// How much there was.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Debug)]
pub(super) struct Counts {
    /// Distinct events that were measured: predicted, dead-lettered and missing ones.
    pub(super) events: u64,
    pub(super) predicted: u64,
    /// Set aside, and without prediction.
    pub(super) dead_lettered: u64,
    /// Records that can be read.
    pub(super) measurements: u64,
    pub(super) predictions: u64,
    pub(super) joined: u64,
    /// Events whose joined row may have used a prediction that is deleted.
    pub(super) not_judged: u64,
    /// Records that cannot be read, and say nothing.
    pub(super) unreadable_measurements: u64,
    pub(super) unreadable_predictions: u64,
    pub(super) unreadable_joined: u64,
}

/// How many there are, and the first of them.
#[derive(Clone, PartialEq, Serialize, Debug)]
pub(super) struct Listed<T> {
    pub(super) count: u64,
    pub(super) first: Vec<T>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}

impl<T> Listed<T> {
    pub(super) fn of(items: impl Iterator<Item = T>, max: usize) -> Self {
        let mut listed = Self::default();
        items.for_each(|item| listed.add(item, max));
        listed
    }

    pub(super) fn add(&mut self, item: T, max: usize) {
        self.count += 1;
        if self.first.len() < max {
            self.first.push(item);
        }
    }
}

/// A model, as predictions and rows name it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Debug)]
pub(super) struct Served {
    pub(super) version: ModelVersion,
    pub(super) digest: Digest,
}

/// Predictions that follow each other and are of one model.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
pub(super) struct Range {
    pub(super) partition: i32,
    /// The first offset.
    pub(super) from: i64,
    /// The last offset.
    pub(super) to: i64,
    pub(super) records: u64,
    #[serde(flatten)]
    pub(super) model: Served,
}

/// A version, and what it did.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub(super) struct Version {
    pub(super) version: ModelVersion,
    /// Should be one.
    pub(super) digests: Vec<Digest>,
    pub(super) predictions: u64,
}

/// An event without prediction, and where it was measured.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub(super) struct Missing {
    pub(super) id: EventId,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// A prediction of an event that had one.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub(super) struct Superseded {
    pub(super) id: EventId,
    pub(super) partition: i32,
    pub(super) offset: i64,
    #[serde(flatten)]
    pub(super) model: Served,
    /// The model of the first prediction, which counts.
    pub(super) first: Served,
}

/// A joined row that says what another has said.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub(super) struct Repeated {
    pub(super) id: EventId,
    pub(super) partition: i32,
    pub(super) offset: i64,
    #[serde(flatten)]
    pub(super) model: Served,
}

/// Something that cannot be. Places are in the topic of joined rows.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Contradiction {
    /// An event was joined again with another model.
    TwoModels { id: EventId, partition: i32, offset: i64, first: Served, other: Served },
    /// An event was joined again with the same model, and the row says something else.
    TwoContents { id: EventId, partition: i32, offset: i64, model: Served },
    /// An event was joined with another prediction than its first.
    NotFirst { id: EventId, joined: Served, first: Served },
    /// An event was joined with a prediction that is not there.
    NoPrediction { id: EventId, joined: Served },
    /// A version has two contents.
    TwoDigests { version: ModelVersion, digests: Vec<Digest> },
}
