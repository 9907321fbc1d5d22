//! Throughput of the join, beside a hash map that only pairs: no lateness, no duplicates, no expiry.
//!
//! Both topics at the same pace, a thousand events a second each, every target 20 s after its
//! prediction; the state is that of steady operation, with minutes of events remembered.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use weir_events::{
    Digest, EventId, EventTime, Joined, Key, Measurement, ModelRef, ModelVersion, Outcome,
    Prediction, Target, relative_error,
};
use weir_stream::{Join, JoinConfig};

const PAIRS: i64 = 400_000;
const SPACING_MICROS: i64 = 1_000;
const DELAY_MICROS: i64 = 20_000_000;

fn id(number: i64, side: u8) -> EventId {
    let mut bytes = [side; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    EventId::from_bytes(bytes)
}

fn key(number: i64) -> Key {
    Key::new(&number.to_string()).expect("not empty")
}

/// Pairs in the order of arrival: a prediction, and the target of an earlier one.
fn events() -> Vec<(Prediction, Target)> {
    let model =
        ModelRef { version: ModelVersion::FIRST, digest: Digest::of(b""), time: EventTime::EPOCH };
    let lag = DELAY_MICROS / SPACING_MICROS;
    let pair = |number: i64| {
        let time = EventTime::from_micros(number * SPACING_MICROS);
        let features = vec![30.0, 12.0];
        let measurement =
            Measurement { id: id(number, 0), key: key(number), time, features, level: None };
        let prediction =
            Prediction { measurement, outcome: Outcome::Value(1.0), model, shadow: None };
        let target = Target { id: id(number, 1), key: key(number - lag), time, value: 1.1 };
        (prediction, target)
    };
    (0..PAIRS).map(pair).collect()
}

fn join(events: Vec<(Prediction, Target)>) -> u64 {
    let mut join = Join::new(JoinConfig::default());
    for (offset, (prediction, target)) in (0..).zip(events) {
        black_box(join.push_prediction(offset, prediction));
        black_box(join.push_target(offset, target));
    }
    join.counts().prediction.joined
}

fn naive(events: Vec<(Prediction, Target)>) -> u64 {
    let mut pending: HashMap<Key, Prediction> = HashMap::new();
    let mut joined = 0;
    for (prediction, target) in events {
        pending.insert(prediction.measurement.key.clone(), prediction);
        if let Some(prediction) = pending.remove(&target.key) {
            let error = prediction.outcome.value().map(|value| relative_error(value, target.value));
            let (actual, time) = (target.value, target.time);
            black_box(Joined { prediction, actual, time, error });
            joined += 1;
        }
    }
    joined
}

fn bench(criterion: &mut Criterion) {
    let events = events();
    assert_eq!(join(events.clone()), naive(events.clone()));
    let mut group = criterion.benchmark_group("join");
    group.throughput(Throughput::Elements(2 * PAIRS.unsigned_abs())).sample_size(10);
    group.bench_function("weir", |bencher| {
        bencher.iter_batched(|| events.clone(), join, BatchSize::PerIteration);
    });
    group.bench_function("hash map", |bencher| {
        bencher.iter_batched(|| events.clone(), naive, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
