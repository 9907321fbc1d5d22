//! The last check before a model serves: does it answer what it answered where it was made?
//!
//! Guests compute the same bits on every machine, so the comparison is exact.

use crate::load::Model;
use crate::predict::CallError;

/// A batch and the answer it must give.
#[derive(Debug, Clone, PartialEq)]
pub struct GoldenVector {
    /// Feature values, column-major.
    pub features: Vec<f64>,
    /// Codes of the factor.
    pub codes: Vec<u32>,
    /// The values to be predicted; those of unseen levels are not compared.
    pub values: Vec<f64>,
    /// The rows that must be of an unseen level.
    pub unseen_level: Vec<u32>,
}

/// Why a model must not serve.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SelfTestError {
    /// It failed on a golden vector.
    #[error("golden vector {vector} failed")]
    Call {
        /// Which vector.
        vector: usize,
        /// How it failed.
        #[source]
        error: CallError,
    },
    /// It predicted something else for a row.
    #[error("golden vector {vector} gave {got} for row {row}, not {expected}")]
    Value {
        /// Which vector.
        vector: usize,
        /// Which row of it.
        row: usize,
        /// What was predicted.
        got: f64,
        /// What should have been.
        expected: f64,
    },
    /// It predicted a row of an unseen level, or refused one of a seen level, or the vector has
    /// another number of values than rows.
    #[error("golden vector {vector} gave other rows")]
    Rows {
        /// Which vector.
        vector: usize,
    },
}

impl Model {
    /// Predicts every golden vector and compares bit for bit.
    pub fn self_test(&self, vectors: &[GoldenVector]) -> Result<(), SelfTestError> {
        let mut predictor = self.predictor();
        for (vector, golden) in vectors.iter().enumerate() {
            let got = predictor
                .predict(&golden.features, &golden.codes)
                .map_err(|error| SelfTestError::Call { vector, error })?;
            if got.unseen_level != golden.unseen_level || got.values.len() != golden.values.len() {
                return Err(SelfTestError::Rows { vector });
            }
            let differs = |row: &usize| {
                got.values[*row].to_bits() != golden.values[*row].to_bits()
                    && !u32::try_from(*row).is_ok_and(|row| golden.unseen_level.contains(&row))
            };
            if let Some(row) = (0..got.values.len()).find(differs) {
                let (got, expected) = (got.values[row], golden.values[row]);
                return Err(SelfTestError::Value { vector, row, got, expected });
            }
        }
        Ok(())
    }
}
