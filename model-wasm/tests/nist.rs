//! The NIST StRD linear regression suite: how many digits of the worst coefficient are right.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use serde::Deserialize;
use weir_model::{FitOptions, Model, Schema, TrainingRows};

#[derive(Deserialize)]
struct Suite {
    datasets: BTreeMap<String, Dataset>,
}

#[derive(Deserialize)]
struct Dataset {
    intercept: bool,
    degree: Option<i32>,
    columns: Vec<String>,
    data: BTreeMap<String, Vec<String>>,
    exact_rational: Exact,
}

/// The solution in rational arithmetic, printed with 30 digits.
#[derive(Deserialize)]
struct Exact {
    coef: Vec<String>,
    std_dev: Vec<String>,
    sigma: String,
    r_squared: String,
}

/// A data set, the digits asked of its coefficients, and what R's `lm` has (from the NIST runs
/// described in `tests/data/README.md`).
const ASKED: [(&str, f64, &str); 11] = [
    ("Norris", 13.5, "12.5"),
    ("Pontius", 13.0, "12.7"),
    ("NoInt1", 14.5, "14.7"),
    ("NoInt2", 14.5, "-"),
    ("Longley", 13.5, "13.0"),
    ("Wampler1", 13.0, "9.8"),
    ("Wampler2", 13.0, "13.6"),
    ("Wampler3", 12.5, "9.3"),
    ("Wampler4", 11.0, "-"),
    ("Wampler5", 9.0, "5.5"),
    ("Filip", 7.0, "0, forced 7.2"),
];

/// Filip's tenth-degree polynomial is collinear by R's tolerance. This one keeps all columns.
const FILIP_TOLERANCE: f64 = 1e-12;

#[test]
fn coefficients_have_the_digits_asked_for() {
    let suite: Suite = serde_json::from_str(include_str!("data/nist-strd.json")).unwrap();
    assert_eq!(suite.datasets.len(), ASKED.len());
    println!("correct digits of the worst figure (15 is the cap)");
    println!(
        "{:<9} {:>6} {:>6} {:>6} {:>6} {:>6}  R's lm",
        "", "asked", "coef", "se", "sigma", "R2"
    );
    let mut short = Vec::new();
    for (name, asked, r) in ASKED {
        let dataset = &suite.datasets[name];
        let model = dataset.fit(if name == "Filip" { FILIP_TOLERANCE } else { 1e-7 });
        let report = model.report();
        let exact = &dataset.exact_rational;
        let estimates = report.terms.iter().map(|term| term.estimate.unwrap());
        let errors = report.terms.iter().map(|term| term.std_error.unwrap());
        let coefficients = worst(estimates, &exact.coef);
        println!(
            "{name:<9} {asked:>6.1} {coefficients:>6.1} {:>6.1} {:>6.1} {:>6.1}  {r}",
            worst(errors, &exact.std_dev),
            digits(report.sigma.unwrap(), number(&exact.sigma)),
            digits(report.r_squared.unwrap(), number(&exact.r_squared)),
        );
        if coefficients < asked {
            short.push(name);
        }
    }
    assert!(short.is_empty(), "too few digits: {short:?}");
}

#[test]
fn filip_is_rank_deficient_by_default_as_in_r() {
    let suite: Suite = serde_json::from_str(include_str!("data/nist-strd.json")).unwrap();
    let report = suite.datasets["Filip"].fit(1e-7).report();
    assert_eq!((report.rank, report.terms.len()), (10, 11));
}

impl Dataset {
    fn fit(&self, tolerance: f64) -> Model {
        let column = |name: &String| -> Vec<f64> {
            self.data[name].iter().map(|text| number(text)).collect()
        };
        let target = column(&self.columns[0]);
        let given: Vec<f64> = self.columns[1..].iter().flat_map(column).collect();
        let features = match self.degree {
            Some(degree) => (1..=degree)
                .flat_map(|power| given.iter().map(move |x| x.powf(f64::from(power))))
                .collect(),
            None => given,
        };
        let count = features.len() / target.len();
        let schema = Schema {
            target: "y".into(),
            features: (1..=count).map(|index| format!("x{index}")).collect(),
            factor: None,
            intercept: self.intercept,
        };
        let rows = TrainingRows { levels: &[], features: &features, codes: &[], target: &target };
        weir_model::fit(&schema, &FitOptions { tolerance }, &rows).unwrap()
    }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap()
}

/// The fewest correct digits among several figures.
fn worst(ours: impl Iterator<Item = f64>, exact: &[String]) -> f64 {
    ours.zip(exact).map(|(ours, exact)| digits(ours, number(exact))).fold(15.0, f64::min)
}

/// The logarithm of the relative error, or of the absolute one about zero; at most 15.
fn digits(ours: f64, exact: f64) -> f64 {
    let error = if exact == 0.0 { ours.abs() } else { ((ours - exact) / exact).abs() };
    (-error.log10()).min(15.0)
}
