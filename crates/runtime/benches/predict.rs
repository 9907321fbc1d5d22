//! What the sandbox costs: batches against the same arithmetic in native code, and the way from
//! rows to a model that serves.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_runtime::{FitOptions, Fitted, Limits, Runtime, Schema, Template};

const TEMPLATE: &[u8] = include_bytes!("../../../model-wasm/template.wasm");

/// Fish of two species, by length and height.
struct Rows {
    levels: Vec<String>,
    features: Vec<f64>,
    codes: Vec<u32>,
    target: Vec<f64>,
}

impl Rows {
    fn new(rows: u32) -> Self {
        let wave = |step: f64| move |row: u32| (f64::from(row) * step).sin();
        let length = (0..rows).map(wave(0.7)).map(|wave| 30.0 + 5.0 * wave);
        let height = (0..rows).map(wave(1.3)).map(|wave| 8.0 + wave);
        let features: Vec<f64> = length.chain(height).collect();
        let codes: Vec<u32> = (0..rows).map(|row| row % 2).collect();
        let target = (0..rows as usize)
            .map(|row| 20.0 * features[row] + wave(2.1)(row as u32) + 9.0 * f64::from(codes[row]))
            .collect();
        let levels = vec!["perch".into(), "walleye".into()];
        Self { levels, features, codes, target }
    }

    fn schema() -> Schema {
        Schema {
            target: "Weight".into(),
            features: vec!["Length".into(), "Height".into()],
            factor: Some("Species".into()),
            intercept: true,
        }
    }

    fn fit(&self, template: &Template) -> Fitted {
        let options = FitOptions::default();
        template
            .fit(&Self::schema(), options, &self.levels, &self.features, &self.codes, &self.target)
            .expect("the rows are well conditioned")
    }

    fn fit_natively(&self) -> weir_model::Model {
        let Schema { target, features, factor, intercept } = Self::schema();
        let schema = weir_model::Schema { target, features, factor, intercept };
        let rows = weir_model::TrainingRows {
            levels: &self.levels,
            features: &self.features,
            codes: &self.codes,
            target: &self.target,
        };
        weir_model::fit(&schema, &weir_model::FitOptions::default(), &rows)
            .expect("the rows are well conditioned")
    }
}

fn started() -> Runtime {
    Runtime::new(Limits::default()).expect("the defaults are valid")
}

fn predict(c: &mut Criterion) {
    let runtime = started();
    let template = Template::new(&runtime, TEMPLATE).expect("the template is a model");
    let training = Rows::new(50);
    let model = runtime.load(&training.fit(&template).bytes).expect("a fit makes a model");
    let native = training.fit_natively();
    let mut group = c.benchmark_group("predict");
    for batch in [1, 8, 64, 512, 4_096] {
        let Rows { features, codes, .. } = Rows::new(batch);
        group.throughput(Throughput::Elements(u64::from(batch)));
        group.bench_function(BenchmarkId::new("native", batch), |b| {
            b.iter(|| native.predict(black_box(&features), black_box(&codes)));
        });
        let mut predictor = model.predictor();
        group.bench_function(BenchmarkId::new("component", batch), |b| {
            b.iter(|| predictor.predict(black_box(&features), black_box(&codes)));
        });
    }
    group.finish();
}

fn retrain(c: &mut Criterion) {
    let runtime = started();
    let template = Template::new(&runtime, TEMPLATE).expect("the template is a model");
    let mut group = c.benchmark_group("retrain");
    group.sample_size(10);
    for rows in [50, 10_000] {
        let rows_in = Rows::new(rows);
        group.bench_function(BenchmarkId::new("fit and snapshot", rows), |b| {
            b.iter(|| rows_in.fit(&template));
        });
        group.bench_function(BenchmarkId::new("rows to first prediction", rows), |b| {
            b.iter(|| {
                let model = runtime.load(&rows_in.fit(&template).bytes).expect("a model");
                model.predictor().predict(&[30.0, 8.0], &[0])
            });
        });
    }
    let bytes = Rows::new(50).fit(&template).bytes;
    group.bench_function("load, functions compiled before", |b| b.iter(|| runtime.load(&bytes)));
    group.bench_function("load, nothing compiled before", |b| {
        b.iter_batched(started, |fresh| fresh.load(&bytes), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    targets = predict, retrain
}
criterion_main!(benches);
