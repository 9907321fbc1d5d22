//! Seeded rows for the real template, and runtimes.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use weir_runtime::{FitError, FitOptions, Fitted, Limits, Runtime, Schema, Template};

/// The guest of this project, as it is shipped.
pub(crate) const TEMPLATE: &[u8] = include_bytes!("../../../../model-wasm/template.wasm");

pub(crate) fn runtime() -> Runtime {
    Runtime::new(Limits::default()).unwrap()
}

pub(crate) fn template(runtime: &Runtime) -> Template {
    Template::new(runtime, TEMPLATE).unwrap()
}

/// Rows of a linear law with noise, as the columns that a fit takes.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) schema: Schema,
    pub(crate) levels: Vec<String>,
    pub(crate) features: Vec<f64>,
    pub(crate) codes: Vec<u32>,
    pub(crate) target: Vec<f64>,
}

impl Rows {
    /// `levels` of 0 means no factor.
    pub(crate) fn random(seed: u64, rows: usize, features: usize, levels: u32) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let columns: Vec<f64> =
            (0..rows * features).map(|_| rng.random_range(-50.0..50.0)).collect();
        let codes: Vec<u32> = match levels {
            0 => vec![],
            levels => (0..rows).map(|_| rng.random_range(0..levels)).collect(),
        };
        let slopes: Vec<f64> = (0..features).map(|_| rng.random_range(-3.0..3.0)).collect();
        let target = (0..rows)
            .map(|row| {
                let law: f64 = (0..features).map(|j| slopes[j] * columns[j * rows + row]).sum();
                let shift = codes.get(row).map_or(0.0, |code| f64::from(*code) * 7.3);
                law + shift + rng.random_range(-1.0..1.0)
            })
            .collect();
        let schema = Schema {
            target: "Weight".into(),
            features: (0..features).map(|j| format!("x{j}")).collect(),
            factor: (levels > 0).then(|| "Species".into()),
            intercept: true,
        };
        let levels = (0..levels).map(|level| format!("level{level:02}")).collect();
        Self { schema, levels, features: columns, codes, target }
    }

    /// As the sole feature an `x` of 0 and 1 and a target of these two values.
    pub(crate) fn line(at_zero: f64, at_one: f64) -> Self {
        let schema = Schema {
            target: "y".into(),
            features: vec!["x".into()],
            factor: None,
            intercept: true,
        };
        let (features, target) = (vec![0.0, 1.0], vec![at_zero, at_one]);
        Self { schema, levels: vec![], features, codes: vec![], target }
    }

    pub(crate) fn fit(&self, template: &Template) -> Result<Fitted, FitError> {
        template.fit(
            &self.schema,
            FitOptions::default(),
            &self.levels,
            &self.features,
            &self.codes,
            &self.target,
        )
    }

    /// The same fit without a sandbox.
    pub(crate) fn fit_natively(&self) -> weir_model::Model {
        let schema = weir_model::Schema {
            target: self.schema.target.clone(),
            features: self.schema.features.clone(),
            factor: self.schema.factor.clone(),
            intercept: self.schema.intercept,
        };
        let rows = weir_model::TrainingRows {
            levels: &self.levels,
            features: &self.features,
            codes: &self.codes,
            target: &self.target,
        };
        weir_model::fit(&schema, &weir_model::FitOptions { tolerance: 1e-7 }, &rows).unwrap()
    }
}
