//! The events and results that travel, in their inner form. Their JSON form is in `codec`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{EventId, Key};
use crate::model::{Digest, ModelRef, ModelVersion};
use crate::time::EventTime;

/// The cheap numbers of one event, measured first.
#[derive(Clone, PartialEq, Debug)]
pub struct Measurement {
    /// The event's id.
    pub id: EventId,
    /// What the target will be joined by.
    pub key: Key,
    /// When it was measured.
    pub time: EventTime,
    /// The features in the order of the schema; finite and in range.
    pub features: Vec<f64>,
    /// The level of the factor, if the schema has one.
    pub level: Option<Arc<str>>,
}

/// The expensive number of one event, measured later.
#[derive(Clone, PartialEq, Debug)]
pub struct Target {
    /// The event's id; not the id of the measurement it belongs to.
    pub id: EventId,
    /// The key it shares with its measurement.
    pub key: Key,
    /// When it was measured.
    pub time: EventTime,
    /// The value: finite, in range and above zero.
    pub value: f64,
}

/// Why a prediction has no number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Missing {
    /// The model has the factor, but not this level of it.
    UnseenLevel,
    /// The model answered NaN or an infinity.
    NotFinite,
    /// The component trapped, ran over its deadline or broke the contract.
    ModelFailed,
}

impl Missing {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::UnseenLevel, Self::NotFinite, Self::ModelFailed];

    /// The stable text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnseenLevel => "unseen-level",
            Self::NotFinite => "not-finite",
            Self::ModelFailed => "model-failed",
        }
    }
}

/// A predicted number, or why there is none.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Outcome {
    /// The number, finite, in the unit of the target.
    Value(f64),
    /// No number.
    Missing(Missing),
}

impl Outcome {
    /// The number, if there is one.
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing(_) => None,
        }
    }
}

/// A measurement with what one model version predicts from it.
#[derive(Clone, PartialEq, Debug)]
pub struct Prediction {
    /// What was measured. The prediction has the measurement's id.
    pub measurement: Measurement,
    /// What was predicted.
    pub outcome: Outcome,
    /// The model that did.
    pub model: ModelRef,
    /// What another version says; none if there is none beside the one that serves.
    pub shadow: Option<Shadow>,
}

/// What a version that does not serve predicts from the same measurement. It is recorded, to compare them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Shadow {
    /// The number; none if it has no answer.
    pub value: Option<f64>,
    /// Its number.
    pub version: ModelVersion,
    /// The digest of its component.
    pub digest: Digest,
}

/// A prediction joined with the target that was measured later. A training row.
#[derive(Clone, PartialEq, Debug)]
pub struct Joined {
    /// What was predicted, from what, by which model. The row has the measurement's id.
    pub prediction: Prediction,
    /// What was measured; above zero.
    pub actual: f64,
    /// The time of the later side.
    pub time: EventTime,
    /// The relative error, rounded to three decimals; none if there is no predicted number.
    pub error: Option<f64>,
}

/// How two versions did on the same joined rows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Compared {
    /// The version that served.
    pub served: ModelVersion,
    /// Its mean relative error.
    pub served_error: f64,
    /// The version that answered beside it, and was not listened to.
    pub shadow: ModelVersion,
    /// Its mean relative error.
    pub shadow_error: f64,
    /// How many rows.
    pub rows: u64,
}

/// Where a row lies in its Kafka topic. Rows with the same time are ordered by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RowPosition {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// Which of the two topics of a join an event came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// The predictions.
    Prediction,
    /// The targets.
    Target,
}

/// Why an event was not joined.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum UnjoinedReason {
    /// No partner came in time.
    Unmatched,
    /// The event itself came too late.
    Late,
    /// Another event of the same side and key was there already.
    Duplicate,
    /// This very event was there already: one of the same side, key, id and time. A record that was
    /// written again after a crash; of a prediction, the first is the one that counts.
    Superseded,
}

impl UnjoinedReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Unmatched, Self::Late, Self::Duplicate, Self::Superseded];

    /// The stable text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unmatched => "unmatched",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::Superseded => "superseded",
        }
    }
}

/// An event that leaves the join without a partner.
#[derive(Clone, PartialEq, Debug)]
pub struct Unjoined {
    /// Why.
    pub reason: UnjoinedReason,
    /// Which side it came from.
    pub side: Side,
    /// Its key.
    pub key: Key,
    /// Its id.
    pub id: EventId,
    /// Its time.
    pub time: EventTime,
    /// The predicted number or the measured target, if there is one.
    pub value: Option<f64>,
}

/// A window of joined rows that has closed.
#[derive(Clone, PartialEq, Debug)]
pub struct WindowClosed {
    /// Its first instant.
    pub start: EventTime,
    /// The first instant after it.
    pub end: EventTime,
    /// Rows in it that have an error.
    pub rows: u64,
    /// Their mean error, not rounded.
    pub mean_error: f64,
    /// Whether the mean is above the threshold, so that a trigger was sent.
    pub triggered: bool,
}

/// A request to retrain, and what caused it.
#[derive(Clone, PartialEq, Debug)]
pub struct Trigger {
    /// Detector and window start: the same for a repetition.
    pub id: String,
    /// The detector's name.
    pub detector: String,
    /// The levels among the rows that caused it, sorted.
    pub levels: Vec<String>,
    /// Key of the first of those rows.
    pub first: Key,
    /// Key of the last of those rows.
    pub last: Key,
    /// Their mean error; none if they have no error, as for an unseen level.
    pub mean_error: Option<f64>,
    /// How many they are.
    pub rows: u64,
    /// First instant of the window.
    pub start: EventTime,
    /// First instant after the window.
    pub end: EventTime,
    /// The row whose arrival caused the trigger: training takes the rows up to and including it.
    pub closed_by: EventId,
    /// That row's time.
    pub closed_at: EventTime,
    /// Where that row lies in the topic of joined rows.
    pub position: RowPosition,
}
