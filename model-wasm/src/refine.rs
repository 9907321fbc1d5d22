//! Solves a least squares problem and refines the solution until rounding is all that is left.
//!
//! Björck's iteration ("Iterative refinement of linear least squares solutions I", BIT 7, 1967)
//! treats coefficients `x` and residuals `r` as one unknown of the augmented system
//!
//! ```text
//! | I   A | | r |   | b |
//! | A'  0 | | x | = | 0 |
//! ```
//!
//! Each step computes what the system lacks, `f = b - r - A x` and `g = -A' r`, in twice the
//! precision, and solves for the correction with the factors at hand. The error shrinks each time by
//! about the condition number times 1e-16, where the plain solution keeps an error of that size.
//! Refining `x` alone would not do: it fails whenever the residuals are large.

use nalgebra::{DMatrix, DVector};

use crate::exact::Accumulator;
use crate::qr::Factors;

/// Bound on the steps. Three are usual; Filip, the hardest problem of the NIST suite, takes four.
const MAX_STEPS: usize = 10;

/// The solution of a least squares problem in scaled units.
pub(crate) struct Solution {
    /// One coefficient for each kept column.
    pub(crate) coefficients: DVector<f64>,
    /// What the kept columns leave of the target.
    pub(crate) residuals: DVector<f64>,
}

/// Minimises `|target - A x|` over the kept columns `A` of `columns`.
pub(crate) fn solve(columns: &DMatrix<f64>, target: &DVector<f64>, factors: &Factors) -> Solution {
    let mut solution = Solution {
        coefficients: DVector::zeros(factors.rank()),
        residuals: DVector::zeros(target.len()),
    };
    let mut previous = f64::INFINITY;
    for step in 0..MAX_STEPS {
        let (f, g) = solution.shortfall(columns, target, factors);
        let correction = solve_augmented(f, g, factors);
        let size = correction.coefficients.amax();
        // Not shrinking: rounding is all that is left, or the problem is beyond double precision.
        let shrinking = size < 0.5 * previous;
        if step > 0 && !shrinking {
            break;
        }
        previous = size;
        solution.coefficients += &correction.coefficients;
        solution.residuals += &correction.residuals;
        if solution.absorbed(&correction) {
            break;
        }
    }
    solution
}

impl Solution {
    /// `f = b - r - A x` and `g = -A' r`, each entry as if rounded once.
    fn shortfall(
        &self,
        columns: &DMatrix<f64>,
        target: &DVector<f64>,
        factors: &Factors,
    ) -> (DVector<f64>, DVector<f64>) {
        let mut f = vec![Accumulator::default(); target.len()];
        for (row, sum) in f.iter_mut().enumerate() {
            sum.add(target[row]);
            sum.add(-self.residuals[row]);
        }
        let mut g = DVector::zeros(factors.rank());
        for (k, index) in factors.kept.iter().enumerate() {
            let negated = -self.coefficients[k];
            let mut dot = Accumulator::default();
            for ((sum, a), residual) in
                f.iter_mut().zip(&columns.column(*index)).zip(&self.residuals)
            {
                sum.add_product(*a, negated);
                dot.add_product(*a, -residual);
            }
            g[k] = dot.value();
        }
        (DVector::from_iterator(f.len(), f.iter().map(|sum| sum.value())), g)
    }

    /// Whether a correction was below the last digit of every coefficient.
    fn absorbed(&self, correction: &Solution) -> bool {
        let changes = correction.coefficients.iter().zip(&self.coefficients);
        changes.into_iter().all(|(change, value)| change.abs() <= 0.5 * f64::EPSILON * value.abs())
    }
}

/// Solves `r + A x = f`, `A' r = g` with `A = Q R`.
fn solve_augmented(mut f: DVector<f64>, mut g: DVector<f64>, factors: &Factors) -> Solution {
    let rank = factors.rank();
    factors.solve_r_transposed(&mut g);
    factors.apply_q_transposed(&mut f);
    let mut coefficients = f.rows(0, rank) - &g;
    factors.solve_r(&mut coefficients);
    f.rows_mut(0, rank).copy_from(&g);
    factors.apply_q(&mut f);
    Solution { coefficients, residuals: f }
}
