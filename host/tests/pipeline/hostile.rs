//! Row M-2 of the faults: versions that a pinned key has signed, and that are hostile. Predictions go on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_events::{Digest, EventId, ModelVersion, SchemaConfig, headers};
use weir_host::model::Row;
use weir_registry::{Envelope, Golden, Manifest};

use crate::fish::Event;
use crate::guest::{Guest, IDENTITY, MEMORY_BOMB, SPIN, UNREACHABLE};
use crate::line::{Line, signing_key, soon};

/// How long a component may take for a batch.
const DEADLINE: Duration = Duration::from_millis(20);
/// Between two measurements.
const PACE: Duration = Duration::from_millis(5);
/// The feature that all models are asked about, and the one at which the last hostile one goes astray.
const ORDINARY: f64 = 1.5;
const TRIGGERING: f64 = 101.0;

const RECURSION: &str = "(drop (call $deeper (i32.const 0))) (i32.const 256)";
const DEEPER: &str = "(func $deeper (param i32) (result i32)
    (i32.add (i32.const 1) (call $deeper (i32.add (local.get 0) (i32.const 1)))))";

/// What is found out before it serves.
fn found_out() -> Vec<(&'static str, Vec<u8>)> {
    let not_a_number = format!("(f64.store (local.get $features) (f64.const nan)) {IDENTITY}");
    let spins_at_start = "(func $spin (loop $again (br $again))) (start $spin)";
    let spinning = Guest { more: spins_at_start, ..Guest::good() };
    vec![
        ("an endless loop", Guest::predicting(SPIN).component()),
        ("an endless description", Guest::describing(SPIN).component()),
        ("an endless start", spinning.component()),
        ("a memory bomb", Guest::predicting(MEMORY_BOMB).component()),
        ("deep recursion", Guest { more: DEEPER, ..Guest::predicting(RECURSION) }.component()),
        ("a trap", Guest::predicting(UNREACHABLE).component()),
        ("no number", Guest::predicting(not_a_number.leak()).component()),
        ("another answer than promised", Guest::predicting(SQUARE).component()),
        ("another world", crate::guest::of_another_world()),
        ("other types", crate::guest::of_other_types()),
        ("an import", Guest::good().importing()),
        ("no component", Guest::good().core_module()),
        ("nothing at all", b"\0asm".to_vec()),
    ]
}

const SQUARE: &str = "(f64.store (local.get $features)
        (f64.mul (f64.load (local.get $features)) (f64.load (local.get $features))))
    (i32.store (i32.const 260) (local.get $features)) (i32.store (i32.const 264) (local.get $n))
    (i32.store (i32.const 268) (i32.const 0)) (i32.store (i32.const 272) (i32.const 0))
    (i32.const 256)";

/// It behaves while it is tested.
fn astray() -> Vec<u8> {
    let body = format!(
        "(if (f64.gt (f64.load (local.get $features)) (f64.const 100))
            (then (loop $again (br $again)))) {IDENTITY}"
    );
    Guest::predicting(body.leak()).component()
}

/// Traps at every thirtieth call of an instance.
fn moody() -> Vec<u8> {
    let body = format!(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (i32.ge_u (global.get $calls) (i32.const 30)) (then unreachable)) {IDENTITY}"
    );
    let more = "(global $calls (mut i32) (i32.const 0))";
    Guest { more, ..Guest::predicting(body.leak()) }.component()
}

fn line() -> Line {
    let mut line = Line::start(1);
    line.config.schema = SchemaConfig {
        formula: "y ~ x".into(),
        factor: String::new(),
        key: vec!["id".into()],
        range: BTreeMap::new(),
        ..SchemaConfig::fish()
    };
    line.config.limits.predict_deadline = DEADLINE;
    line
}

/// Measures something every 5 ms until it is told to end. Returns how often.
async fn measure(line: &Line, triggering: &AtomicBool, done: &AtomicBool) -> usize {
    let mut pace = tokio::time::interval(PACE);
    for number in 0_usize.. {
        if done.load(Ordering::Relaxed) {
            return number;
        }
        pace.tick().await;
        let x = if triggering.load(Ordering::Relaxed) { TRIGGERING } else { ORDINARY };
        let id = EventId::of_position("hostile", 0, i64::try_from(number).expect("few"));
        let payload = format!(r#"{{"id":"{number}","x":{x}}}"#).into_bytes();
        let key = number.to_string().into_bytes();
        let event = Event { key, id: Some(id.to_string()), payload };
        line.write(&line.config.topics.measurement, &[event]).await;
    }
    unreachable!("numbers do not end")
}

impl Line {
    /// Publishes a component as a version that is signed, and waits until the host has judged it.
    async fn judged(&self, version: u64, bytes: &[u8], like: &Manifest) {
        let golden = Golden { features: vec![ORDINARY], code: None, expected: ORDINARY };
        let digest = Digest::of(bytes);
        let version = ModelVersion(version);
        let manifest = Manifest { version, digest, golden: vec![golden], ..like.clone() };
        self.component(digest, bytes).await;
        self.offer(version.0, Envelope::seal(&manifest, Some(&signing_key())).to_bytes()).await;
        self.until("the judgement", |progress| {
            let written = progress.count(&self.config.topics.models);
            let read = progress.positions("weir-models");
            read.iter().map(|at| at.next.unsigned_abs()).sum::<u64>() >= written
        })
        .await;
    }

    /// Waits until so many more are predicted.
    async fn predicted(&self, more: u64) {
        let topic = &self.config.topics.prediction;
        let wanted = self.progress.count(topic) + more;
        self.until("predictions", |progress| progress.count(topic) >= wanted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_but_hostile_versions_do_not_stop_predictions() {
    let line = line();
    let rows: Vec<_> = (1..=20)
        .map(|number| {
            let x = f64::from(number);
            Row { id: number.to_string(), features: vec![x], level: None, target: 2.0 * x }
        })
        .collect();
    let (_, first) = line.publish(&rows).await;
    let host = line.host();
    line.ready().await;
    let (triggering, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let cases = found_out();
    let (refused, moody_version, astray_version) =
        (cases.len(), cases.len() as u64 + 2, cases.len() as u64 + 3);
    let offers = async {
        line.predicted(200).await;
        let steady = line.progress.count(&line.config.topics.prediction);
        for (version, (what, bytes)) in (2..).zip(&cases) {
            line.judged(version, bytes, &first).await;
            line.predicted(10).await;
            let slot = host.counters.slot().expect("it predicts").version();
            assert_eq!(slot.map(|serves| serves.version.0), Some(1), "{what}");
        }
        line.judged(moody_version, &moody(), &first).await;
        line.predicted(100).await;
        line.judged(astray_version, &astray(), &first).await;
        line.predicted(40).await;
        triggering.store(true, Ordering::Relaxed);
        line.predicted(100).await;
        done.store(true, Ordering::Relaxed);
        usize::try_from(steady).expect("few")
    };
    let load = measure(&line, &triggering, &done);
    let (count, steady) = soon("hostile versions", async { tokio::join!(load, offers) }).await;
    line.settled().await;

    let predictions = line.predictions().await;
    assert_eq!(predictions.len(), count, "none is missing, none is twice");
    let mut by_version = BTreeMap::<u64, usize>::new();
    for prediction in &predictions {
        let version = prediction.model.version.0;
        *by_version.entry(version).or_default() += 1;
        let x = prediction.measurement.features[0];
        let expected = if version == 1 { 2.0 * x } else { x };
        let value = prediction.outcome.value().expect("a number");
        assert!((value - expected).abs() < 1e-9, "{prediction:?}");
        assert!(version != astray_version || x < TRIGGERING, "{prediction:?}");
    }
    let served: Vec<_> = by_version.keys().copied().collect();
    assert_eq!(served, [1, moody_version, astray_version], "{by_version:?}");
    let gaps = gaps(&line).await;
    let worst = |gaps: &[i64]| gaps.iter().copied().max().unwrap_or(0);
    println!(
        r#"{{"row":"M-2","offered":{},"refused_before_serving":{refused},"events":{count},"missing":0,"gap_ms_steady":{},"gap_ms_hostile":{},"deadline_ms":{}}}"#,
        refused + 2,
        worst(&gaps[..steady]),
        worst(&gaps[steady..]),
        DEADLINE.as_millis()
    );
    host.stop().await;
}

/// The times between two predictions, in milliseconds.
async fn gaps(line: &Line) -> Vec<i64> {
    let records = line.records(&line.config.topics.prediction).await;
    assert!(records.iter().all(|record| record.header(headers::ID).is_some()));
    let times: Vec<_> = records.iter().map(|record| record.timestamp.as_micros()).collect();
    times.windows(2).map(|two| (two[1] - two[0]) / 1_000).collect()
}
