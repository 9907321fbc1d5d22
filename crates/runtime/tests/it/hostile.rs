//! Guests that misbehave when called: each ends in a typed error, and the host serves on.

use std::time::{Duration, Instant};

use weir_runtime::{
    CallError, Fault, FitError, FitOptions, GoldenVector, Limits, LoadError, Resource, Runtime,
    Schema, SelfTestError, Template,
};

use crate::data::runtime;
use crate::guest::{Guest, IDENTITY, MEMORY_BOMB, SPIN, UNREACHABLE};
use crate::refused::serves_on;

/// Calls itself without end, on the native stack.
const RECURSION: &str = "(drop (call $deeper (i32.const 0))) (i32.const 256)";
const DEEPER: &str = "(func $deeper (param i32) (result i32)
    (i32.add (i32.const 1) (call $deeper (i32.add (local.get 0) (i32.const 1)))))";

fn predict(runtime: &Runtime, guest: &Guest) -> CallError {
    let model = runtime.load(&guest.component()).unwrap();
    let mut predictor = model.predictor();
    let error = predictor.predict(&[1.0, 2.0], &[]).unwrap_err();
    // Not only the host: this predictor too has a fresh instance for the next batch.
    assert_eq!(predictor.predict(&[1.0, 2.0], &[]).unwrap_err(), error);
    assert!(error.blames_model());
    serves_on(runtime);
    error
}

fn fit(runtime: &Runtime, guest: &Guest) -> FitError {
    let template = Template::new(runtime, &guest.component()).unwrap();
    let schema =
        Schema { target: "y".into(), features: vec!["x".into()], factor: None, intercept: true };
    let (x, y) = ([1.0, 2.0, 3.0], [2.0, 4.0, 7.0]);
    let error = template.fit(&schema, FitOptions::default(), &[], &x, &[], &y).unwrap_err();
    serves_on(runtime);
    error
}

#[test]
fn an_endless_loop_ends_at_the_deadline() {
    let limits = Limits {
        predict_deadline: Duration::from_millis(40),
        fit_deadline: Duration::from_millis(50),
        describe_deadline: Duration::from_millis(60),
        ..Limits::default()
    };
    let runtime = Runtime::new(limits).unwrap();
    let start = Instant::now();
    let error = predict(&runtime, &Guest::predicting(SPIN));
    assert_eq!(error, CallError::Fault(Fault::Deadline(Duration::from_millis(40))));
    assert!(start.elapsed() >= Duration::from_millis(80), "two calls ended early");
    let error = fit(&runtime, &Guest::template(SPIN));
    assert_eq!(error, FitError::Fault(Fault::Deadline(Duration::from_millis(50))));
    let error = runtime.load(&Guest::describing(SPIN).component()).unwrap_err();
    assert_eq!(error, LoadError::Describe(Fault::Deadline(Duration::from_millis(60))));
    let start =
        Guest { more: "(func $spin (loop $again (br $again))) (start $spin)", ..Guest::good() };
    let error = runtime.load(&start.component()).unwrap_err();
    assert_eq!(error, LoadError::Instantiate(Fault::Deadline(Duration::from_millis(60))));
    serves_on(&runtime);
}

#[test]
fn a_memory_bomb_is_defused() {
    let runtime = runtime();
    let max = runtime.limits().memory_bytes_max;
    let out = |max| Fault::OutOfMemory(Resource::MemoryBytes(max));
    let error = predict(&runtime, &Guest::predicting(MEMORY_BOMB));
    assert_eq!(error, CallError::Fault(out(max)));
    // A fit has two pages more, for the snapshot.
    let error = fit(&runtime, &Guest::template(MEMORY_BOMB));
    assert_eq!(error, FitError::Fault(out(max + 131_072)));
    let huge = Guest { pages: max / 65_536 + 1, ..Guest::good() };
    let error = runtime.load(&huge.component()).unwrap_err();
    assert_eq!(error, LoadError::Instantiate(out(max)));
    let table = Guest { more: "(table 1000000 funcref)", ..Guest::good() };
    let error = runtime.load(&table.component()).unwrap_err();
    let out = Fault::OutOfMemory(Resource::TableElements(runtime.limits().table_elements_max));
    assert_eq!(error, LoadError::Instantiate(out));
    serves_on(&runtime);
}

#[test]
fn many_memories_count_together() {
    let limits = Limits { memories_max: 2, memory_bytes_max: 4 * 65_536, ..Limits::default() };
    let runtime = Runtime::new(limits).unwrap();
    let guest = Guest { more: "(memory 3)", ..Guest::good() };
    let error = runtime.load(&guest.component()).unwrap_err();
    let out = Fault::OutOfMemory(Resource::MemoryBytes(4 * 65_536));
    assert_eq!(error, LoadError::Instantiate(out));
    let guest = Guest { more: "(memory 1) (memory 1)", ..Guest::good() };
    let error = runtime.load(&guest.component()).unwrap_err();
    assert!(matches!(error, LoadError::Instantiate(Fault::Trap(_))), "{error:?}");
    serves_on(&runtime);
}

#[test]
fn an_answer_larger_than_memory_is_not_copied() {
    // A list of a hundred thousand strings, all of them the same megabyte.
    const MANY: &str = "(local $at i32)
        (drop (memory.grow (i32.const 64)))
        (local.set $at (i32.const 131072))
        (loop $next
            (i32.store (local.get $at) (i32.const 131072))
            (i32.store offset=4 (local.get $at) (i32.const 1048576))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const 931072))))
        (i32.store (i32.const 1060) (i32.const 131072))
        (i32.store (i32.const 1064) (i32.const 100000))
        (i32.const 1024)";
    let runtime = runtime();
    let error = runtime.load(&Guest::describing(MANY).component()).unwrap_err();
    assert!(matches!(error, LoadError::Describe(Fault::Trap(_))), "{error:?}");
    serves_on(&runtime);
}

#[test]
fn a_trap_is_named() {
    let runtime = runtime();
    let error = predict(&runtime, &Guest::predicting(UNREACHABLE));
    let CallError::Fault(Fault::Trap(reason)) = error else { panic!("{error:?}") };
    assert!(reason.contains("unreachable"), "{reason}");
    let error = fit(&runtime, &Guest::template(UNREACHABLE));
    assert!(matches!(error, FitError::Fault(Fault::Trap(_))), "{error:?}");
    let error = runtime.load(&Guest::describing(UNREACHABLE).component()).unwrap_err();
    assert!(matches!(error, LoadError::Describe(Fault::Trap(_))), "{error:?}");
    let recursion = Guest { more: DEEPER, ..Guest::predicting(RECURSION) };
    let error = predict(&runtime, &recursion);
    let CallError::Fault(Fault::Trap(reason)) = error else { panic!("{error:?}") };
    assert!(reason.contains("stack"), "{reason}");
}

#[test]
fn a_guest_that_traps_now_and_then_serves_in_between() {
    const ON_NEGATIVE: &str = "
        (if (f64.lt (f64.load (local.get $features)) (f64.const 0)) (then unreachable))
        (i32.store (i32.const 260) (local.get $features)) (i32.store (i32.const 264) (local.get $n))
        (i32.const 256)";
    let runtime = runtime();
    let model = runtime.load(&Guest::predicting(ON_NEGATIVE).component()).unwrap();
    let mut predictor = model.predictor();
    for x in [1.0, -1.0, 2.0, -2.0, -3.0, 3.0] {
        match predictor.predict(&[x], &[]) {
            Ok(predictions) => assert_eq!((predictions.values, x > 0.0), (vec![x], true)),
            Err(error) => {
                assert!(matches!(error, CallError::Fault(Fault::Trap(_))), "{error:?}");
                assert!(x < 0.0);
            }
        }
    }
}

#[test]
fn an_answer_of_the_wrong_shape_is_not_believed() {
    const TOO_MANY: &str = "(i32.store (i32.const 260) (local.get $features))
        (i32.store (i32.const 264) (i32.const 3)) (i32.const 256)";
    const UNSEEN_ROW_7: &str = "(i32.store (i32.const 300) (i32.const 7))
        (i32.store (i32.const 260) (local.get $features)) (i32.store (i32.const 264) (local.get $n))
        (i32.store (i32.const 268) (i32.const 300)) (i32.store (i32.const 272) (i32.const 1))
        (i32.const 256)";
    const REFUSES: &str = "(i32.store8 (i32.const 256) (i32.const 1))
        (i32.store8 (i32.const 260) (i32.const 1)) (i32.const 256)";
    const OUTSIDE: &str = "(i32.store (i32.const 260) (i32.const -16))
        (i32.store (i32.const 264) (i32.const 2)) (i32.const 256)";
    let runtime = runtime();
    let error = predict(&runtime, &Guest::predicting(TOO_MANY));
    assert_eq!(error, CallError::WrongLength { rows: 2, values: 3 });
    let error = predict(&runtime, &Guest::predicting(UNSEEN_ROW_7));
    assert_eq!(error, CallError::BadUnseenRow(7));
    assert_eq!(predict(&runtime, &Guest::predicting(REFUSES)), CallError::Refused);
    let error = predict(&runtime, &Guest::predicting(OUTSIDE));
    assert!(matches!(error, CallError::Fault(Fault::Trap(_))), "{error:?}");
}

#[test]
fn what_is_no_number_is_listed() {
    let model = runtime().load(&Guest::good().component()).unwrap();
    let rows = [1.0, f64::NAN, f64::INFINITY, -1.0];
    let predictions = model.predictor().predict(&rows, &[]).unwrap();
    assert_eq!(predictions.not_finite, [1, 2]);
    assert_eq!((predictions.values[0], predictions.values[3]), (1.0, -1.0));
}

#[test]
fn a_caller_who_asks_wrongly_does_not_blame_the_model() {
    let limits = Limits { batch_rows_max: 2, ..Limits::default() };
    let runtime = Runtime::new(limits).unwrap();
    let mut predictor = runtime.load(&Guest::good().component()).unwrap().predictor();
    let error = predictor.predict(&[1.0, 2.0, 3.0], &[]).unwrap_err();
    assert_eq!(error, CallError::TooManyRows { rows: 3, max: 2 });
    assert!(!error.blames_model());
    let error = predictor.predict(&[1.0], &[0]).unwrap_err();
    assert_eq!(error, CallError::Shape { columns: 1, features: 1, codes: 1 });
    let template = runtime.load(&Guest::template(UNREACHABLE).component()).unwrap();
    assert_eq!(template.predictor().predict(&[], &[]).unwrap_err(), CallError::Untrained);
}

#[test]
fn a_self_test_compares_every_bit() {
    let runtime = runtime();
    let model = runtime.load(&Guest::predicting(IDENTITY).component()).unwrap();
    let x = [0.1_f64, 2.0, -0.0];
    let golden = |values: &[f64], unseen_level: &[u32]| GoldenVector {
        features: x.into(),
        codes: vec![],
        values: values.into(),
        unseen_level: unseen_level.into(),
    };
    assert_eq!(model.self_test(&[golden(&x, &[])]), Ok(()));
    let zero = model.self_test(&[golden(&x, &[]), golden(&[0.1, 2.0, 0.0], &[])]);
    let expected = SelfTestError::Value { vector: 1, row: 2, got: -0.0, expected: 0.0 };
    assert_eq!(zero, Err(expected));
    let ulp = model.self_test(&[golden(&[0.1_f64.next_up(), 2.0, -0.0], &[])]);
    assert!(matches!(ulp, Err(SelfTestError::Value { vector: 0, row: 0, .. })), "{ulp:?}");
    let rows = Err(SelfTestError::Rows { vector: 0 });
    assert_eq!(model.self_test(&[golden(&x[..2], &[])]), rows);
    assert_eq!(model.self_test(&[golden(&x, &[1])]), rows);
    let trapping = runtime.load(&Guest::predicting(UNREACHABLE).component()).unwrap();
    let error = trapping.self_test(&[golden(&x, &[])]).unwrap_err();
    assert!(matches!(error, SelfTestError::Call { vector: 0, .. }), "{error:?}");
}
