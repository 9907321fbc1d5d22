//! Householder QR with R's limited pivoting.
//!
//! Columns are taken in order. A column of which the columns before it leave less than `tolerance`
//! of its norm is set aside, as in LINPACK's `dqrdc2` as modified for R; where that routine downdates
//! the remaining norm, this one computes it afresh, so its decision does not drift. Unlike
//! norm-based pivoting this keeps the earlier of two collinear columns.

use nalgebra::{DMatrix, DVector, Dyn, Reflection, Unit, VectorView, VectorViewMut};

/// `Q` and `R` of the columns that were kept.
pub(crate) struct Factors {
    /// The unit axis of reflection `k` is column `k` from row `k` down; zero above.
    axes: DMatrix<f64>,
    /// Upper triangular, square, without a zero on its diagonal.
    r: DMatrix<f64>,
    /// Which columns of the design these are, ascending.
    pub(crate) kept: Vec<usize>,
}

/// Factors a matrix with at least as many rows as columns.
pub(crate) fn factor(columns: &DMatrix<f64>, tolerance: f64) -> Factors {
    let (rows, terms) = columns.shape();
    let mut axes = DMatrix::zeros(rows, terms);
    let mut r = DMatrix::zeros(terms, terms);
    let mut kept = Vec::with_capacity(terms);
    let mut work = DVector::zeros(rows);
    for (index, column) in columns.column_iter().enumerate() {
        let rank = kept.len();
        work.copy_from(&column);
        let norm = work.norm();
        for k in 0..rank {
            reflect(&axes, k, &mut work);
        }
        let remaining = work.rows_range(rank..).norm();
        if remaining == 0.0 || remaining < tolerance * norm {
            continue;
        }
        // The sign that avoids cancellation in the axis.
        let diagonal = if work[rank] > 0.0 { -remaining } else { remaining };
        r.view_mut((0, rank), (rank, 1)).copy_from(&work.rows(0, rank));
        r[(rank, rank)] = diagonal;
        let mut axis = axes.view_mut((rank, rank), (rows - rank, 1));
        axis.copy_from(&work.rows_range(rank..));
        axis[0] -= diagonal;
        axis.normalize_mut();
        kept.push(index);
    }
    let rank = kept.len();
    Factors { axes, r: r.resize(rank, rank, 0.0), kept }
}

impl Factors {
    /// The number of columns kept.
    pub(crate) fn rank(&self) -> usize {
        self.kept.len()
    }

    /// `v := Q' v`, over all rows.
    pub(crate) fn apply_q_transposed(&self, v: &mut DVector<f64>) {
        for k in 0..self.rank() {
            reflect(&self.axes, k, v);
        }
    }

    /// `v := Q v`, over all rows.
    pub(crate) fn apply_q(&self, v: &mut DVector<f64>) {
        for k in (0..self.rank()).rev() {
            reflect(&self.axes, k, v);
        }
    }

    /// `b := R^-1 b`.
    pub(crate) fn solve_r(&self, b: &mut DVector<f64>) {
        self.r.solve_upper_triangular_unchecked_mut(b);
    }

    /// `b := R'^-1 b`.
    pub(crate) fn solve_r_transposed(&self, b: &mut DVector<f64>) {
        self.r.tr_solve_upper_triangular_unchecked_mut(b);
    }

    /// Square roots of the diagonal of `(R'R)^-1`: standard errors in units of sigma.
    pub(crate) fn unscaled_errors(&self) -> Vec<f64> {
        let mut inverse = DMatrix::identity(self.rank(), self.rank());
        self.r.solve_upper_triangular_unchecked_mut(&mut inverse);
        inverse.row_iter().map(|row| row.norm()).collect()
    }
}

/// `v := H_k v`, which leaves the first `k` entries alone.
fn reflect(axes: &DMatrix<f64>, k: usize, v: &mut DVector<f64>) {
    let axis: VectorView<'_, f64, Dyn> =
        axes.generic_view((k, k), (Dyn(axes.nrows() - k), nalgebra::Const::<1>));
    let mut tail: VectorViewMut<'_, f64, Dyn> = v.rows_range_mut(k..);
    Reflection::new(Unit::new_unchecked(axis), 0.0).reflect(&mut tail);
}
