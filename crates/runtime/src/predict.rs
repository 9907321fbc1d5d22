//! Batches through a model.
//!
//! A predictor belongs to one thread. It keeps its instance from batch to batch, because a fresh
//! one costs as much as thousands of rows, and throws it away after any fault: the next batch gets
//! a new one. So a model that fails on one batch does not spoil the next.

use crate::bindings::{World, wit};
use crate::fault::Fault;
use crate::load::Model;
use crate::sandbox::Sandbox;

/// Predicts batches with one model.
#[derive(Debug)]
pub struct Predictor {
    model: Model,
    live: Option<Live>,
}

struct Live {
    sandbox: Sandbox,
    world: World,
}

/// A batch of predictions, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Predictions {
    /// One for each row, in the unit of the target. Those of rows that are listed below mean
    /// nothing.
    pub values: Vec<f64>,
    /// The rows, ascending, whose level the model has not seen in training.
    pub unseen_level: Vec<u32>,
    /// The other rows, ascending, for which the model answered NaN or an infinity.
    pub not_finite: Vec<u32>,
}

/// Why there are no predictions for a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The model is a template.
    #[error("model has not been trained")]
    Untrained,
    /// The lengths of the columns do not fit the model's schema.
    #[error("{features} feature values and {codes} codes do not fit a model of {columns} features")]
    Shape {
        /// Features of the schema.
        columns: usize,
        /// Feature values given.
        features: usize,
        /// Codes given.
        codes: usize,
    },
    /// The batch is longer than allowed.
    #[error("batch has {rows} rows, more than {max}")]
    TooManyRows {
        /// Rows given.
        rows: usize,
        /// Rows allowed.
        max: usize,
    },
    /// The model refused columns that fit the schema it describes.
    #[error("model refused a batch that fits its own schema")]
    Refused,
    /// The model answered for another number of rows.
    #[error("model answered with {values} values for {rows} rows")]
    WrongLength {
        /// Rows asked.
        rows: usize,
        /// Values answered.
        values: usize,
    },
    /// The rows said to be of an unseen level do not ascend, or are not in the batch.
    #[error("model named row {0} as unseen, out of order or out of range")]
    BadUnseenRow(u32),
    /// The model could not be instantiated.
    #[error("model could not be instantiated")]
    Instantiate(#[source] Fault),
    /// The model failed.
    #[error("model failed")]
    Fault(#[source] Fault),
}

impl CallError {
    /// Whether the model is at fault, rather than what it was asked: a reason to replace it.
    pub fn blames_model(&self) -> bool {
        !matches!(self, Self::Untrained | Self::Shape { .. } | Self::TooManyRows { .. })
    }
}

impl Predictor {
    pub(crate) fn new(model: Model) -> Self {
        Self { model, live: None }
    }

    /// The model that answers.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Predicts one batch of `n` rows.
    ///
    /// `features` are column-major: the value of feature `j` in row `i` is at `j * n + i`. `codes`
    /// are indices into the description's levels, any larger number for a level not among them;
    /// `n` of them for a model with a factor, none otherwise.
    pub fn predict(&mut self, features: &[f64], codes: &[u32]) -> Result<Predictions, CallError> {
        let rows = self.rows(features, codes)?;
        // Taken out, and put back only if the instance may be entered again.
        let mut live = match self.live.take() {
            Some(live) => live,
            None => Live::new(&self.model).map_err(CallError::Instantiate)?,
        };
        let answer = live.predict(&self.model, features, codes).map_err(CallError::Fault)?;
        self.live = Some(live);
        match answer {
            Ok(predictions) => check(rows, predictions),
            Err(_) => Err(CallError::Refused),
        }
    }

    /// The number of rows, if the columns fit the schema.
    fn rows(&self, features: &[f64], codes: &[u32]) -> Result<usize, CallError> {
        let schema = self.model.description().schema.as_ref().ok_or(CallError::Untrained)?;
        // A checked schema has at least one feature.
        let columns = schema.features.len();
        let rows = features.len() / columns;
        let codes_due = if schema.factor.is_some() { rows } else { 0 };
        if !features.len().is_multiple_of(columns) || codes.len() != codes_due {
            let (features, codes) = (features.len(), codes.len());
            return Err(CallError::Shape { columns, features, codes });
        }
        let max = self.model.runtime().limits().batch_rows_max;
        if rows > max { Err(CallError::TooManyRows { rows, max }) } else { Ok(rows) }
    }
}

impl Live {
    fn new(model: &Model) -> Result<Self, Fault> {
        let mut sandbox = Sandbox::new(model.runtime());
        let deadline = model.runtime().limits().describe_deadline;
        let world = sandbox.call(deadline, |store| model.world().instantiate(store))?;
        Ok(Self { sandbox, world })
    }

    fn predict(
        &mut self,
        model: &Model,
        features: &[f64],
        codes: &[u32],
    ) -> Result<Result<wit::Predictions, wit::PredictError>, Fault> {
        let deadline = model.runtime().limits().predict_deadline;
        let regressor = self.world.weir_model_regressor();
        self.sandbox.call(deadline, |store| regressor.call_predict(store, features, codes))
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("sandbox", &self.sandbox).finish_non_exhaustive()
    }
}

/// Believes a guest's answer only where it can be true.
fn check(rows: usize, answer: wit::Predictions) -> Result<Predictions, CallError> {
    let wit::Predictions { values, unseen_level } = answer;
    if values.len() != rows {
        return Err(CallError::WrongLength { rows, values: values.len() });
    }
    let mut next = 0;
    for &row in &unseen_level {
        if row < next || row as usize >= rows {
            return Err(CallError::BadUnseenRow(row));
        }
        next = row + 1;
    }
    let mut not_finite = Vec::new();
    for (row, value) in (0_u32..).zip(&values) {
        if !value.is_finite() && unseen_level.binary_search(&row).is_err() {
            not_finite.push(row);
        }
    }
    Ok(Predictions { values, unseen_level, not_finite })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(values: &[f64], unseen_level: &[u32]) -> wit::Predictions {
        wit::Predictions { values: values.into(), unseen_level: unseen_level.into() }
    }

    #[test]
    fn an_answer_is_believed_only_where_it_can_be_true() {
        let wrong = CallError::WrongLength { rows: 2, values: 3 };
        assert_eq!(check(2, answer(&[1.0; 3], &[])), Err(wrong));
        assert_eq!(check(2, answer(&[1.0; 2], &[2])), Err(CallError::BadUnseenRow(2)));
        assert_eq!(check(2, answer(&[1.0; 2], &[1, 0])), Err(CallError::BadUnseenRow(0)));
        assert_eq!(check(2, answer(&[1.0; 2], &[1, 1])), Err(CallError::BadUnseenRow(1)));
        let last = check(1, answer(&[1.0], &[u32::MAX]));
        assert_eq!(last, Err(CallError::BadUnseenRow(u32::MAX)));
    }

    #[test]
    fn a_value_that_is_no_number_spoils_its_row_alone() {
        let answer = answer(&[1.0, f64::NAN, f64::NEG_INFINITY, f64::NAN], &[3]);
        let predictions = check(4, answer).unwrap();
        assert_eq!(predictions.not_finite, [1, 2]);
        assert_eq!(predictions.unseen_level, [3]);
    }
}
