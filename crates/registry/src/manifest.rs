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
    /// When it was trained, by the trainer's clock.
    pub model_time: EventTime,
    /// The version that was in service then.
    pub parent: Option<ModelVersion>,
    /// The digest of the untrained component that was trained.
    pub template: Digest,
    /// What is regressed on what, in R's notation, as configured.
    pub formula: String,
    /// The id of the trigger that caused the training; none for a version made by hand.
    pub trigger: Option<String>,
    /// The rows it was trained with.
    pub rows: TrainingRows,
    /// The levels that occur among them, sorted by code point.
    pub levels: Vec<String>,
    /// The coefficients in R's order and with R's names.
    pub coefficients: Vec<Coefficient>,
    /// How well it fits its training rows.
    pub metrics: Metrics,
    /// Inputs with the answers that the component must give, to the last bit, before it may serve.
    pub golden: Vec<Golden>,
    /// How long it took from the rows to a component that is ready to serve, in milliseconds.
    pub retrain_ms: f64,
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
    /// The digest over all of them: keys, numbers and levels, in order.
    pub digest: Digest,
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
