//! The real template: what a fit makes of it, against the same code run natively.

use std::collections::HashSet;

use weir_runtime::{FitError, FitReport, Refusal, Runtime};

use crate::data::{Rows, TEMPLATE, runtime, template};

/// A report as the bits of its numbers, with its names.
type Bits = (Vec<(String, [Option<u64>; 3])>, [Option<u64>; 4], [u32; 3]);

fn bits(report: &FitReport) -> Bits {
    let bits = |value: Option<f64>| value.map(f64::to_bits);
    let terms = report.terms.iter().map(|term| {
        let numbers = [bits(term.estimate), bits(term.std_error), bits(term.t_value)];
        (term.name.clone(), numbers)
    });
    let f = report.f.map(|f| f.value);
    let numbers = [bits(report.r_squared), bits(report.adj_r_squared), bits(report.sigma), bits(f)];
    (terms.collect(), numbers, [report.rows, report.rank, report.df_residual])
}

fn native_bits(report: &weir_model::FitReport) -> Bits {
    let bits = |value: Option<f64>| value.map(f64::to_bits);
    let terms = report.terms.iter().map(|term| {
        let numbers = [bits(term.estimate), bits(term.std_error), bits(term.t_value)];
        (term.name.clone(), numbers)
    });
    let f = report.f.map(|f| f.value);
    let numbers = [bits(report.r_squared), bits(report.adj_r_squared), bits(report.sigma), bits(f)];
    (terms.collect(), numbers, [report.rows, report.rank, report.df_residual])
}

fn same_bits(runtime: &Runtime, rows: &Rows, fitted: &[u8]) {
    let native = rows.fit_natively();
    let model = runtime.load(fitted).unwrap();
    let description = model.description();
    assert_eq!(description.schema.as_ref(), Some(&rows.schema));
    assert_eq!(description.levels, rows.levels);
    assert_eq!(bits(description.report.as_ref().unwrap()), native_bits(&native.report()));
    let mut codes = rows.codes.clone();
    if let Some(code) = codes.last_mut() {
        *code = u32::MAX;
    }
    let got = model.predictor().predict(&rows.features, &codes).unwrap();
    let expected = native.predict(&rows.features, &codes).unwrap();
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&got.values), bits(&expected.values));
    assert_eq!(got.unseen_level, expected.unseen_level);
    assert_eq!(got.not_finite, Vec::<u32>::new());
}

#[test]
fn a_trained_component_answers_like_native_code() {
    let runtime = runtime();
    let template = template(&runtime);
    assert!(!template.model().description().is_trained());
    for (seed, (rows, features, levels)) in
        [(50, 2, 2), (50, 2, 0), (7, 1, 3), (400, 16, 0), (1_000, 5, 40), (3, 2, 0)]
            .into_iter()
            .enumerate()
    {
        let rows = Rows::random(seed as u64, rows, features, levels);
        let fitted = rows.fit(&template).unwrap();
        assert_eq!(bits(&fitted.report), native_bits(&rows.fit_natively().report()));
        same_bits(&runtime, &rows, &fitted.bytes);
    }
}

#[test]
fn a_collinear_column_is_dropped_here_as_there() {
    let runtime = runtime();
    let mut rows = Rows::random(9, 30, 2, 0);
    let (first, second) = rows.features.split_at_mut(30);
    second.copy_from_slice(first);
    let fitted = rows.fit(&template(&runtime)).unwrap();
    assert_eq!(fitted.report.terms[2].estimate, None);
    same_bits(&runtime, &rows, &fitted.bytes);
}

#[test]
fn a_fit_depends_on_its_rows_alone() {
    let rows = Rows::random(1, 50, 2, 2);
    let others = Rows::random(2, 5_000, 2, 3);
    let first = template(&runtime());
    let fresh = rows.fit(&first).unwrap();
    others.fit(&first).unwrap();
    let again = rows.fit(&first).unwrap();
    let elsewhere = rows.fit(&template(&runtime())).unwrap();
    assert!(fresh.bytes == again.bytes, "an earlier fit left something behind");
    assert!(fresh.bytes == elsewhere.bytes, "two runtimes differ");
    assert!(fresh.bytes != others.fit(&first).unwrap().bytes);
}

#[test]
fn a_snapshot_can_be_loaded_again_and_has_a_stable_digest() {
    let runtime = runtime();
    let fitted = Rows::random(3, 50, 2, 2).fit(&template(&runtime)).unwrap();
    let (one, other) = (runtime.load(&fitted.bytes).unwrap(), runtime.load(&fitted.bytes).unwrap());
    assert_eq!(one.digest(), other.digest());
    assert_ne!(one.digest(), runtime.load(TEMPLATE).unwrap().digest());
    assert_eq!(**one.bytes(), *fitted.bytes);
}

/// A model goes to every host; the factory's rows must not go with it.
#[test]
fn no_training_value_is_inside_a_trained_component() {
    let template = template(&runtime());
    let mut sizes = Vec::new();
    for (rows, levels) in [(50, 2), (50, 0), (10_000, 2)] {
        let rows = Rows::random(4, rows, 2, levels);
        let values = rows.features.iter().chain(&rows.target).map(|value| value.to_bits());
        // Round numbers occur by chance in any file.
        let values: HashSet<u64> = values.filter(|bits| bits.trailing_zeros() < 24).collect();
        assert!(values.len() > rows.target.len() * 2);
        let bytes = rows.fit(&template).unwrap().bytes;
        let found = bytes
            .windows(8)
            .filter(|window| values.contains(&u64::from_le_bytes((*window).try_into().unwrap())));
        assert_eq!(found.count(), 0);
        sizes.push(bytes.len());
    }
    assert!(sizes[2].abs_diff(sizes[0]) < 64, "sizes depend on the number of rows: {sizes:?}");
}

/// The search above would find a value, were it there.
#[test]
fn an_estimate_is_inside_a_trained_component() {
    let fitted = Rows::random(4, 50, 2, 2).fit(&template(&runtime())).unwrap();
    let estimate = fitted.report.terms[1].estimate.unwrap().to_le_bytes();
    assert!(fitted.bytes.windows(8).any(|window| window == estimate));
}

#[test]
fn a_fit_that_cannot_be_is_refused_by_the_guest() {
    let runtime = runtime();
    let template = template(&runtime);
    let check = |change: fn(&mut Rows), expected: Refusal| {
        let mut rows = Rows::random(5, 10, 2, 2);
        change(&mut rows);
        assert_eq!(rows.fit(&template).unwrap_err(), FitError::Refused(expected));
    };
    check(|rows| rows.target.truncate(9), Refusal::ShapeMismatch);
    check(|rows| rows.target[3] = f64::NAN, Refusal::NonFinite { row: 3 });
    check(|rows| rows.features[14] = f64::INFINITY, Refusal::NonFinite { row: 4 });
    check(|rows| rows.codes[6] = 2, Refusal::UnknownCode { row: 6 });
    check(|rows| rows.levels = vec!["n".repeat(10_000); 2], Refusal::TooLarge);
    let few = Rows::random(5, 3, 3, 0).fit(&template).unwrap_err();
    assert_eq!(few, FitError::Refused(Refusal::TooFewRows { rows: 3, terms: 4 }));
    let none = Rows::random(5, 0, 1, 0).fit(&template).unwrap_err();
    assert_eq!(none, FitError::Refused(Refusal::NoRows));
}
