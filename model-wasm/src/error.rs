//! Why a fit or a batch of predictions is refused: the errors of the contract, case by case.

/// Why [`fit`](crate::fit) refused its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// There are no rows.
    #[error("fit without rows")]
    NoRows,
    /// There are fewer rows than columns of the design matrix.
    #[error("fit {terms} terms to {rows} rows")]
    TooFewRows {
        /// Rows given.
        rows: u32,
        /// Columns of the design matrix.
        terms: u32,
    },
    /// A feature or the target is NaN or infinite; the first such row.
    #[error("fit a value that is not finite in row {0}")]
    NonFinite(u32),
    /// The lengths of the columns do not fit together, or the schema has no feature.
    #[error("fit columns whose lengths do not fit the schema")]
    ShapeMismatch,
    /// A code of the factor is not an index into the levels; the first such row.
    #[error("fit an unknown level code in row {0}")]
    UnknownCode(u32),
    /// The schema has more features or levels, or longer names, than a model holds.
    #[error("fit a schema beyond the model's capacity")]
    TooLarge,
    /// The tolerance is not in `[0, 1)`.
    #[error("fit with a tolerance outside [0, 1)")]
    BadTolerance,
    /// A result overflowed although every input was finite.
    #[error("fit numbers of this size: a result overflowed")]
    NumericOverflow,
}

/// Why [`Model::predict`](crate::Model::predict) refused a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PredictError {
    /// The lengths of the columns do not fit the schema.
    #[error("predict columns whose lengths do not fit the schema")]
    ShapeMismatch,
}
