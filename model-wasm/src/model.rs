//! A trained model: what a snapshot of the component carries, and the arithmetic of predictions.
//!
//! A [`Model`] is plain old data of fixed capacity without padding: the guest keeps it in a static,
//! and a snapshot publishes every byte of that. So no byte may be left over from the training rows,
//! and equal fits must have equal bytes. Undefined numbers are stored as NaN, always the same one.

use crate::design::dummy_columns;
use crate::error::PredictError;
use crate::name::Name;
use crate::report::{FStatistic, FitReport, Term};
use crate::schema::{MAX_FEATURES, MAX_LEVELS, MAX_TERMS, Schema};
use crate::summary::defined;

/// A fitted linear regression.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Model {
    /// By term; NaN for a dropped one.
    pub(crate) estimates: [f64; MAX_TERMS],
    /// By term; NaN where undefined.
    pub(crate) std_errors: [f64; MAX_TERMS],
    /// What a prediction multiplies the features with; 0 for a dropped one.
    pub(crate) slopes: [f64; MAX_FEATURES],
    /// What a prediction starts from, by level; NaN for a level without rows. Without a factor the
    /// first is the intercept.
    pub(crate) offsets: [f64; MAX_LEVELS],
    pub(crate) r_squared: f64,
    pub(crate) adj_r_squared: f64,
    pub(crate) sigma: f64,
    pub(crate) f: f64,
    pub(crate) rows: u32,
    pub(crate) rank: u32,
    pub(crate) feature_count: u32,
    pub(crate) level_count: u32,
    pub(crate) intercept: u32,
    pub(crate) has_factor: u32,
    pub(crate) names: Names,
    pub(crate) _fill: [u8; FILL],
}

/// The names of a schema and of the levels.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Names {
    pub(crate) target: Name,
    pub(crate) factor: Name,
    pub(crate) features: [Name; MAX_FEATURES],
    pub(crate) levels: [Name; MAX_LEVELS],
}

impl Names {
    pub(crate) const EMPTY: Self = Self {
        target: Name::EMPTY,
        factor: Name::EMPTY,
        features: [Name::EMPTY; MAX_FEATURES],
        levels: [Name::EMPTY; MAX_LEVELS],
    };
}

/// Bytes that round the size up to a multiple of 8, spelled out so that they are always zero.
pub(crate) const FILL: usize = (8 - size_of::<Names>() % 8) % 8;

const NUMBERS: usize = 2 * MAX_TERMS + MAX_FEATURES + MAX_LEVELS + 4;
const _: () = assert!(
    size_of::<Model>() == NUMBERS * 8 + 6 * 4 + size_of::<Names>() + FILL,
    "padding would carry bytes of the stack into snapshots"
);

/// A batch of predictions.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// One value for each row, in units of the target; 0 where the row is in `unseen_level`.
    pub values: Vec<f64>,
    /// The rows, ascending, whose level had no rows in training.
    pub unseen_level: Vec<u32>,
}

impl Model {
    /// What the guest holds before a fit: all zero, so that it takes no room in the template.
    #[cfg(target_arch = "wasm32")]
    pub(crate) const UNTRAINED: Self = Self {
        estimates: [0.0; MAX_TERMS],
        std_errors: [0.0; MAX_TERMS],
        slopes: [0.0; MAX_FEATURES],
        offsets: [0.0; MAX_LEVELS],
        r_squared: 0.0,
        adj_r_squared: 0.0,
        sigma: 0.0,
        f: 0.0,
        rows: 0,
        rank: 0,
        feature_count: 0,
        level_count: 0,
        intercept: 0,
        has_factor: 0,
        names: Names::EMPTY,
        _fill: [0; FILL],
    };

    /// A fit has at least one row.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn is_trained(&self) -> bool {
        self.rows > 0
    }

    /// The schema of the fit.
    #[must_use]
    pub fn schema(&self) -> Schema {
        Schema {
            target: self.names.target.as_str().to_owned(),
            features: owned(&self.names.features, self.feature_count),
            factor: (self.has_factor != 0).then(|| self.names.factor.as_str().to_owned()),
            intercept: self.intercept != 0,
        }
    }

    /// The levels of the factor in the order of their codes; empty without a factor.
    #[must_use]
    pub fn levels(&self) -> Vec<String> {
        owned(&self.names.levels, self.level_count)
    }

    /// The report of the fit.
    #[must_use]
    pub fn report(&self) -> FitReport {
        let df_residual = self.rows - self.rank;
        FitReport {
            rows: self.rows,
            rank: self.rank,
            df_residual,
            terms: self.terms(),
            r_squared: defined(self.r_squared),
            adj_r_squared: defined(self.adj_r_squared),
            sigma: defined(self.sigma),
            f: defined(self.f).map(|value| FStatistic {
                value,
                df_model: self.rank - self.intercept,
                df_residual,
            }),
        }
    }

    fn terms(&self) -> Vec<Term> {
        let levels = self.levels();
        let dummies = dummy_columns(self.intercept != 0, levels.len());
        let dummies = levels.iter().skip(levels.len() - dummies);
        let factor = self.names.factor.as_str();
        let names = (self.intercept != 0)
            .then(|| "(Intercept)".to_owned())
            .into_iter()
            .chain(owned(&self.names.features, self.feature_count))
            .chain(dummies.map(|level| format!("{factor}{level}")));
        names
            .zip(self.estimates.iter().zip(&self.std_errors))
            .map(|(name, (estimate, std_error))| Term {
                name,
                estimate: defined(*estimate),
                std_error: defined(*std_error),
                t_value: defined(estimate / std_error),
            })
            .collect()
    }

    /// Predicts a batch of `features.len() / schema.features.len()` rows.
    ///
    /// `features` is column-major, in the order of the schema. With a factor, `codes` has one index
    /// into [`levels`](Self::levels) for each row, or any larger number for an unknown level; without
    /// one it is empty. Where a feature is not finite, neither is the value.
    ///
    /// # Errors
    /// [`PredictError::ShapeMismatch`] if the lengths do not fit.
    pub fn predict(&self, features: &[f64], codes: &[u32]) -> Result<Predictions, PredictError> {
        let count = self.feature_count as usize;
        let n = features.len() / count.max(1);
        let coded = self.has_factor != 0;
        let fits = n.checked_mul(count) == Some(features.len())
            && codes.len() == if coded { n } else { 0 }
            && u32::try_from(n).is_ok();
        if !fits {
            return Err(PredictError::ShapeMismatch);
        }

        let mut unseen_level = Vec::new();
        let mut values = if coded {
            self.level_offsets(codes, &mut unseen_level)
        } else {
            vec![self.offsets[0]; n]
        };
        for (column, slope) in features.chunks_exact(n.max(1)).zip(&self.slopes) {
            for (value, feature) in values.iter_mut().zip(column) {
                *value += slope * feature;
            }
        }
        for row in &unseen_level {
            values[*row as usize] = 0.0;
        }
        Ok(Predictions { values, unseen_level })
    }

    /// The offset of each row's level; rows of an unseen level are listed.
    fn level_offsets(&self, codes: &[u32], unseen: &mut Vec<u32>) -> Vec<f64> {
        let offsets = &self.offsets[..self.level_count as usize];
        let offset = |(row, code): (u32, &u32)| match offsets.get(*code as usize) {
            Some(offset) if !offset.is_nan() => *offset,
            _ => {
                unseen.push(row);
                0.0
            }
        };
        (0..).zip(codes).map(offset).collect()
    }
}

fn owned(names: &[Name], count: u32) -> Vec<String> {
    names.iter().take(count as usize).map(|name| name.as_str().to_owned()).collect()
}
