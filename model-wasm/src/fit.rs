//! The fit itself: checks, factorisation, refinement and statistics in a row.

use crate::design::{Design, dummy_columns, row_number};
use crate::error::FitError;
use crate::exact;
use crate::model::{FILL, Model, Names};
use crate::name::Name;
use crate::qr::{self, Factors};
use crate::refine::{self, Solution};
use crate::schema::{FitOptions, MAX_FEATURES, MAX_LEVELS, MAX_TERMS, Schema, TrainingRows};
use crate::summary::Summary;

/// Fits a linear regression by least squares, as R's `lm` does.
///
/// The order of the rows is part of the input: the same rows in the same order give the same bits.
/// A later column that is collinear with earlier ones is dropped. Without an intercept every level of
/// the factor has a column of its own.
///
/// # Errors
/// See [`FitError`]; input is checked before anything is computed.
pub fn fit(
    schema: &Schema,
    options: &FitOptions,
    rows: &TrainingRows<'_>,
) -> Result<Model, FitError> {
    let design = Design::new(schema, options, rows)?;
    let names = names(schema, rows.levels).ok_or(FitError::TooLarge)?;
    let factors = qr::factor(&design.columns, options.tolerance);
    let solution = refine::solve(&design.columns, &design.target, &factors);
    let summary = Summary::new(&design.target, &solution, schema.intercept);

    let (estimates, std_errors) = coefficients(&design, &factors, &solution, summary.sigma)?;
    let sigma = summary.sigma.map(|sigma| exact::scale(sigma, design.target_exponent));
    if sigma.is_some_and(f64::is_infinite) {
        return Err(FitError::NumericOverflow);
    }
    let first_feature = usize::from(schema.intercept);
    let mut slopes = [0.0; MAX_FEATURES];
    for (slope, estimate) in
        slopes.iter_mut().zip(&estimates[first_feature..]).take(schema.features.len())
    {
        *slope = known(*estimate);
    }
    Ok(Model {
        offsets: offsets(schema, rows, &estimates),
        estimates,
        std_errors,
        slopes,
        r_squared: stored(summary.r_squared),
        adj_r_squared: stored(summary.adj_r_squared),
        sigma: stored(sigma),
        f: stored(summary.f),
        rows: row_number(rows.target.len()),
        rank: row_number(factors.rank()),
        feature_count: row_number(schema.features.len()),
        level_count: row_number(rows.levels.len()),
        intercept: u32::from(schema.intercept),
        has_factor: u32::from(schema.factor.is_some()),
        names,
        _fill: [0; FILL],
    })
}

/// Estimates and standard errors by term, in the units of the input.
fn coefficients(
    design: &Design,
    factors: &Factors,
    solution: &Solution,
    sigma: Option<f64>,
) -> Result<([f64; MAX_TERMS], [f64; MAX_TERMS]), FitError> {
    let mut estimates = [f64::NAN; MAX_TERMS];
    let mut std_errors = [f64::NAN; MAX_TERMS];
    let unscaled = factors.unscaled_errors();
    for (k, term) in factors.kept.iter().enumerate() {
        let exponent = design.target_exponent - design.exponents[*term];
        estimates[*term] = exact::scale(solution.coefficients[k], exponent);
        let error = sigma.map(|sigma| exact::scale(sigma * unscaled[k], exponent));
        std_errors[*term] = stored(error);
        if !estimates[*term].is_finite() || error.is_some_and(|error| !error.is_finite()) {
            return Err(FitError::NumericOverflow);
        }
    }
    Ok((estimates, std_errors))
}

/// Where predictions start, by level: NaN marks a level without rows.
fn offsets(schema: &Schema, rows: &TrainingRows<'_>, estimates: &[f64]) -> [f64; MAX_LEVELS] {
    let constant = if schema.intercept { known(estimates[0]) } else { 0.0 };
    let mut offsets = [f64::NAN; MAX_LEVELS];
    if schema.factor.is_none() {
        offsets[0] = constant;
        return offsets;
    }
    let levels = rows.levels.len();
    let baselines = levels - dummy_columns(schema.intercept, levels);
    let first_dummy = usize::from(schema.intercept) + schema.features.len();
    for code in rows.codes {
        let level = *code as usize;
        let own =
            level.checked_sub(baselines).map_or(0.0, |dummy| known(estimates[first_dummy + dummy]));
        offsets[level] = constant + own;
    }
    offsets
}

fn names(schema: &Schema, levels: &[String]) -> Option<Names> {
    let mut names = Names::EMPTY;
    names.target = Name::new(&schema.target)?;
    names.factor = Name::new(schema.factor.as_deref().unwrap_or_default())?;
    for (slot, name) in names.features.iter_mut().zip(&schema.features) {
        *slot = Name::new(name)?;
    }
    for (slot, name) in names.levels.iter_mut().zip(levels) {
        *slot = Name::new(name)?;
    }
    Some(names)
}

/// A dropped term contributes nothing.
fn known(estimate: f64) -> f64 {
    if estimate.is_nan() { 0.0 } else { estimate }
}

fn stored(value: Option<f64>) -> f64 {
    value.unwrap_or(f64::NAN)
}
