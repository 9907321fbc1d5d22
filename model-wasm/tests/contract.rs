//! The outcomes that `wit/model.wit` names: each error, capacities, levels without rows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use weir_model::{
    FitError, FitOptions, MAX_FEATURES, MAX_LEVELS, MAX_NAME_BYTES, Model, PredictError, Schema,
    TrainingRows,
};

/// A valid input; tests break one thing each.
#[derive(Clone)]
struct Input {
    schema: Schema,
    tolerance: f64,
    levels: Vec<String>,
    features: Vec<f64>,
    codes: Vec<u32>,
    target: Vec<f64>,
}

impl Input {
    /// Weight on length by species: six rows, of which the first three are salmon.
    fn valid() -> Self {
        Self {
            schema: Schema {
                target: "Weight".into(),
                features: vec!["Length".into()],
                factor: Some("Species".into()),
                intercept: true,
            },
            tolerance: 1e-7,
            levels: vec!["salmon".into(), "walleye".into()],
            features: vec![80.0, 90.0, 100.0, 70.0, 80.0, 95.0],
            codes: vec![0, 0, 0, 1, 1, 1],
            target: vec![4.0, 4.6, 5.1, 1.3, 1.7, 2.2],
        }
    }

    fn fit(&self) -> Result<Model, FitError> {
        let rows = TrainingRows {
            levels: &self.levels,
            features: &self.features,
            codes: &self.codes,
            target: &self.target,
        };
        weir_model::fit(&self.schema, &FitOptions { tolerance: self.tolerance }, &rows)
    }
}

#[track_caller]
fn refused(expected: FitError, break_it: impl FnOnce(&mut Input)) {
    let mut input = Input::valid();
    break_it(&mut input);
    assert_eq!(input.fit().unwrap_err(), expected);
}

#[test]
fn what_was_fitted_is_described() {
    let input = Input::valid();
    let model = input.fit().unwrap();
    assert_eq!(model.schema(), input.schema);
    assert_eq!(model.levels(), input.levels);
    let names: Vec<_> = model.report().terms.into_iter().map(|term| term.name).collect();
    assert_eq!(names, ["(Intercept)", "Length", "Specieswalleye"]);
}

#[test]
fn rows_are_counted() {
    refused(FitError::NoRows, |input| {
        input.features.clear();
        input.codes.clear();
        input.target.clear();
    });
    refused(FitError::TooFewRows { rows: 2, terms: 3 }, |input| {
        input.features.truncate(2);
        input.codes.truncate(2);
        input.target.truncate(2);
    });
}

#[test]
fn the_first_unusable_row_is_named() {
    refused(FitError::NonFinite(2), |input| {
        input.features[2] = f64::NAN;
        input.target[4] = f64::INFINITY;
    });
    refused(FitError::NonFinite(1), |input| input.target[1] = f64::NEG_INFINITY);
    refused(FitError::UnknownCode(3), |input| input.codes[3] = 2);
}

#[test]
fn columns_must_fit_the_schema() {
    refused(FitError::ShapeMismatch, |input| input.features.truncate(5));
    refused(FitError::ShapeMismatch, |input| input.codes.truncate(5));
    refused(FitError::ShapeMismatch, |input| input.target.truncate(5));
    refused(FitError::ShapeMismatch, |input| input.schema.factor = None);
    refused(FitError::ShapeMismatch, |input| {
        input.schema.features.clear();
        input.features.clear();
    });
}

#[test]
fn tolerance_is_a_share() {
    for tolerance in [1.0, -1e-300, f64::NAN, f64::INFINITY] {
        refused(FitError::BadTolerance, |input| input.tolerance = tolerance);
    }
}

#[test]
fn capacities_are_exact() {
    let long = "x".repeat(MAX_NAME_BYTES);
    let mut full = Input::valid();
    full.schema = Schema {
        target: long.clone(),
        features: vec![long.clone(); MAX_FEATURES],
        factor: Some(long.clone()),
        intercept: false,
    };
    full.levels = (0..MAX_LEVELS).map(|level| format!("{level:0>MAX_NAME_BYTES$}")).collect();
    let n = MAX_FEATURES + MAX_LEVELS;
    full.features = (0..n * MAX_FEATURES).map(|i| f64::from((i * i % 97) as u32)).collect();
    full.codes = (0..n).map(|row| (row % MAX_LEVELS) as u32).collect();
    full.target = (0..n).map(|row| f64::from((row * 7 % 31) as u32)).collect();
    let model = full.fit().unwrap();
    assert_eq!(model.report().terms.len(), n);
    assert_eq!(model.levels(), full.levels);
    assert_eq!(model.schema(), full.schema);

    let mut beyond = full.clone();
    beyond.schema.features.push("one more".into());
    assert_eq!(beyond.fit().unwrap_err(), FitError::TooLarge);
    let mut beyond = full.clone();
    beyond.levels.push("~".into());
    assert_eq!(beyond.fit().unwrap_err(), FitError::TooLarge);
    refused(FitError::TooLarge, |input| input.schema.target = format!("{long}x"));
    refused(FitError::TooLarge, |input| input.schema.features[0] = format!("{long}x"));
    refused(FitError::TooLarge, |input| input.schema.factor = Some(format!("{long}x")));
    refused(FitError::TooLarge, |input| input.levels[1] = format!("{long}x"));
}

#[test]
fn size_alone_is_no_error_but_an_overflow_is() {
    let mut huge = Input::valid();
    for value in &mut huge.features {
        *value *= 1e304;
    }
    let slope = huge.fit().unwrap().report().terms[1].estimate.unwrap();
    let plain = Input::valid().fit().unwrap().report().terms[1].estimate.unwrap();
    assert!((slope * 1e304 / plain - 1.0).abs() < 1e-12, "{slope:e}, {plain:e}");

    refused(FitError::NumericOverflow, |input| {
        input.features.iter_mut().for_each(|value| *value *= 1e-300);
        input.target.iter_mut().for_each(|value| *value *= 1e300);
    });
}

#[test]
fn a_level_without_rows_has_a_null_term_and_no_predictions() {
    let mut input = Input::valid();
    input.levels.insert(1, "tuna".into());
    input.codes = vec![0, 0, 0, 2, 2, 2];
    let model = input.fit().unwrap();
    let report = model.report();
    assert_eq!((report.rank, report.terms[2].estimate), (3, None));
    let predictions = model.predict(&[80.0; 3], &[0, 1, 2]).unwrap();
    assert_eq!(predictions.unseen_level, [1]);

    // The same when it is the baseline: the intercept is then another level's.
    input.levels = vec!["bass".into(), "salmon".into(), "walleye".into()];
    input.codes = vec![1, 1, 1, 2, 2, 2];
    let shifted = input.fit().unwrap().predict(&[80.0; 3], &[1, 0, 2]).unwrap();
    assert_eq!(shifted.unseen_level, [1]);
    for row in [0, 2] {
        let difference = shifted.values[row] - predictions.values[row];
        assert!(difference.abs() < 1e-12, "{difference:e}");
    }
}

#[test]
fn predictions_follow_the_terms() {
    let model = Input::valid().fit().unwrap();
    let term: Vec<f64> = model.report().terms.iter().map(|term| term.estimate.unwrap()).collect();
    let predictions = model.predict(&[80.0, 81.0, 82.0, 83.0], &[0, 7, 1, u32::MAX]).unwrap();
    assert_eq!(predictions.unseen_level, [1, 3]);
    let expected = [term[0] + term[1] * 80.0, 0.0, term[0] + term[2] + term[1] * 82.0, 0.0];
    assert_eq!(predictions.values, expected);
    assert_eq!(model.predict(&[], &[]).unwrap().values, []);
}

#[test]
fn batches_must_fit_the_schema() {
    let model = Input::valid().fit().unwrap();
    for (features, codes) in [(&[80.0][..], &[][..]), (&[], &[0]), (&[80.0], &[0, 0])] {
        assert_eq!(model.predict(features, codes), Err(PredictError::ShapeMismatch));
    }
    let mut pooled = Input::valid();
    pooled.schema.features.push("Height".into());
    pooled.schema.factor = None;
    pooled.levels.clear();
    pooled.codes.clear();
    pooled.features.extend([18.0, 20.0, 21.0, 16.0, 17.0, 22.0]);
    let model = pooled.fit().unwrap();
    assert_eq!(model.predict(&[80.0, 81.0, 18.0, 19.0], &[]).unwrap().values.len(), 2);
    assert_eq!(model.predict(&[80.0, 81.0, 18.0], &[]), Err(PredictError::ShapeMismatch));
    assert_eq!(model.predict(&[80.0, 18.0], &[0]), Err(PredictError::ShapeMismatch));
}

#[test]
fn a_constant_target_has_no_share_explained() {
    let mut input = Input::valid();
    input.target.fill(4.2);
    let report = input.fit().unwrap().report();
    assert_eq!((report.r_squared, report.adj_r_squared, report.f), (None, None, None));
    assert!((report.terms[0].estimate.unwrap() - 4.2).abs() < 1e-14);
}
