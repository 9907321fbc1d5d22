//! From training rows to a component: rules that do not depend on where the rows come from.
//!
//! The factor enters the model only if more than one level occurs among the rows. Levels are sorted by
//! code point; the first is the baseline. The rows are fitted in the order given, oldest first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use weir_events::{Digest, EventTime, ModelVersion, Schema};
use weir_registry::{Cause, Coefficient, Golden, Manifest, Metrics, Stage, TrainingRows};
use weir_runtime::{FitOptions, FitReport, Model, Runtime, Template};

use super::candidate;

/// The untrained component that every version is made from.
const TEMPLATE: &[u8] = include_bytes!("../../../model-wasm/template.wasm");

/// One row to train with.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// What people call it.
    pub id: String,
    /// The features, in the order of the schema; finite.
    pub features: Vec<f64>,
    /// The level of the factor, if the schema has one.
    pub level: Option<Arc<str>>,
    /// The target; finite.
    pub target: f64,
}

/// A trained component that is ready to serve.
#[derive(Debug)]
pub struct Trained {
    /// The component, loaded and tested.
    pub model: Model,
    /// The levels that occurred, sorted.
    pub levels: Vec<String>,
    /// What the fit found.
    pub report: FitReport,
    /// The rows.
    pub rows: TrainingRows,
    /// How long it took from the rows to here.
    pub took: Duration,
    golden: Vec<Golden>,
}

/// Trains. One for each process; the template is compiled once.
#[derive(Clone, Debug)]
pub struct Trainer {
    runtime: Runtime,
    template: Template,
    schema: Arc<Schema>,
    options: FitOptions,
}

impl Trainer {
    /// A trainer for this schema.
    ///
    /// # Errors
    /// If the template does not load under the runtime's limits.
    pub fn new(runtime: Runtime, schema: Arc<Schema>, options: FitOptions) -> anyhow::Result<Self> {
        let template = Template::new(&runtime, TEMPLATE).context("load the model template")?;
        Ok(Self { runtime, template, schema, options })
    }

    /// The digest of the untrained component.
    pub fn template(&self) -> Digest {
        Digest::from_bytes(self.template.model().digest())
    }

    /// What its rows mean.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What its components run in.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Fits the rows, oldest first. `left_out` rows more were not usable. Blocks for some milliseconds.
    ///
    /// # Errors
    /// If the rows cannot be fitted, for example because there are fewer than terms. Nothing changes then.
    pub fn train(&self, rows: &[Row], left_out: u64) -> anyhow::Result<Trained> {
        let began = Instant::now();
        let table = Table::new(&self.schema, rows);
        let fitted = self
            .template
            .fit(
                &table.schema,
                self.options,
                &table.fit_levels,
                &table.features,
                &table.codes,
                &table.target,
            )
            .context("fit the training rows")?;
        let model = self.runtime.load(&fitted.bytes).context("load the trained component")?;
        let golden = candidate::golden(&model).context("test the trained component")?;
        let end = |row: Option<&Row>| row.map_or_else(String::new, |row| row.id.clone());
        let training_rows = TrainingRows {
            first_id: end(rows.first()),
            last_id: end(rows.last()),
            n: rows.len() as u64,
            left_out,
            ids: ids(rows),
            times: None,
            selection: None,
            digest: digest(rows),
        };
        Ok(Trained {
            model,
            levels: table.levels,
            report: fitted.report,
            rows: training_rows,
            took: began.elapsed(),
            golden,
        })
    }

    /// The manifest of a trained component, as a champion. Who publishes it gives it its number.
    pub fn manifest(
        &self,
        trained: &Trained,
        model: &str,
        model_time: EventTime,
        cause: Cause,
    ) -> Manifest {
        let report = &trained.report;
        let coefficient = |term: &weir_runtime::Term| Coefficient {
            name: term.name.clone(),
            estimate: term.estimate,
            std_error: term.std_error,
        };
        Manifest {
            model: model.to_owned(),
            version: ModelVersion::FIRST,
            digest: Digest::from_bytes(trained.model.digest()),
            size: trained.model.bytes().len() as u64,
            stage: Stage::Champion,
            model_time,
            created: model_time,
            expires: None,
            parent: None,
            source: None,
            template: self.template(),
            formula: self.schema.formula(),
            cause,
            rows: trained.rows.clone(),
            levels: trained.levels.clone(),
            coefficients: report.terms.iter().map(coefficient).collect(),
            metrics: Metrics {
                r_squared: report.r_squared,
                adj_r_squared: report.adj_r_squared,
                sigma: report.sigma,
                df_residual: report.df_residual,
            },
            hold_out: None,
            probation: None,
            golden: trained.golden.clone(),
            retrain_ms: trained.took.as_secs_f64() * 1e3,
        }
    }
}

/// Rows as the columns that a component takes.
struct Table {
    schema: weir_runtime::Schema,
    /// Every level that occurs.
    levels: Vec<String>,
    /// The levels of the factor; empty for a model without it.
    fit_levels: Vec<String>,
    /// Column-major.
    features: Vec<f64>,
    codes: Vec<u32>,
    target: Vec<f64>,
}

impl Table {
    fn new(schema: &Schema, rows: &[Row]) -> Self {
        let levels: BTreeSet<&str> = rows.iter().filter_map(|row| row.level.as_deref()).collect();
        let levels: Vec<String> = levels.into_iter().map(str::to_owned).collect();
        let factor = schema.factor.clone().filter(|_| levels.len() > 1);
        let fit_levels = if factor.is_some() { levels.clone() } else { Vec::new() };
        let code = |row: &Row| {
            let level = row.level.as_deref().unwrap_or_default();
            let found = fit_levels.binary_search_by(|known| known.as_str().cmp(level));
            u32::try_from(found.unwrap_or(usize::MAX)).unwrap_or(u32::MAX)
        };
        let codes = if factor.is_some() { rows.iter().map(code).collect() } else { Vec::new() };
        let columns = 0..schema.features.len();
        let features = columns.flat_map(|column| rows.iter().map(move |row| row.features[column]));
        let schema = weir_runtime::Schema {
            target: schema.target.clone(),
            features: schema.features.clone(),
            factor,
            intercept: schema.intercept,
        };
        let features = features.collect();
        let target = rows.iter().map(|row| row.target).collect();
        Self { schema, levels, fit_levels, features, codes, target }
    }
}

/// The keys of all rows, unless they are too many or too long.
fn ids(rows: &[Row]) -> Vec<String> {
    let bytes: usize = rows.iter().map(|row| row.id.len()).sum();
    if rows.len() > TrainingRows::IDS_MAX || bytes > TrainingRows::ID_BYTES_MAX {
        return Vec::new();
    }
    rows.iter().map(|row| row.id.clone()).collect()
}

/// The digest over all rows: each id, level and number behind its length, in order.
pub(super) fn digest(rows: &[Row]) -> Digest {
    let mut bytes = Vec::with_capacity(rows.len() * 64);
    let mut part = |part: &[u8]| {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    };
    for row in rows {
        part(row.id.as_bytes());
        part(row.level.as_deref().unwrap_or_default().as_bytes());
        for number in row.features.iter().chain([&row.target]) {
            part(&number.to_be_bytes());
        }
    }
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_events::SchemaConfig;
    use weir_runtime::Limits;

    fn trainer() -> Trainer {
        let schema = Schema::try_from(&SchemaConfig::fish()).expect("valid");
        let runtime = Runtime::new(Limits::default()).expect("starts");
        Trainer::new(runtime, Arc::new(schema), FitOptions::default()).expect("the template loads")
    }

    fn row(n: u32, level: &str, target: f64) -> Row {
        let x = f64::from(n);
        Row {
            id: n.to_string(),
            features: vec![x, x * x],
            level: Some(level.into()),
            target: target + 0.5 * x + 0.25 * x * x,
        }
    }

    #[test]
    fn the_factor_enters_only_with_a_second_level() {
        let one: Vec<Row> = (1..9).map(|n| row(n, "salmon", 1.0)).collect();
        let trained = trainer().train(&one, 0).expect("fits");
        assert_eq!(trained.model.description().levels, [""; 0]);
        assert_eq!((trained.levels, trained.rows.last_id.as_str()), (vec!["salmon".into()], "8"));

        let mut two = one;
        two.extend((9..15).map(|n| row(n, "bream", 3.0)));
        let trained = trainer().train(&two, 0).expect("fits");
        assert_eq!(trained.model.description().levels, ["bream", "salmon"]);
        let names: Vec<_> = trained.report.terms.iter().map(|term| term.name.as_str()).collect();
        assert_eq!(names, ["(Intercept)", "Length", "Height", "Speciessalmon"]);
        let shift = trained.report.terms[3].estimate.expect("estimated");
        assert!((shift + 2.0).abs() < 1e-9, "{shift}");
    }

    #[test]
    fn the_same_rows_give_the_same_component_and_manifest() {
        let rows: Vec<Row> =
            (1..30).map(|n| row(n, if n % 2 == 0 { "a" } else { "b" }, 1.0)).collect();
        let [first, second] = [trainer(), trainer()].map(|trainer| {
            let trained = trainer.train(&rows, 0).expect("fits");
            let manifest = trainer.manifest(&trained, "weight", EventTime::EPOCH, Cause::file());
            Manifest { retrain_ms: 0.0, ..manifest }
        });
        assert_eq!(first, second);
        assert_eq!((first.rows.ids.len(), first.golden.len()), (29, 6));
    }

    #[test]
    fn too_few_rows_are_an_error_that_says_so() {
        let rows = [row(1, "salmon", 1.0), row(2, "salmon", 1.0)];
        let error = trainer().train(&rows, 0).expect_err("refused");
        assert!(format!("{error:#}").contains("2 rows for 3 terms"), "{error:#}");
    }
}
