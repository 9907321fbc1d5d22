//! Reads R's results from `tests/data` and compares fits with them.

use serde::{Deserialize, Deserializer};
use weir_model::{FitOptions, FitReport, Model, Schema, TrainingRows};

/// Agreement asked of every figure, relative to R's.
pub(crate) const TOLERANCE: f64 = 1e-10;

/// A number as the files spell it: `null` and `"NaN"` are NaN, `"Inf"` and `"-Inf"` infinite.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(pub(crate) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelling {
            Number(f64),
            Word(String),
        }
        Ok(match Option::deserialize(deserializer)? {
            None => Self(f64::NAN),
            Some(Spelling::Number(number)) => Self(number),
            Some(Spelling::Word(word)) => Self(word.parse().map_err(serde::de::Error::custom)?),
        })
    }
}

impl Number {
    fn defined(self) -> Option<f64> {
        (!self.0.is_nan()).then_some(self.0)
    }
}

/// Columns of a case.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Data {
    pub(crate) length: Vec<Number>,
    pub(crate) height: Vec<Number>,
    pub(crate) species: Option<Vec<Option<String>>>,
    pub(crate) weight: Vec<Number>,
}

/// R's `summary.lm`.
#[derive(Debug, Deserialize)]
pub(crate) struct Summary {
    pub(crate) formula: String,
    pub(crate) n_used: u32,
    pub(crate) rank: u32,
    pub(crate) df_residual: u32,
    pub(crate) levels: Vec<String>,
    pub(crate) terms: Vec<Term>,
    pub(crate) r_squared: Number,
    pub(crate) adj_r_squared: Number,
    pub(crate) sigma: Number,
    pub(crate) f_value: Number,
    pub(crate) f_numdf: Option<u32>,
    pub(crate) f_dendf: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Term {
    pub(crate) name: String,
    pub(crate) estimate: Number,
    pub(crate) std_error: Number,
    pub(crate) t: Number,
}

/// R's prediction for one row: a number, or the message of the error.
#[derive(Debug, Deserialize)]
pub(crate) struct Prediction {
    pub(crate) length: Number,
    pub(crate) height: Number,
    pub(crate) species: Option<String>,
    #[serde(default = "absent")]
    pub(crate) weight: Number,
    pub(crate) error: Option<String>,
}

fn absent() -> Number {
    Number(f64::NAN)
}

/// A fit by R, or the message of its error.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) data: Data,
    pub(crate) result: Option<Summary>,
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) predictions: Vec<Prediction>,
}

impl Case {
    /// The columns that R's formula names.
    pub(crate) fn modelled(&self) -> Data {
        let mut data = self.data.clone();
        if self.result.as_ref().is_some_and(|r| !r.formula.contains("species")) {
            data.species = None;
        }
        data
    }
}

/// The cases of a file that the generator of `tests/data` wrote.
pub(crate) fn cases(json: &str) -> Vec<Case> {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<Case>,
    }
    serde_json::from_str::<File>(json).unwrap().cases
}

/// The training rows of a case, laid out as the contract wants them.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) schema: Schema,
    pub(crate) levels: Vec<String>,
    pub(crate) features: Vec<f64>,
    pub(crate) codes: Vec<u32>,
    pub(crate) target: Vec<f64>,
}

impl Rows {
    /// All rows. The species is a factor if more than one occurs, as the host decides it.
    pub(crate) fn new(data: &Data) -> Self {
        let species: Vec<String> = data.species.iter().flatten().flatten().cloned().collect();
        let mut levels = species.clone();
        levels.sort();
        levels.dedup();
        if levels.len() < 2 {
            levels.clear();
        }
        let code = |name| u32::try_from(levels.binary_search(name).unwrap()).unwrap();
        let codes = if levels.is_empty() { vec![] } else { species.iter().map(code).collect() };
        Self {
            schema: Schema {
                target: "weight".into(),
                features: vec!["length".into(), "height".into()],
                factor: (!levels.is_empty()).then(|| "species".into()),
                intercept: true,
            },
            levels,
            features: data.length.iter().chain(&data.height).map(|number| number.0).collect(),
            codes,
            target: data.weight.iter().map(|number| number.0).collect(),
        }
    }

    pub(crate) fn training(&self) -> TrainingRows<'_> {
        TrainingRows {
            levels: &self.levels,
            features: &self.features,
            codes: &self.codes,
            target: &self.target,
        }
    }

    pub(crate) fn fit(&self) -> Result<Model, weir_model::FitError> {
        weir_model::fit(&self.schema, &FitOptions::default(), &self.training())
    }
}

impl Data {
    /// The rows that R uses: those without a missing value. (An infinite one is an error in R.)
    pub(crate) fn complete(&self) -> Self {
        let columns = [&self.length, &self.height, &self.weight];
        let keep = |row: &usize| columns.iter().all(|column| !column[*row].0.is_nan());
        let rows: Vec<usize> = (0..self.weight.len()).filter(keep).collect();
        let pick = |column: &[Number]| rows.iter().map(|row| column[*row]).collect();
        Self {
            length: pick(&self.length),
            height: pick(&self.height),
            weight: pick(&self.weight),
            species: self
                .species
                .as_ref()
                .map(|all| rows.iter().map(|r| all[*r].clone()).collect()),
        }
    }
}

/// Asserts that two figures agree. `floor` is the size below which R's figure is only rounding.
#[track_caller]
pub(crate) fn assert_close(what: &str, ours: Option<f64>, theirs: Option<f64>, floor: f64) {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => {
            let allowed = TOLERANCE * theirs.abs() + floor;
            assert!((ours - theirs).abs() <= allowed, "{what}: {ours:e}, R has {theirs:e}");
        }
        _ => assert_eq!(ours, theirs, "{what}"),
    }
}

/// Asserts that a report says what R's summary says.
pub(crate) fn assert_agrees(name: &str, report: &FitReport, r: &Summary) {
    assert_eq!(report.rows, r.n_used, "{name}: rows");
    assert_eq!(report.rank, r.rank, "{name}: rank");
    assert_eq!(report.df_residual, r.df_residual, "{name}: df");
    let names: Vec<_> = report.terms.iter().map(|term| &term.name).collect();
    assert_eq!(names, r.terms.iter().map(|term| &term.name).collect::<Vec<_>>(), "{name}");
    // Without noise or degrees of freedom R's smallest figures are rounding errors.
    let noiseless = r.df_residual == 0 || r.sigma.0 < 1e-12;
    let floor = if noiseless { 1e-12 } else { 0.0 };
    for (ours, theirs) in report.terms.iter().zip(&r.terms) {
        let what = format!("{name}: {}", theirs.name);
        assert_close(&what, ours.estimate, theirs.estimate.defined(), floor);
        assert_close(&format!("{what} se"), ours.std_error, theirs.std_error.defined(), floor);
        if !noiseless {
            assert_close(&format!("{what} t"), ours.t_value, theirs.t.defined(), floor);
        }
    }
    assert_close(&format!("{name}: R2"), report.r_squared, r.r_squared.defined(), 0.0);
    assert_close(&format!("{name}: adj R2"), report.adj_r_squared, r.adj_r_squared.defined(), 0.0);
    assert_close(&format!("{name}: sigma"), report.sigma, r.sigma.defined(), floor);
    if !noiseless {
        let f = report.f;
        assert_close(&format!("{name}: F"), f.map(|f| f.value), r.f_value.defined(), 0.0);
        assert_eq!(f.map(|f| f.df_model), r.f_numdf, "{name}: df of F");
        assert_eq!(f.map(|f| f.df_residual), r.f_dendf, "{name}: df of F");
    }
}
