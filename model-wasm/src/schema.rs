//! What is regressed on what, and the rows to learn from. Checked by [`fit`](crate::fit), not here.

/// Most numeric features a model holds.
pub const MAX_FEATURES: usize = 16;

/// Most levels of the factor a model holds.
pub const MAX_LEVELS: usize = 64;

/// Longest name of a column or level, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 64;

/// Most columns a design matrix can have: without an intercept every level has one, and with an
/// intercept the baseline's column makes room for it.
pub(crate) const MAX_TERMS: usize = MAX_FEATURES + MAX_LEVELS;

/// A linear regression: one numeric target, numeric features and at most one factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The column that is predicted.
    pub target: String,
    /// The numeric features in the order of their columns; at least one.
    pub features: Vec<String>,
    /// The factor, if the model has one.
    pub factor: Option<String>,
    /// Whether the model has a constant term.
    pub intercept: bool,
}

/// Settings of a fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitOptions {
    /// A column is dropped when the columns before it leave less than this share of its norm. In
    /// `[0, 1)`. A column of which exactly nothing is left is dropped at any tolerance.
    pub tolerance: f64,
}

impl Default for FitOptions {
    /// The tolerance of R's `lm`.
    fn default() -> Self {
        Self { tolerance: 1e-7 }
    }
}

/// The rows of a fit, as columns. `n` is the number of rows, which is `target.len()`.
#[derive(Clone, Copy, Debug)]
pub struct TrainingRows<'a> {
    /// Names of the factor's levels, sorted by code point; empty without a factor.
    pub levels: &'a [String],
    /// `n` values for each feature, column after column.
    pub features: &'a [f64],
    /// One index into `levels` for each row; empty without a factor.
    pub codes: &'a [u32],
    /// The value to be predicted, one for each row.
    pub target: &'a [f64],
}
