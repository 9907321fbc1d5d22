//! Between the library's types and the generated ones, which are the same but for their paths.

use super::wit;
use crate::{FStatistic, FitError, FitOptions, FitReport, PredictError, Schema, Term};

impl From<wit::Schema> for Schema {
    fn from(schema: wit::Schema) -> Self {
        let wit::Schema { target, features, factor, intercept } = schema;
        Self { target, features, factor, intercept }
    }
}

impl From<Schema> for wit::Schema {
    fn from(schema: Schema) -> Self {
        let Schema { target, features, factor, intercept } = schema;
        Self { target, features, factor, intercept }
    }
}

impl From<wit::FitOptions> for FitOptions {
    fn from(options: wit::FitOptions) -> Self {
        Self { tolerance: options.tolerance }
    }
}

impl From<Term> for wit::Term {
    fn from(term: Term) -> Self {
        let Term { name, estimate, std_error, t_value } = term;
        Self { name, estimate, std_error, t_value }
    }
}

impl From<FStatistic> for wit::FStatistic {
    fn from(f: FStatistic) -> Self {
        let FStatistic { value, df_model, df_residual } = f;
        Self { value, df_model, df_residual }
    }
}

impl From<FitReport> for wit::FitReport {
    fn from(report: FitReport) -> Self {
        Self {
            rows: report.rows,
            rank: report.rank,
            df_residual: report.df_residual,
            terms: report.terms.into_iter().map(Into::into).collect(),
            r_squared: report.r_squared,
            adj_r_squared: report.adj_r_squared,
            sigma: report.sigma,
            f: report.f.map(Into::into),
        }
    }
}

impl From<FitError> for wit::FitError {
    fn from(error: FitError) -> Self {
        match error {
            FitError::NoRows => Self::NoRows,
            FitError::TooFewRows { rows, terms } => Self::TooFewRows(wit::RowCount { rows, terms }),
            FitError::NonFinite(row) => Self::NonFinite(row),
            FitError::ShapeMismatch => Self::ShapeMismatch,
            FitError::UnknownCode(row) => Self::UnknownCode(row),
            FitError::TooLarge => Self::TooLarge,
            FitError::BadTolerance => Self::BadTolerance,
            FitError::NumericOverflow => Self::NumericOverflow,
        }
    }
}

impl From<PredictError> for wit::PredictError {
    fn from(error: PredictError) -> Self {
        match error {
            PredictError::ShapeMismatch => Self::ShapeMismatch,
        }
    }
}
