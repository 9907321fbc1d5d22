//! The design matrix: R's columns in R's order, each scaled by a power of two.
//!
//! Columns are the intercept, the features and the dummy variables of the factor. With an intercept
//! these are treatment contrasts (a column for each level but the first); without one, as in R,
//! every level has a column. Scaling by powers of two changes no digit of the result; it keeps
//! squares in range, so a column of 1e300 is no special case.
//!
//! This is where all input is checked: what a [`Design`] holds is finite and of matching shape, with
//! at least as many rows as columns, and the code behind it need not look again.

use nalgebra::{DMatrix, DVector};

use crate::error::FitError;
use crate::exact;
use crate::schema::{FitOptions, MAX_FEATURES, MAX_LEVELS, Schema, TrainingRows};

/// A checked, scaled least squares problem.
pub(crate) struct Design {
    /// `n` rows, one column for each term.
    pub(crate) columns: DMatrix<f64>,
    /// Powers of two by which the columns were divided.
    pub(crate) exponents: Vec<i32>,
    /// The target, scaled.
    pub(crate) target: DVector<f64>,
    /// Power of two by which the target was divided.
    pub(crate) target_exponent: i32,
}

/// The number of dummy columns of `levels` levels.
pub(crate) fn dummy_columns(intercept: bool, levels: usize) -> usize {
    if intercept { levels.saturating_sub(1) } else { levels }
}

impl Design {
    pub(crate) fn new(
        schema: &Schema,
        options: &FitOptions,
        rows: &TrainingRows<'_>,
    ) -> Result<Self, FitError> {
        let shape = Shape::check(schema, options, rows)?;
        check_values(rows, shape.rows)?;
        if shape.rows < shape.terms {
            return Err(FitError::TooFewRows {
                rows: row_number(shape.rows),
                terms: row_number(shape.terms),
            });
        }

        let mut columns = DMatrix::zeros(shape.rows, shape.terms);
        let mut exponents = vec![0; shape.terms];
        let mut next = 0;
        if schema.intercept {
            columns.column_mut(0).fill(1.0);
            next = 1;
        }
        for values in rows.features.chunks_exact(shape.rows) {
            exponents[next] = exact::exponent(values.iter().copied());
            let mut column = columns.column_mut(next);
            for (scaled, value) in column.iter_mut().zip(values) {
                *scaled = exact::scale(*value, -exponents[next]);
            }
            next += 1;
        }
        let baseline = usize::from(schema.intercept);
        for (row, code) in rows.codes.iter().enumerate() {
            if let Some(dummy) = (*code as usize).checked_sub(baseline) {
                columns[(row, next + dummy)] = 1.0;
            }
        }

        let target_exponent = exact::exponent(rows.target.iter().copied());
        let target = rows.target.iter().map(|value| exact::scale(*value, -target_exponent));
        let target = DVector::from_iterator(shape.rows, target);
        Ok(Self { columns, exponents, target, target_exponent })
    }
}

struct Shape {
    rows: usize,
    terms: usize,
}

impl Shape {
    fn check(
        schema: &Schema,
        options: &FitOptions,
        rows: &TrainingRows<'_>,
    ) -> Result<Self, FitError> {
        if !(0.0..1.0).contains(&options.tolerance) {
            return Err(FitError::BadTolerance);
        }
        let (features, levels) = (schema.features.len(), rows.levels.len());
        if features > MAX_FEATURES || levels > MAX_LEVELS {
            return Err(FitError::TooLarge);
        }
        let n = rows.target.len();
        if u32::try_from(n).is_err() {
            return Err(FitError::TooLarge);
        }
        let coded = schema.factor.is_some();
        if features == 0
            || n.checked_mul(features) != Some(rows.features.len())
            || rows.codes.len() != if coded { n } else { 0 }
            || (!coded && levels > 0)
        {
            return Err(FitError::ShapeMismatch);
        }
        if n == 0 {
            return Err(FitError::NoRows);
        }
        let dummies = dummy_columns(schema.intercept, levels);
        Ok(Self { rows: n, terms: usize::from(schema.intercept) + features + dummies })
    }
}

/// Finds the first row that cannot be used.
fn check_values(rows: &TrainingRows<'_>, n: usize) -> Result<(), FitError> {
    for row in 0..n {
        let features = rows.features.iter().skip(row).step_by(n);
        if !rows.target[row].is_finite() || features.into_iter().any(|value| !value.is_finite()) {
            return Err(FitError::NonFinite(row_number(row)));
        }
        if rows.codes.get(row).is_some_and(|code| *code as usize >= rows.levels.len()) {
            return Err(FitError::UnknownCode(row_number(row)));
        }
    }
    Ok(())
}

/// Row and column counts were checked to fit before anything is counted.
pub(crate) fn row_number(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX)
}
