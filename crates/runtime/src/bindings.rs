//! The generated types of `wit/model.wit` and their conversion from and to our own.

pub(crate) use generated::Model as World;
pub(crate) use generated::ModelPre as WorldPre;
pub(crate) use generated::exports::weir::model::regressor as wit;

use crate::description::{Description, FStatistic, FitReport, Schema, Term};
use crate::template::{FitOptions, Refusal};

mod generated {
    wasmtime::component::bindgen!({ path: "../../wit", world: "model" });
}

/// The one interface a component exports.
pub(crate) const INTERFACE: &str = "weir:model/regressor@0.1.0";

impl From<&Schema> for wit::Schema {
    fn from(schema: &Schema) -> Self {
        Self {
            target: schema.target.clone(),
            features: schema.features.clone(),
            factor: schema.factor.clone(),
            intercept: schema.intercept,
        }
    }
}

impl From<wit::Schema> for Schema {
    fn from(schema: wit::Schema) -> Self {
        Self {
            target: schema.target,
            features: schema.features,
            factor: schema.factor,
            intercept: schema.intercept,
        }
    }
}

impl From<FitOptions> for wit::FitOptions {
    fn from(options: FitOptions) -> Self {
        Self { tolerance: options.tolerance }
    }
}

impl From<wit::Term> for Term {
    fn from(term: wit::Term) -> Self {
        Self {
            name: term.name,
            estimate: term.estimate,
            std_error: term.std_error,
            t_value: term.t_value,
        }
    }
}

impl From<wit::FStatistic> for FStatistic {
    fn from(f: wit::FStatistic) -> Self {
        Self { value: f.value, df_model: f.df_model, df_residual: f.df_residual }
    }
}

impl From<wit::FitReport> for FitReport {
    fn from(report: wit::FitReport) -> Self {
        Self {
            rows: report.rows,
            rank: report.rank,
            df_residual: report.df_residual,
            terms: report.terms.into_iter().map(Term::from).collect(),
            r_squared: report.r_squared,
            adj_r_squared: report.adj_r_squared,
            sigma: report.sigma,
            f: report.f.map(FStatistic::from),
        }
    }
}

impl From<wit::Description> for Description {
    fn from(description: wit::Description) -> Self {
        Self {
            schema: description.schema.map(Schema::from),
            levels: description.levels,
            report: description.report.map(FitReport::from),
        }
    }
}

impl From<wit::FitError> for Refusal {
    fn from(error: wit::FitError) -> Self {
        use wit::FitError;
        match error {
            FitError::NoRows => Self::NoRows,
            FitError::TooFewRows(count) => {
                Self::TooFewRows { rows: count.rows, terms: count.terms }
            }
            FitError::NonFinite(row) => Self::NonFinite { row },
            FitError::ShapeMismatch => Self::ShapeMismatch,
            FitError::UnknownCode(row) => Self::UnknownCode { row },
            FitError::TooLarge => Self::TooLarge,
            FitError::BadTolerance => Self::BadTolerance,
            FitError::NumericOverflow => Self::NumericOverflow,
        }
    }
}
