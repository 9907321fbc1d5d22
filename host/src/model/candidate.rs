//! The last checks before a component serves: does it fit the schema, and does it answer as it did
//! where it was trained?

use weir_events::Schema;
use weir_registry::Golden;
use weir_runtime::{CallError, GoldenVector, Model, SelfTestError};

/// Made-up values for features, so that no training row is published: small, large, negative.
const PROBES: [f64; 3] = [1.0, 88.25, -1e6];

/// Why a component must not serve.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It is a template.
    #[error("component is not trained")]
    Untrained,
    /// It was trained for other columns.
    #[error("component was trained for {found}, this host is configured for {expected}")]
    Schema {
        /// The component's.
        found: String,
        /// The host's.
        expected: String,
    },
    /// It answers otherwise than where it was trained.
    #[error("component does not answer as it did where it was trained")]
    SelfTest(#[from] SelfTestError),
}

/// Inputs of every level with the answers that the model gives to them now.
pub(super) fn golden(model: &Model) -> Result<Vec<Golden>, CallError> {
    let description = model.description();
    let columns = description.schema.as_ref().ok_or(CallError::Untrained)?.features.len();
    let codes: Vec<Option<u32>> = match u32::try_from(description.levels.len()) {
        Ok(levels) if levels > 0 => (0..levels).map(Some).collect(),
        _ => vec![None],
    };
    let mut predictor = model.predictor();
    let mut golden = Vec::new();
    for code in codes {
        for probe in PROBES {
            let steps = std::iter::successors(Some(probe), |value| Some(value * 0.75 + 0.125));
            let features: Vec<f64> = steps.take(columns).collect();
            let code_list: Vec<u32> = code.into_iter().collect();
            let predictions = predictor.predict(&features, &code_list)?;
            // A collinear level has no coefficient of its own, but every seen level has an answer.
            if let ([expected], []) = (&*predictions.values, &*predictions.not_finite) {
                golden.push(Golden { features, code, expected: *expected });
            }
        }
    }
    Ok(golden)
}

/// Checks a component that comes from elsewhere.
///
/// # Errors
/// Why it must not serve.
pub fn check(model: &Model, schema: &Schema, golden: &[Golden]) -> Result<(), Unfit> {
    let found = model.description().schema.as_ref().ok_or(Unfit::Untrained)?;
    let fits = found.target == schema.target
        && found.features == schema.features
        && (found.factor.is_none() || found.factor == schema.factor);
    if !fits {
        let found = format!("{} ~ {}", found.target, found.features.join(" + "));
        return Err(Unfit::Schema { found, expected: schema.formula() });
    }
    let vector = |golden: &Golden| GoldenVector {
        features: golden.features.clone(),
        codes: golden.code.into_iter().collect(),
        values: vec![golden.expected],
        unseen_level: Vec::new(),
    };
    let vectors: Vec<GoldenVector> = golden.iter().map(vector).collect();
    Ok(model.self_test(&vectors)?)
}
