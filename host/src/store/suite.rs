//! What every [`TrainingStore`] must do, whatever it is made of.
//!
//! An implementation runs [`check`] with a way to open an empty store, and adds tests of its own for what
//! is its own: files, limits, connections.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use weir_events::{
    Digest, EventId, EventTime, Joined, Key, Measurement, Missing, ModelRef, ModelVersion, Outcome,
    Prediction, RowPosition, Schema, SchemaConfig,
};

use super::{RowOrder, TrainingRow, TrainingStore};

/// Opens a store that is empty and shares nothing with any other.
pub(crate) trait OpenEmpty: AsyncFn() -> Arc<dyn TrainingStore> {}
impl<F: AsyncFn() -> Arc<dyn TrainingStore>> OpenEmpty for F {}

/// The schema of the rows here.
pub(crate) fn schema() -> Arc<Schema> {
    Arc::new(Schema::try_from(&SchemaConfig::fish()).expect("valid"))
}

/// A row with this id at this time and place.
pub(crate) fn row(id: u32, micros: i64, partition: i32, offset: i64) -> TrainingRow {
    let time = EventTime::from_micros(micros);
    let measurement = Measurement {
        id: EventId::from_bytes(id_bytes(id)),
        key: Key::new(&format!("fish {id}")).expect("not empty"),
        time: time.minus(std::time::Duration::from_secs(1)),
        features: vec![0.1 + f64::from(id), 1e-300],
        level: Some("salmon".into()),
    };
    let model = ModelRef {
        version: ModelVersion(u64::from(id) + 1),
        digest: Digest::of(&id.to_be_bytes()),
        time: EventTime::EPOCH,
    };
    let prediction =
        Prediction { measurement, outcome: Outcome::Value(1.0 / 3.0), model, shadow: None };
    let joined = Joined { prediction, actual: 4.7, time, error: Some(0.929) };
    TrainingRow { joined, position: RowPosition { partition, offset } }
}

fn id_bytes(id: u32) -> [u8; 16] {
    (u128::from(id) << 96 | u128::from(id)).to_be_bytes()
}

/// An order that is above that of every row here.
fn end() -> RowOrder {
    let position = RowPosition { partition: i32::MAX, offset: i64::MAX };
    RowOrder { time: EventTime::MAX, position }
}

/// Runs the whole suite.
pub(crate) async fn check(open: impl OpenEmpty) {
    an_empty_store_has_nothing(&*open().await).await;
    rows_come_back_as_they_were(&*open().await).await;
    rows_without_a_prediction_and_any_text_come_back(&*open().await).await;
    repeated_rows_have_no_effect(&*open().await).await;
    rows_are_in_order(&*open().await).await;
    the_newest_end_with_the_last(&*open().await).await;
    rows_of_one_time_are_ordered_by_place(&*open().await).await;
    thousands_of_rows_are_one_insertion(&*open().await).await;
    concurrent_insertions_store_each_row_once(&open().await).await;
    random_insertions_agree_with_a_sorted_list(open).await;
}

async fn newest(store: &dyn TrainingStore, n: usize, last: RowOrder) -> Vec<TrainingRow> {
    store.newest(n, last).await.expect("read")
}

async fn an_empty_store_has_nothing(store: &dyn TrainingStore) {
    assert_eq!(store.count().await.expect("counted"), 0);
    assert!(newest(store, 5, end()).await.is_empty());
    assert!(!store.contains(row(1, 0, 0, 0).id()).await.expect("looked up"));
    assert_eq!(store.insert(Vec::new()).await.expect("inserted"), 0);
}

/// To the last bit and the last microsecond.
async fn rows_come_back_as_they_were(store: &dyn TrainingStore) {
    let mut rows = vec![
        row(1, EventTime::MIN.as_micros(), 0, 0),
        row(2, -1, 0, 1),
        row(3, 1_767_600_000_000_001, 3, 7),
        row(4, 1_767_600_000_000_002, i32::MAX, i64::MAX),
        row(5, EventTime::MAX.as_micros(), 0, 2),
    ];
    let numbers = [0.1 + 0.2, 0.0, f64::MAX, f64::MIN_POSITIVE, 5e-324];
    for (row, number) in rows.iter_mut().zip(numbers) {
        row.joined.prediction.measurement.features[1] = number;
        row.joined.prediction.outcome = Outcome::Value(-number);
    }
    rows[3].joined.actual = f64::MAX;
    rows[3].joined.error = Some(f64::MAX);
    rows[4].joined.prediction.model.version = ModelVersion(i64::MAX.cast_unsigned());
    rows[4].joined.prediction.model.time = EventTime::from_micros(1_767_600_000_999_999);
    assert_eq!(store.insert(rows.clone()).await.expect("inserted"), 5);
    assert_eq!(newest(store, usize::MAX, end()).await, rows);
}

async fn rows_without_a_prediction_and_any_text_come_back(store: &dyn TrainingStore) {
    let texts = ["Ålesund \"大\" <b>", "$where.\u{1f41f}", "\u{202e}e\u{301} {%}"];
    let mut rows: Vec<_> = (0..3).map(|n| row(n, n.into(), 0, n.into())).collect();
    for ((row, missing), text) in rows.iter_mut().zip(Missing::ALL).zip(texts) {
        row.joined.prediction.outcome = Outcome::Missing(missing);
        row.joined.error = None;
        row.joined.prediction.measurement.level = Some(text.into());
        row.joined.prediction.measurement.key = Key::new(text).expect("not empty");
    }
    assert_eq!(store.insert(rows.clone()).await.expect("inserted"), 3);
    assert_eq!(newest(store, 3, end()).await, rows);
}

/// In one insertion, in a later one, and at another place: the first counts.
async fn repeated_rows_have_no_effect(store: &dyn TrainingStore) {
    let first = row(1, 10, 0, 5);
    let again = row(1, 10, 0, 9);
    let both = vec![first.clone(), again.clone()];
    assert_eq!(store.insert(both).await.expect("inserted"), 1);
    assert_eq!(store.insert(vec![again, row(2, 20, 0, 6)]).await.expect("inserted"), 1);
    assert_eq!(store.count().await.expect("counted"), 2);
    assert_eq!(newest(store, 9, end()).await, [first.clone(), row(2, 20, 0, 6)]);
    for (id, stored) in [(1, true), (2, true), (3, false)] {
        assert_eq!(store.contains(row(id, 0, 0, 0).id()).await.expect("looked up"), stored);
    }
    assert_eq!(store.insert(vec![first]).await.expect("inserted"), 0);
}

/// By time, also before the epoch, then by partition, then by offset; not by arrival.
async fn rows_are_in_order(store: &dyn TrainingStore) {
    let sorted = [
        row(1, -20, 1, 0),
        row(2, -1, 0, 3),
        row(3, 0, 0, 9),
        row(4, 0, 0, 10),
        row(5, 0, 1, 0),
        row(6, 7, 0, 1),
    ];
    for shuffled in [4, 0, 5, 2, 1, 3] {
        store.insert(vec![sorted[shuffled].clone()]).await.expect("inserted");
    }
    assert_eq!(newest(store, 6, end()).await, sorted);
    assert_eq!(newest(store, 2, end()).await, sorted[4..]);
}

/// The last row is included; one that is not stored is a place all the same.
async fn the_newest_end_with_the_last(store: &dyn TrainingStore) {
    let rows: Vec<_> = (0..10).map(|n| row(n, 10 * i64::from(n), 0, n.into())).collect();
    store.insert(rows.clone()).await.expect("inserted");
    assert_eq!(newest(store, 3, rows[6].order()).await, rows[4..=6]);
    assert_eq!(newest(store, 3, row(99, 65, 0, 0).order()).await, rows[4..=6]);
    assert_eq!(newest(store, 50, rows[2].order()).await, rows[..=2]);
    assert!(newest(store, 0, end()).await.is_empty());
    assert!(newest(store, 3, row(99, -1, 0, 0).order()).await.is_empty());
}

/// The last row is one of many that have its time.
async fn rows_of_one_time_are_ordered_by_place(store: &dyn TrainingStore) {
    let place = |n: u32| (i32::try_from(n / 5).expect("small"), i64::from(n % 5));
    let rows: Vec<_> = (0..15).map(|n| row(n, 1_000_007, place(n).0, place(n).1)).collect();
    store.insert(rows.iter().rev().cloned().collect()).await.expect("inserted");
    for last in 0..rows.len() {
        let expected = &rows[last.saturating_sub(3)..=last];
        assert_eq!(newest(store, 4, rows[last].order()).await, expected, "up to {last}");
    }
}

/// With every tenth one twice, and once more as a whole: what a restarted sink does.
async fn thousands_of_rows_are_one_insertion(store: &dyn TrainingStore) {
    let rows: Vec<_> = (0..5_000).map(|n| row(n, n.into(), 0, n.into())).collect();
    let again = rows.iter().step_by(10).cloned();
    let batch: Vec<_> = rows.iter().cloned().chain(again).collect();
    assert_eq!(store.insert(batch).await.expect("inserted"), 5_000);
    assert_eq!(store.insert(rows.clone()).await.expect("inserted"), 0);
    assert_eq!(store.count().await.expect("counted"), 5_000);
    assert_eq!(newest(store, 50, rows[4_321].order()).await, rows[4_272..=4_321]);
    assert_eq!(newest(store, 4_000, end()).await, rows[1_000..]);
}

async fn concurrent_insertions_store_each_row_once(store: &Arc<dyn TrainingStore>) {
    let rows: Vec<_> = (0..100).map(|n| row(n, n.into(), 0, n.into())).collect();
    let insertions: Vec<_> = (0..8)
        .map(|number| {
            let (store, rows) = (Arc::clone(store), rows[number * 5..number * 5 + 65].to_vec());
            tokio::spawn(async move { store.insert(rows).await.expect("inserted") })
        })
        .collect();
    let mut new = 0;
    for insertion in insertions {
        new += insertion.await.expect("no panic");
    }
    assert_eq!((new, store.count().await.expect("counted")), (100, 100));
}

/// Whatever is inserted in whatever batches, against a list that is searched and sorted.
async fn random_insertions_agree_with_a_sorted_list(open: impl OpenEmpty) {
    let place = (0u32..40, -3i64..3, 0i32..3);
    let batches = prop::collection::vec(prop::collection::vec(place, 0..8), 1..8);
    let cases = (batches, 0usize..30, -4i64..4);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    for _ in 0..24 {
        let (batches, n, until) = cases.new_tree(&mut runner).expect("generated").current();
        let store = open().await;
        let mut oracle: Vec<TrainingRow> = Vec::new();
        for (offset, batch) in (0..).zip(batches) {
            let batch: Vec<_> = (0..)
                .zip(batch)
                .map(|(step, (id, time, partition))| row(id, time, partition, 8 * offset + step))
                .collect();
            let mut ids: BTreeSet<_> = oracle.iter().map(TrainingRow::id).collect();
            let new: Vec<_> = batch.iter().filter(|row| ids.insert(row.id())).cloned().collect();
            assert_eq!(store.insert(batch).await.expect("inserted"), new.len() as u64);
            oracle.extend(new);
        }
        oracle.sort_by_key(TrainingRow::order);
        assert_eq!(store.count().await.expect("counted"), oracle.len() as u64);
        let last = RowOrder { time: EventTime::from_micros(until), ..end() };
        let upto = oracle.partition_point(|row| row.order() <= last);
        let expected = &oracle[upto.saturating_sub(n)..upto];
        assert_eq!(newest(&*store, n, last).await, expected);
    }
}
