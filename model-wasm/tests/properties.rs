//! What holds for every fit: against exact rational arithmetic, and under changes of the input
//! whose effect is known.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracle;

use oracle::Oracle;
use proptest::collection::vec;
use proptest::prelude::*;
use weir_model::{FitOptions, Model, Schema, TrainingRows};

/// Rows of three features and a target.
type Table = Vec<([i32; 3], i32)>;

fn table() -> impl Strategy<Value = Table> {
    vec((prop::array::uniform3(-20..20i32), -1000..1000i32), 5..14)
}

fn column(table: &Table, feature: usize) -> Vec<f64> {
    table.iter().map(|row| f64::from(row.0[feature])).collect()
}

fn target(table: &Table) -> Vec<f64> {
    table.iter().map(|row| f64::from(row.1)).collect()
}

fn schema(features: usize, intercept: bool) -> Schema {
    let features = (0..features).map(|index| format!("x{index}")).collect();
    Schema { target: "y".into(), features, factor: None, intercept }
}

/// Fits columns of numbers with a tolerance that keeps all but exactly collinear integers.
fn fit(columns: &[Vec<f64>], target: &[f64], intercept: bool) -> Model {
    let features = columns.concat();
    let rows = TrainingRows { levels: &[], features: &features, codes: &[], target };
    let options = FitOptions { tolerance: 1e-9 };
    weir_model::fit(&schema(columns.len(), intercept), &options, &rows).unwrap()
}

fn estimates(model: &Model) -> Vec<Option<f64>> {
    model.report().terms.iter().map(|term| term.estimate).collect()
}

fn near(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * a.abs().max(b.abs())
}

proptest! {
    #[test]
    fn agrees_with_rational_arithmetic(table in table(), intercept: bool) {
        let columns: Vec<_> = (0..3).map(|feature| column(&table, feature)).collect();
        let model = fit(&columns, &target(&table), intercept);
        let report = model.report();
        let Some(oracle) = Oracle::solve(&table, intercept) else {
            prop_assert!((report.rank as usize) < report.terms.len(), "a singular matrix");
            return Ok(());
        };
        prop_assert_eq!(report.rank as usize, report.terms.len());
        for (term, exact) in report.terms.iter().zip(&oracle.coefficients) {
            let ours = term.estimate.unwrap();
            prop_assert!(near(ours, *exact, 4.0 * f64::EPSILON), "{}: {ours:e}, {exact:e}", term.name);
        }
        for (term, exact) in report.terms.iter().zip(&oracle.std_errors) {
            prop_assert!(near(term.std_error.unwrap(), *exact, 1e-11), "{}", term.name);
        }
        prop_assert!(near(report.sigma.unwrap(), oracle.sigma, 1e-13));
    }

    #[test]
    fn residuals_are_orthogonal_to_every_column(table in table(), intercept: bool) {
        let mut columns: Vec<_> = (0..3).map(|feature| column(&table, feature)).collect();
        let target = target(&table);
        let model = fit(&columns, &target, intercept);
        let fitted = model.predict(&columns.concat(), &[]).unwrap().values;
        if intercept {
            columns.push(vec![1.0; table.len()]);
        }
        let size = target.iter().fold(1.0, |size: f64, y| size.max(y.abs()));
        for column in &columns {
            let dot: f64 =
                column.iter().zip(target.iter().zip(&fitted)).map(|(x, (y, f))| x * (y - f)).sum();
            prop_assert!(dot.abs() <= 1e-9 * size, "{dot:e}");
        }
    }

    #[test]
    fn integer_planes_are_recovered_to_the_last_digit(
        table in table(),
        plane in prop::array::uniform4(-50..50i32),
    ) {
        let on_plane: Table = table
            .iter()
            .map(|(x, _)| (*x, plane[0] + (0..3).map(|j| plane[j + 1] * x[j]).sum::<i32>()))
            .collect();
        prop_assume!(Oracle::solve(&on_plane, true).is_some());
        let columns: Vec<_> = (0..3).map(|feature| column(&table, feature)).collect();
        let model = fit(&columns, &target(&on_plane), true);
        for (ours, exact) in estimates(&model).into_iter().zip(plane) {
            let error = (ours.unwrap() - f64::from(exact)).abs();
            prop_assert!(error <= 1e-13, "{ours:?} for {exact}");
        }
    }

    #[test]
    fn order_of_features_is_order_of_coefficients(table in table()) {
        prop_assume!(Oracle::solve(&table, true).is_some());
        let columns: Vec<_> = (0..3).map(|feature| column(&table, feature)).collect();
        let turned = [columns[2].clone(), columns[0].clone(), columns[1].clone()];
        let straight = estimates(&fit(&columns, &target(&table), true));
        let turned = estimates(&fit(&turned, &target(&table), true));
        for (index, moved_to) in [(0, 0), (1, 2), (2, 3), (3, 1)] {
            let (a, b) = (straight[index].unwrap(), turned[moved_to].unwrap());
            prop_assert!(near(a, b, 4.0 * f64::EPSILON), "{a:e}, {b:e}");
        }
    }

    #[test]
    fn powers_of_two_change_no_digit(table in table(), up in -600..600i32, y_up in -300..300i32) {
        let scale = |values: Vec<f64>, exponent: i32| -> Vec<f64> {
            values.into_iter().map(|value| value * 2f64.powi(exponent)).collect()
        };
        let columns: Vec<_> = (0..3).map(|feature| column(&table, feature)).collect();
        let mut scaled_columns = columns.clone();
        scaled_columns[1] = scale(columns[1].clone(), up);
        let plain = fit(&columns, &target(&table), true).report();
        let scaled = fit(&scaled_columns, &scale(target(&table), y_up), true).report();
        for (index, (plain, scaled)) in plain.terms.iter().zip(&scaled.terms).enumerate() {
            let exponent = if index == 2 { up - y_up } else { -y_up };
            let undone = |value: Option<f64>| value.map(|value| value * 2f64.powi(exponent));
            prop_assert_eq!(plain.estimate, undone(scaled.estimate));
            prop_assert_eq!(plain.std_error, undone(scaled.std_error));
        }
        prop_assert_eq!((plain.r_squared, plain.f), (scaled.r_squared, scaled.f));
    }

    #[test]
    fn a_repeated_column_is_dropped_and_changes_nothing(table in table(), copy_of in 0..3usize) {
        let columns: Vec<_> = (0..3).map(|feature| column(&table, feature)).collect();
        let mut longer = columns.clone();
        longer.push(columns[copy_of].clone());
        let without = fit(&columns, &target(&table), true);
        let with = fit(&longer, &target(&table), true);
        let mut expected = estimates(&without);
        expected.push(None);
        prop_assert_eq!(estimates(&with), expected);
        prop_assert_eq!(with.report().sigma, without.report().sigma);
    }

    #[test]
    fn a_factor_is_its_dummy_columns(
        rows in vec((-20..20i32, 0..3u32, -1000..1000i32), 6..20),
        intercept: bool,
    ) {
        let levels: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let xs: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
        let codes: Vec<u32> = rows.iter().map(|row| row.1).collect();
        let ys: Vec<f64> = rows.iter().map(|row| f64::from(row.2)).collect();
        let with_factor = Schema { factor: Some("f".into()), ..schema(1, intercept) };
        let training =
            TrainingRows { levels: &levels, features: &xs, codes: &codes, target: &ys };
        let options = FitOptions { tolerance: 1e-9 };
        let model = weir_model::fit(&with_factor, &options, &training).unwrap();

        let dummy = |level: u32| codes.iter().map(|c| f64::from(u8::from(*c == level))).collect();
        let mut columns = vec![xs.clone()];
        columns.extend((u32::from(intercept)..3).map(dummy));
        let by_hand = fit(&columns, &ys, intercept);
        prop_assert_eq!(estimates(&model), estimates(&by_hand));

        let ours = model.predict(&xs, &codes).unwrap();
        let theirs = by_hand.predict(&columns.concat(), &[]).unwrap();
        prop_assert!(ours.unseen_level.is_empty());
        for (a, b) in ours.values.iter().zip(&theirs.values) {
            prop_assert!((a - b).abs() <= 1e-9, "{a}, {b}");
        }
    }

    #[test]
    fn any_numbers_give_a_finite_report_or_an_error(
        rows in vec((prop::num::f64::ANY, prop::num::f64::ANY, 0..4u32, prop::num::f64::ANY), 0..9),
        tolerance in prop_oneof![Just(0.0), Just(1e-7), prop::num::f64::ANY],
        intercept: bool,
    ) {
        let levels: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let mut features: Vec<f64> = rows.iter().map(|row| row.0).collect();
        features.extend(rows.iter().map(|row| row.1));
        let codes: Vec<u32> = rows.iter().map(|row| row.2).collect();
        let target: Vec<f64> = rows.iter().map(|row| row.3).collect();
        let schema = Schema { factor: Some("f".into()), ..schema(2, intercept) };
        let training =
            TrainingRows { levels: &levels, features: &features, codes: &codes, target: &target };
        if let Ok(model) = weir_model::fit(&schema, &FitOptions { tolerance }, &training) {
            let report = model.report();
            let figures = report.terms.iter().flat_map(|t| [t.estimate, t.std_error, t.t_value]);
            let whole = [report.r_squared, report.adj_r_squared, report.sigma];
            for figure in figures.chain(whole).flatten() {
                prop_assert!(figure.is_finite());
            }
            prop_assert_eq!(model.predict(&features, &codes).unwrap().values.len(), rows.len());
        }
    }
}
