//! What a fit found, in the terms of R's `summary.lm`.
//!
//! A quantity that is undefined, for example because no degree of freedom is left, is `None`; no
//! number in a report is NaN or infinite.

/// One column of the design matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// R's name of the coefficient: `(Intercept)`, `Length`, `Specieswalleye`.
    pub name: String,
    /// The coefficient; `None` if the column was dropped as collinear.
    pub estimate: Option<f64>,
    /// Its standard error; `None` if dropped or without degrees of freedom.
    pub std_error: Option<f64>,
    /// `estimate / std_error`; `None` where the standard error is `None` or zero.
    pub t_value: Option<f64>,
}

/// The overall F statistic against the model without features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FStatistic {
    /// The statistic.
    pub value: f64,
    /// Degrees of freedom of the numerator: rank without the intercept.
    pub df_model: u32,
    /// Degrees of freedom of the denominator: rows minus rank.
    pub df_residual: u32,
}

/// The result of a fit.
#[derive(Clone, Debug, PartialEq)]
pub struct FitReport {
    /// Rows used.
    pub rows: u32,
    /// Columns of the design matrix that were kept.
    pub rank: u32,
    /// Rows minus rank.
    pub df_residual: u32,
    /// One for each column of the design matrix, in its order.
    pub terms: Vec<Term>,
    /// Share of the variance explained; about the origin without an intercept.
    pub r_squared: Option<f64>,
    /// The same, adjusted for the degrees of freedom.
    pub adj_r_squared: Option<f64>,
    /// Residual standard error, in units of the target.
    pub sigma: Option<f64>,
    /// The overall F statistic.
    pub f: Option<FStatistic>,
}
