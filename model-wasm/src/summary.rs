//! The statistics of a fit, as R's `summary.lm` defines them.
//!
//! All but the residual variance are free of units, so they are computed from scaled values. Sums
//! of squares come from the refined residuals in about twice double precision. Explained and
//! residual variation are both summed, never subtracted from the total: R2 keeps its digits whether
//! it is near zero or near one.

use nalgebra::DVector;

use crate::exact::{Accumulator, sum_of_squares};
use crate::refine::Solution;

/// Statistics of the whole fit; `None` where undefined.
pub(crate) struct Summary {
    pub(crate) r_squared: Option<f64>,
    pub(crate) adj_r_squared: Option<f64>,
    /// Residual standard error in units of the scaled target.
    pub(crate) sigma: Option<f64>,
    /// Value of the overall F statistic.
    pub(crate) f: Option<f64>,
}

impl Summary {
    pub(crate) fn new(target: &DVector<f64>, solution: &Solution, intercept: bool) -> Self {
        let rank = solution.coefficients.len();
        let constants = usize::from(intercept);
        let df_residual = count(target.len() - rank);
        // With as many rows as kept columns the residuals are zero but for rounding.
        let unexplained = if df_residual == 0.0 {
            0.0
        } else {
            sum_of_squares(solution.residuals.iter().copied())
        };
        let variance = defined(unexplained / df_residual);
        let sigma = variance.map(f64::sqrt);
        if rank == constants {
            return Self { r_squared: Some(0.0), adj_r_squared: Some(0.0), sigma, f: None };
        }

        let center = if intercept { mean(target) } else { 0.0 };
        let fitted = target.iter().zip(&solution.residuals).map(|(value, rest)| value - rest);
        let explained = sum_of_squares(fitted.map(|value| value - center));
        if is_constant(target, intercept) {
            return Self { r_squared: None, adj_r_squared: None, sigma, f: None };
        }
        let r_squared = defined(explained / (explained + unexplained));
        let df_total = count(target.len() - constants);
        let adj_r_squared =
            r_squared.and_then(|share| defined(1.0 - (1.0 - share) * (df_total / df_residual)));
        let f = variance.and_then(|v| defined(explained / count(rank - constants) / v));
        Self { r_squared, adj_r_squared, sigma, f }
    }
}

/// `None` instead of NaN or infinity.
pub(crate) fn defined(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// Whether there is no variation to explain: about its mean, or without intercept about zero.
fn is_constant(target: &DVector<f64>, intercept: bool) -> bool {
    let center = if intercept { target[0] } else { 0.0 };
    target.iter().all(|value| *value == center)
}

fn mean(values: &DVector<f64>) -> f64 {
    let mut sum = Accumulator::default();
    for value in values {
        sum.add(*value);
    }
    sum.value() / count(values.len())
}

/// A count as a number: exact, because rows are counted in 32 bits.
fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
