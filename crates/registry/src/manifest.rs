//! The manifest of a version: its model card.

use serde::{Deserialize, Serialize};
use weir_events::{Digest, EventTime, ModelRef, ModelVersion};

/// Everything that is known about a version besides its bytes. None of it is inside the component, so
/// that the same rows give the same component.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct Manifest {
    /// The name of the model that this is a version of.
    pub model: String,
    /// The version's number.
    pub version: ModelVersion,
    /// The digest of the component.
    pub digest: Digest,
    /// The length of the component in bytes.
    pub size: u64,
    /// What hosts are to do with it.
    pub stage: Stage,
    /// When it was trained, by the trainer's clock.
    pub model_time: EventTime,
    /// When this manifest was made. Later than `model_time` for a version that was promoted or is back.
    pub created: EventTime,
    /// When it ends to count; none if never.
    pub expires: Option<EventTime>,
    /// The version that was in service then.
    pub parent: Option<ModelVersion>,
    /// The version whose component this is; none for a component that is new.
    pub source: Option<ModelVersion>,
    /// The digest of the untrained component that was trained.
    pub template: Digest,
    /// What is regressed on what, in R's notation, as configured.
    pub formula: String,
    /// Why it was made.
    pub cause: Cause,
    /// The rows it was trained with.
    pub rows: TrainingRows,
    /// The levels that occur among them, sorted by code point.
    pub levels: Vec<String>,
    /// The coefficients in R's order and with R's names.
    pub coefficients: Vec<Coefficient>,
    /// How well it fits its training rows.
    pub metrics: Metrics,
    /// How it did on rows that it was not trained with; none if there were none.
    pub hold_out: Option<HoldOut>,
    /// The champion before it, which predicts beside it at first, so that they can be compared on the same rows.
    pub probation: Option<ModelVersion>,
    /// Inputs with the answers that the component must give, to the last bit, before it may serve.
    pub golden: Vec<Golden>,
    /// How long it took from the rows to a component that is ready to serve, in milliseconds.
    pub retrain_ms: f64,
}

/// What hosts are to do with a version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Serve it.
    Champion,
    /// Let it predict beside the champion; what it says is recorded, not served.
    Challenger,
    /// Nothing: it was not good enough, and is kept with the reason.
    Refused,
}

impl Stage {
    /// The stable text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Challenger => "challenger",
            Self::Refused => "refused",
        }
    }
}

/// Why a version was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// What kind of cause.
    pub kind: CauseKind,
    /// The id of the trigger or request; none for a version that a person made by hand.
    pub id: Option<String>,
    /// Who asked, if anybody did.
    pub by: Option<String>,
    /// What was said about it: why it was asked for, or why it was refused.
    pub reason: Option<String>,
}

/// The kinds of causes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseKind {
    /// A detector's trigger.
    Trigger,
    /// A request to retrain.
    Retrain,
    /// A request to serve an earlier version.
    Rollback,
    /// A request to serve a version that waited or was refused.
    Promotion,
    /// A comparison on the same rows, before the swap or after it.
    Comparison,
    /// A file of rows or a component, by hand.
    File,
}

impl CauseKind {
    /// The stable text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Retrain => "retrain",
            Self::Rollback => "rollback",
            Self::Promotion => "promotion",
            Self::Comparison => "comparison",
            Self::File => "file",
        }
    }
}

impl Cause {
    /// A file, by hand.
    pub fn file() -> Self {
        Self { kind: CauseKind::File, id: None, by: None, reason: None }
    }

    /// A detector's trigger.
    pub fn trigger(id: &str) -> Self {
        Self { kind: CauseKind::Trigger, id: Some(id.to_owned()), by: None, reason: None }
    }
}

/// How a version and the champion did on the same rows, none of which the version was trained with.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldOut {
    /// How many rows.
    pub n: u64,
    /// The digest over them, as over training rows.
    pub digest: Digest,
    /// The version's mean relative error. A row without an answer counts as 1.
    pub error: f64,
    /// The champion then, and its error; none if there was none.
    pub champion: Option<ModelVersion>,
    /// The champion's mean relative error.
    pub champion_error: Option<f64>,
}

/// Which rows a version was trained with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRows {
    /// The key of the oldest.
    pub first_id: String,
    /// The key of the newest.
    pub last_id: String,
    /// How many they are.
    pub n: u64,
    /// How many more were left out because a value was missing or not finite.
    pub left_out: u64,
    /// The keys of all, oldest first, if they are few and short ([`TrainingRows::IDS_MAX`]); else none.
    pub ids: Vec<String>,
    /// The time of the oldest and of the newest; none for rows of a file.
    pub times: Option<(EventTime, EventTime)>,
    /// Which rows of the store they are; none for rows of a file.
    pub selection: Option<Selection>,
    /// The digest over all of them: keys, numbers and levels, in order.
    pub digest: Digest,
}

impl TrainingRows {
    /// So many rows are named one by one.
    pub const IDS_MAX: usize = 1000;
    /// And only if their keys have no more bytes together: an envelope must not become too large to count.
    pub const ID_BYTES_MAX: usize = 64 << 10;
}

/// The newest rows of the store up to one of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// How many rows were taken, those of the hold-out and those left out included.
    pub taken: u64,
    /// The time of the newest, and the partition and offset of its joined row.
    pub last: (EventTime, i32, i64),
    /// How many of them were held out.
    pub held_out: u64,
    /// Whether these are the oldest; otherwise they are at even distances.
    pub before: bool,
}

/// One term of the model.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coefficient {
    /// R's name: `(Intercept)`, `Length`, `Specieswalleye`.
    pub name: String,
    /// The coefficient; none for a column that was dropped as collinear.
    pub estimate: Option<f64>,
    /// Its standard error.
    pub std_error: Option<f64>,
}

/// Figures over the training rows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The share of the variance that is explained.
    pub r_squared: Option<f64>,
    /// The same, adjusted for the degrees of freedom.
    pub adj_r_squared: Option<f64>,
    /// The residual standard error, in the unit of the target.
    pub sigma: Option<f64>,
    /// Degrees of freedom left.
    pub df_residual: u32,
}

/// One row with the answer to it. The row is made up, not a training row.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// The features, in the order of the schema.
    pub features: Vec<f64>,
    /// The code of the level; none for a model without factor.
    pub code: Option<u32>,
    /// The prediction.
    pub expected: f64,
}

impl Manifest {
    /// How predictions name this version.
    pub fn model_ref(&self) -> ModelRef {
        ModelRef { version: self.version, digest: self.digest, time: self.model_time }
    }

    /// The manifest's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest has string keys and can be written")
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
