//! Least squares with the semantics of R's `lm`, as a model component and as a plain library.
//!
//! Compiled for `wasm32-unknown-unknown` this crate is the template component: it implements the
//! world of `wit/model.wit` and imports nothing. Compiled natively it is the same arithmetic behind
//! [`fit`] and [`Model::predict`], for tests and benchmarks. Both give the same bits, which rests on
//! these invariants:
//!
//! - only `+ - * /` and square roots, all correctly rounded everywhere; no transcendental function,
//!   no fused multiply-add, no kernel chosen by CPU;
//! - no threads, and sums in an order fixed by the shape of the input;
//! - nothing outside the arguments is read: no clock, no randomness, no environment.
//!
//! It does not compute p-values (their special functions would break the first invariant; hosts
//! derive them from t and F), it does not select rows, and it knows nothing of files or the network.
//!
//! The way of a fit: `design` checks the input and lays out the scaled design matrix, `qr`
//! factors it and drops collinear columns as R does, `refine` solves and polishes the solution
//! with residuals from `exact`, `summary` derives the statistics, and `model` keeps the
//! result.

#[cfg(any(target_arch = "wasm32", test))]
mod arena;
mod design;
mod error;
mod exact;
mod fit;
mod model;
mod name;
mod qr;
mod refine;
mod report;
mod schema;
mod summary;

#[cfg(target_arch = "wasm32")]
mod guest;

pub use error::{FitError, PredictError};
pub use fit::fit;
pub use model::{Model, Predictions};
pub use report::{FStatistic, FitReport, Term};
pub use schema::{FitOptions, MAX_FEATURES, MAX_LEVELS, MAX_NAME_BYTES, Schema, TrainingRows};
