//! A host that is stopped and started: what comes out, taken as a set, is what comes out of one that
//! is not.

use std::collections::BTreeSet;

use weir_events::TopicNames;

use crate::fish::{Fish, PER_WINDOW, fish, training_rows};
use crate::line::{Line, Outcome};

/// 200 fish, 400 events: a second species from fish 30 on, and a scale that is off from fish 120 on.
fn stream() -> Vec<Fish> {
    let species = |number: u32| match number / PER_WINDOW {
        0 | 3 => "salmon",
        _ => "walleye",
    };
    let mut all: Vec<Fish> = (0..200).map(|number| Fish::new(number, species(number))).collect();
    all[120..].iter_mut().for_each(|fish| fish.weight *= 1.5);
    all
}

/// The stream in steps between which everything comes to rest: the fish that closes a window is alone,
/// so that the new version, if there is one, predicts all that follow.
fn steps(stream: &[Fish]) -> Vec<&[Fish]> {
    let windows = stream.chunks(PER_WINDOW as usize);
    windows.flat_map(|window| [&window[..1], &window[1..]]).collect()
}

#[derive(Clone, Copy)]
enum End {
    Orderly,
    Abrupt,
}

/// Sends the stream step by step, and restarts the host before these steps.
async fn lockstep(restarts: &[(usize, End)]) -> Outcome {
    let line = Line::start(1);
    line.publish(&training_rows(&["salmon"])).await;
    let mut host = line.host();
    line.ready().await;
    for (number, step) in steps(&stream()).into_iter().enumerate() {
        match restarts.iter().find(|(at, _)| *at == number) {
            Some((_, End::Orderly)) => {
                host.stop().await;
                host = line.host();
            }
            Some((_, End::Abrupt)) => {
                host.abort(&line).await;
                host = line.host();
            }
            None => {}
        }
        line.pass(step).await;
        line.settled().await;
    }
    host.stop().await;
    line.outcome().await
}

/// To the digest of every version: restarts between two steps leave no trace.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_at_rest_change_no_result() {
    // Before the fish that closes a window, and in the middle of one.
    let restarts = [(3, End::Orderly), (4, End::Abrupt), (7, End::Abrupt), (10, End::Orderly)];
    let (mut whole, mut interrupted) = tokio::join!(lockstep(&[]), lockstep(&restarts));
    // Joined rows that were written again lie further down the topic; nothing else may differ.
    for trigger in whole.triggers.values_mut().chain(interrupted.triggers.values_mut()) {
        trigger.position.offset = 0;
    }
    for version in whole.versions.iter_mut().chain(&mut interrupted.versions) {
        version.rows.selection.iter_mut().for_each(|selection| selection.last.2 = 0);
    }
    assert_eq!((whole.rows.len(), whole.stored, whole.windows.len()), (200, 200, 6));
    assert!(whole.triggers.len() >= 2, "{:?}", whole.triggers.keys());
    assert_eq!(whole.versions.len(), 1 + whole.triggers.len());
    assert!(whole == interrupted, "{whole:#?}\n{interrupted:#?}");
}

/// What must hold however often and wherever a host was interrupted.
fn assert_exactly_once(outcome: &Outcome, stream: &[Fish]) {
    let ids: BTreeSet<_> = outcome.rows.keys().copied().collect();
    assert_eq!(ids, stream.iter().map(Fish::id).collect());
    assert!(outcome.unmatched.is_empty(), "{:?}", outcome.unmatched);
    assert_eq!(outcome.stored, stream.len() as u64);
    let answered: Vec<_> = outcome.versions.iter().filter_map(|v| v.cause.id.clone()).collect();
    let distinct: BTreeSet<_> = answered.iter().cloned().collect();
    assert_eq!(answered.len(), distinct.len(), "a trigger is answered once: {answered:?}");
    assert_eq!(distinct, outcome.triggers.keys().cloned().collect());
    let numbers = outcome.versions.iter().map(|manifest| manifest.version.0);
    assert!(numbers.eq(1..=outcome.versions.len() as u64));
}

/// Sends everything at once and interrupts the host while it is busy; then reads everything again
/// from the beginning, as after a crash that lost every committed offset.
async fn interrupted(partitions: i32) {
    let mut line = Line::start(partitions);
    line.publish(&training_rows(&["salmon"])).await;
    let stream = stream();
    let topics: TopicNames = line.config.topics.clone();
    let mut host = line.host();
    line.ready().await;
    line.pass(&stream[..100]).await;
    line.until("some predictions", |progress| progress.count(&topics.prediction) >= 1).await;
    host.abort(&line).await;
    host = line.host();
    line.until("some rows", |progress| progress.count(&topics.joined) >= 60).await;
    host.abort(&line).await;
    line.pass(&stream[100..]).await;
    host = line.host();
    line.until("more rows", |progress| progress.count(&topics.joined) >= 150).await;
    host.stop().await;
    host = line.host();
    line.settled().await;
    host.stop().await;
    let before = line.outcome().await;
    assert_exactly_once(&before, &stream);

    line.config.kafka.group_prefix = "again".into();
    host = line.host();
    line.ready().await;
    line.settled().await;
    host.stop().await;
    let after = line.outcome().await;
    assert_exactly_once(&after, &stream);
    assert!(before.rows == after.rows && before.versions == after.versions);
    if partitions == 1 {
        assert!(before == after, "{before:#?}\n{after:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interruptions_lose_and_repeat_nothing() {
    interrupted(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interruptions_lose_and_repeat_nothing_across_partitions() {
    interrupted(4).await;
}

/// The training rows outlive the process: a host that starts anew retrains with rows of the one before.
#[tokio::test(flavor = "multi_thread")]
async fn training_rows_outlive_the_host() {
    let line = Line::start(1);
    line.publish(&training_rows(&["salmon"])).await;
    let host = line.host();
    line.ready().await;
    line.pass(&fish(0..30, "salmon")).await;
    line.pass(&fish(30..60, "walleye")).await;
    line.settled().await;
    host.stop().await;
    let host = line.host();
    line.pass(&fish(60..61, "walleye")).await;
    line.settled().await;
    host.stop().await;
    let versions = line.versions().await;
    let rows = &versions.last().expect("a version").rows;
    assert_eq!((rows.first_id.as_str(), rows.last_id.as_str(), rows.n), ("11", "60", 50));
}
