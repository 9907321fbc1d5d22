//! What a model says about itself, in our own types.
//!
//! They mirror `wit/model.wit`, which defines every field. A description comes from a guest, so
//! it is checked before anybody sees it: sizes are bounded, numbers finite, counts consistent.

use std::collections::HashSet;

/// Length of a column's or level's name at most, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 256;
/// Levels of a factor at most.
pub const LEVELS_MAX: usize = 4_096;
/// Features, and columns of the design matrix, at most.
pub const TERMS_MAX: usize = 8_192;

/// What is regressed on what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Schema {
    /// The column that is predicted.
    pub target: String,
    /// The numeric features, in the order of their columns; at least one.
    pub features: Vec<String>,
    /// The factor, if the model has one.
    pub factor: Option<String>,
    /// Whether the model has a constant term.
    pub intercept: bool,
}

/// One column of the design matrix, as R names it.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// R's name of the coefficient.
    pub name: String,
    /// The coefficient; none if the column was dropped as collinear.
    pub estimate: Option<f64>,
    /// Its standard error; none if dropped or without degrees of freedom.
    pub std_error: Option<f64>,
    /// `estimate / std_error`; none where that is undefined.
    pub t_value: Option<f64>,
}

/// The overall F statistic against the model without features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FStatistic {
    /// The statistic.
    pub value: f64,
    /// Degrees of freedom of the numerator.
    pub df_model: u32,
    /// Degrees of freedom of the denominator.
    pub df_residual: u32,
}

/// What a fit found, in the terms of R's `summary.lm`. Undefined quantities are none, never NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct FitReport {
    /// Rows used.
    pub rows: u32,
    /// Columns of the design matrix that were kept.
    pub rank: u32,
    /// Rows minus rank.
    pub df_residual: u32,
    /// One for each column of the design matrix, in its order.
    pub terms: Vec<Term>,
    /// Share of the variance explained.
    pub r_squared: Option<f64>,
    /// The same, adjusted for the degrees of freedom.
    pub adj_r_squared: Option<f64>,
    /// Residual standard error, in units of the target.
    pub sigma: Option<f64>,
    /// The overall F statistic.
    pub f: Option<FStatistic>,
}

/// What a component is. A template has neither schema nor report.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The schema it was trained for.
    pub schema: Option<Schema>,
    /// The factor's levels in the order of their codes; the first is the baseline.
    pub levels: Vec<String>,
    /// The report of the fit.
    pub report: Option<FitReport>,
}

/// Why a description or a report is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// A list is longer than is sensible.
    #[error("it has {count} {what}, more than {max}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A name is longer than is sensible.
    #[error("a name has {0} bytes")]
    LongName(usize),
    /// A name is empty or occurs twice.
    #[error("names of {0} are empty or repeated")]
    BadNames(&'static str),
    /// A number is NaN or infinite.
    #[error("{0} is not finite")]
    NotFinite(&'static str),
    /// Parts of it contradict one another.
    #[error("it contradicts itself: {0}")]
    Contradiction(&'static str),
}

impl Description {
    /// Whether it has been trained.
    pub fn is_trained(&self) -> bool {
        self.schema.is_some()
    }

    pub(crate) fn check(&self) -> Result<(), DescriptionError> {
        if self.schema.is_some() != self.report.is_some() {
            return Err(DescriptionError::Contradiction("schema without report or reverse"));
        }
        check_names("levels", &self.levels, LEVELS_MAX)?;
        let factor = self.schema.as_ref().is_some_and(|schema| schema.factor.is_some());
        if factor == self.levels.is_empty() {
            return Err(DescriptionError::Contradiction("factor without levels or reverse"));
        }
        if let Some(schema) = &self.schema {
            schema.check()?;
        }
        self.report.as_ref().map_or(Ok(()), FitReport::check)
    }
}

impl Schema {
    fn check(&self) -> Result<(), DescriptionError> {
        if self.features.is_empty() {
            return Err(DescriptionError::Contradiction("no feature"));
        }
        check_names("features", &self.features, TERMS_MAX)?;
        check_names("target and factor", [&self.target].into_iter().chain(&self.factor), 2)
    }
}

impl FitReport {
    pub(crate) fn check(&self) -> Result<(), DescriptionError> {
        // A term's name is that of the factor followed by that of the level.
        at_most("terms", self.terms.len(), TERMS_MAX)?;
        for term in &self.terms {
            short(&term.name, 2 * NAME_BYTES_MAX)?;
            finite("an estimate", term.estimate)?;
            finite("a standard error", term.std_error)?;
            finite("a t value", term.t_value)?;
        }
        finite("R squared", self.r_squared)?;
        finite("adjusted R squared", self.adj_r_squared)?;
        finite("sigma", self.sigma)?;
        finite("F", self.f.map(|f| f.value))?;
        let kept = self.terms.iter().filter(|term| term.estimate.is_some()).count();
        if kept != self.rank as usize {
            return Err(DescriptionError::Contradiction("rank is not the number of estimates"));
        }
        if self.rows.checked_sub(self.rank) != Some(self.df_residual) {
            return Err(DescriptionError::Contradiction("degrees of freedom"));
        }
        Ok(())
    }
}

fn check_names<'a>(
    what: &'static str,
    names: impl IntoIterator<Item = &'a String>,
    max: usize,
) -> Result<(), DescriptionError> {
    let mut seen = HashSet::new();
    let mut count = 0;
    for name in names {
        count += 1;
        at_most(what, count, max)?;
        short(name, NAME_BYTES_MAX)?;
        if name.is_empty() || !seen.insert(name) {
            return Err(DescriptionError::BadNames(what));
        }
    }
    Ok(())
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), DescriptionError> {
    if count > max { Err(DescriptionError::TooMany { what, count, max }) } else { Ok(()) }
}

fn short(name: &str, max: usize) -> Result<(), DescriptionError> {
    if name.len() > max { Err(DescriptionError::LongName(name.len())) } else { Ok(()) }
}

fn finite(what: &'static str, value: Option<f64>) -> Result<(), DescriptionError> {
    match value {
        Some(value) if !value.is_finite() => Err(DescriptionError::NotFinite(what)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained() -> Description {
        let term = Term { name: "x".into(), estimate: Some(1.0), std_error: None, t_value: None };
        Description {
            schema: Some(Schema {
                target: "y".into(),
                features: vec!["x".into()],
                factor: Some("kind".into()),
                intercept: false,
            }),
            levels: vec!["a".into(), "b".into()],
            report: Some(FitReport {
                rows: 3,
                rank: 1,
                df_residual: 2,
                terms: vec![term],
                r_squared: None,
                adj_r_squared: None,
                sigma: None,
                f: None,
            }),
        }
    }

    fn check(change: impl FnOnce(&mut Description), expected: DescriptionError) {
        let mut description = trained();
        assert_eq!(description.check(), Ok(()));
        change(&mut description);
        assert_eq!(description.check(), Err(expected));
    }

    fn report(description: &mut Description) -> &mut FitReport {
        description.report.as_mut().unwrap()
    }

    #[test]
    fn a_lying_description_is_refused() {
        use DescriptionError::*;
        check(|d| d.schema = None, Contradiction("schema without report or reverse"));
        check(|d| d.levels.clear(), Contradiction("factor without levels or reverse"));
        check(|d| d.levels.push("a".into()), BadNames("levels"));
        check(|d| d.levels.push(String::new()), BadNames("levels"));
        check(|d| d.levels[0] = "n".repeat(257), LongName(257));
        let many = |d: &mut Description| d.levels = (0..4_097).map(|n| n.to_string()).collect();
        check(many, TooMany { what: "levels", count: 4_097, max: 4_096 });
        check(|d| d.schema.as_mut().unwrap().features.clear(), Contradiction("no feature"));
        check(|d| report(d).sigma = Some(f64::NAN), NotFinite("sigma"));
        check(|d| report(d).terms[0].estimate = Some(f64::INFINITY), NotFinite("an estimate"));
        check(|d| report(d).rank = 0, Contradiction("rank is not the number of estimates"));
        check(|d| report(d).df_residual = 3, Contradiction("degrees of freedom"));
        check(|d| report(d).rows = 0, Contradiction("degrees of freedom"));
    }

    #[test]
    fn a_template_describes_nothing() {
        let template = Description { schema: None, levels: vec![], report: None };
        assert_eq!(template.check(), Ok(()));
        assert!(!template.is_trained());
    }
}
