//! Against R 4.2.2's `lm`: real data, degenerate data, and the replayed stream of the demo.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference;

use reference::{Rows, assert_agrees, assert_close, cases};
use weir_model::FitError;

/// Where R drops columns until the rows suffice, we refuse the fit: the case, its rows, its terms.
const TOO_FEW_ROWS: [(&str, u32, u32); 4] = [
    ("n2", 2, 3),
    ("n3_two_species", 3, 4),
    ("every_row_its_own_species", 8, 10),
    ("NA_left_rows_fewer_than_p", 2, 3),
];

#[test]
fn fish() {
    let cases = cases(include_str!("data/r-lm-fish.json"));
    assert_eq!(cases.len(), 5);
    for case in &cases {
        check(case, &Rows::new(&case.modelled()));
    }
}

#[test]
fn retrainings_of_a_replayed_stream() {
    let cases = cases(include_str!("data/r-lm-replay.json"));
    assert_eq!(cases.len(), 3);
    for case in &cases {
        check(case, &Rows::new(&case.modelled()));
    }
}

#[test]
fn degenerate() {
    let cases = cases(include_str!("data/r-lm-degenerate.json"));
    assert_eq!(cases.len(), 23);
    for case in &cases {
        let all = Rows::new(&case.data);
        let n = all.target.len();
        let unusable = (0..n).find(|row| {
            !all.target[*row].is_finite()
                || all.features.iter().skip(*row).step_by(n).any(|value| !value.is_finite())
        });
        if let Some(row) = unusable {
            let refused = FitError::NonFinite(u32::try_from(row).unwrap());
            assert_eq!(all.fit().unwrap_err(), refused, "{}", case.name);
        }
        check(case, &Rows::new(&case.data.complete()));
    }
}

fn check(case: &reference::Case, rows: &Rows) {
    let name = &case.name;
    if let Some((_, rows_given, terms)) = TOO_FEW_ROWS.iter().find(|few| few.0 == name) {
        let refused = FitError::TooFewRows { rows: *rows_given, terms: *terms };
        assert_eq!(rows.fit().unwrap_err(), refused, "{name}");
        return;
    }
    let Some(r) = &case.result else {
        let error = rows.fit().unwrap_err();
        match case.error.as_deref() {
            Some("0 (non-NA) cases") => assert_eq!(error, FitError::NoRows, "{name}"),
            _ => assert!(matches!(error, FitError::NonFinite(_)), "{name}: {error}"),
        }
        return;
    };
    let model = rows.fit().unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(model.levels(), r.levels, "{name}");
    assert_agrees(name, &model.report(), r);

    for prediction in &case.predictions {
        let coded = !rows.levels.is_empty();
        let level = rows.levels.iter().position(|level| Some(level) == prediction.species.as_ref());
        let code = level.map_or(u32::MAX, |level| u32::try_from(level).unwrap());
        let codes = if coded { vec![code] } else { vec![] };
        let ours = model.predict(&[prediction.length.0, prediction.height.0], &codes).unwrap();
        if coded && level.is_none() {
            assert_eq!((ours.values, ours.unseen_level), (vec![0.0], vec![0]), "{name}");
            assert!(prediction.error.is_some(), "{name}: R predicts an unseen level");
        } else {
            let what = format!("{name}: prediction");
            assert_close(&what, Some(ours.values[0]), Some(prediction.weight.0), 0.0);
        }
    }
}
