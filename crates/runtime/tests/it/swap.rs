//! Models changed under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use weir_runtime::{Active, Model, Runtime, Slot, Worker};

use crate::data::{Rows, runtime, template};

/// A model that answers `value` for any `x`.
fn constant(runtime: &Runtime, value: u32) -> Model {
    let value = f64::from(value);
    let fitted = Rows::line(value, value).fit(&template(runtime)).unwrap();
    runtime.load(&fitted.bytes).unwrap()
}

fn active(model: &Model, tag: u32) -> Arc<Active<u32>> {
    Arc::new(Active { model: model.clone(), tag })
}

/// Predicts until the slot holds `last`; returns which entries signed the batches.
fn work(slot: &Arc<Slot<u32>>, batches: &AtomicU32, last: u32) -> Vec<u32> {
    let mut worker = Worker::new(Arc::clone(slot));
    let mut signed = Vec::new();
    while signed.last() != Some(&last) {
        let serving = worker.current().expect("the slot was filled before");
        let tag = serving.active().tag;
        let predictions = serving.predict(&[-1.0, 0.0, 0.5, 8.0], &[]).unwrap();
        let expected = f64::from(tag % 4);
        assert!(predictions.values.iter().all(|value| (value - expected).abs() < 1e-9));
        signed.push(tag);
        batches.fetch_add(1, Ordering::Release);
    }
    signed
}

#[test]
fn every_batch_is_answered_by_the_entry_that_signs_it() {
    const SWAPS: u32 = 200;
    let runtime = runtime();
    let models: Vec<Model> = (0..4).map(|value| constant(&runtime, value)).collect();
    let slot = Arc::new(Slot::empty());
    slot.store(active(&models[0], 0));
    let batches = AtomicU32::new(0);
    thread::scope(|scope| {
        let start = || scope.spawn(|| work(&slot, &batches, SWAPS));
        let workers: Vec<_> = (0..3).map(|_| start()).collect();
        for version in 1..=SWAPS {
            // At least one batch between two swaps, unless a worker failed.
            let before = batches.load(Ordering::Acquire);
            while batches.load(Ordering::Acquire) == before
                && !workers.iter().any(|worker| worker.is_finished())
            {
                thread::yield_now();
            }
            slot.store(active(&models[version as usize % 4], version));
        }
        for worker in workers {
            let signed = worker.join().unwrap();
            assert!(signed.is_sorted(), "a worker went back to an older entry");
        }
    });
    assert!(batches.into_inner() >= SWAPS);
}

#[test]
fn a_slot_remembers_the_one_before() {
    let runtime = runtime();
    let (one, two) = (constant(&runtime, 1), constant(&runtime, 2));
    let slot = Arc::new(Slot::empty());
    let mut worker = Worker::new(Arc::clone(&slot));
    assert!(worker.current().is_none());
    let (first, second) = (active(&one, 1), active(&two, 2));
    assert!(slot.store(Arc::clone(&first)).is_none());
    assert!(!slot.replace(&first), "there was nothing before the first");
    assert_eq!(slot.store(Arc::clone(&second)).unwrap().tag, 1);
    assert_eq!(worker.current().unwrap().active().tag, 2);
    assert!(slot.replace(&first), "another one serves, and stays");
    assert_eq!(worker.current().unwrap().active().tag, 2);
    assert!(slot.replace(&second));
    assert_eq!(worker.current().unwrap().active().tag, 1);
    assert!(!slot.replace(&first), "it was restored already");
    assert_eq!(slot.load().unwrap().tag, 1);
    slot.clear();
    assert!(worker.current().is_none());
}
