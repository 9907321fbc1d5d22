//! C-1: a host dies at each point of its work at which something could be lost, the first, the second and a later time, and
//! is started again.

use std::time::Duration;

use weir_e2e::hosts::{Group, Line, instance};
use weir_e2e::servers::{KAFKA_CLUSTER, address};

use crate::store::{Database, stored};
use crate::{fish, is_long};

/// Points that every record or batch comes to.
const POINTS: [&str; 9] = [
    "predict-written",
    "predict-delivered",
    "predict-done",
    "join-written",
    "join-delivered",
    "join-done",
    "drift-written",
    "drift-delivered",
    "drift-done",
];
/// Points of storing.
const STORING: [&str; 3] = ["sink-read", "sink-stored", "sink-done"];
/// Points of the way of a model version.
const TRAINING: [&str; 6] = [
    "train-fitted",
    "train-component-written",
    "train-manifest-written",
    "train-published",
    "model-checked",
    "model-serves",
];

/// The times at which a process dies at a point: all of them in the long version.
fn hits() -> &'static [u32] {
    if is_long() { &[1, 2, 50] } else { &[2] }
}

#[test]
fn predicting_joining_and_watching() {
    let _machine = crate::shared();
    let line = Line::new(&address(KAFKA_CLUSTER), 3, fish(6_000), 0);
    line.feed(f64::INFINITY).join().expect("fed");
    for point in POINTS {
        for hit in hits() {
            let label = format!("{point}-{hit}");
            let group = Group::new(&line, &label, "roles = [\"predict\", \"join\", \"drift\"]");
            dies(&group, point, *hit);
            let took = group.finish(vec![group.host(&instance(0), &[])]);
            group.check(&format!("C-1 {point}:{hit}"), 0, took);
        }
    }
}

/// C-5: documents are distinct rows, whenever the process dies between storing and committing.
#[test]
fn storing() {
    let _machine = crate::shared();
    let line = Line::new(&address(KAFKA_CLUSTER), 3, fish(6_000), 0);
    line.feed(f64::INFINITY).join().expect("fed");
    for point in STORING {
        for hit in hits() {
            let database = Database::new();
            let more = format!(
                "roles = [\"predict\", \"join\", \"drift\", \"sink\"]\n{}",
                database.section()
            );
            let group = Group::new(&line, &format!("{point}-{hit}"), &more);
            dies(&group, point, *hit);
            let host = group.host(&instance(0), &[]);
            group.await_committed("sink");
            let took = group.finish(vec![host]);
            let outcome = group.check(&format!("C-1, C-5 {point}:{hit}"), 0, took);
            stored(&database, &outcome);
        }
    }
}

/// M-6: every trigger has exactly one version, whenever the trainer dies.
#[test]
fn training_and_loading() {
    let _machine = crate::shared();
    for point in TRAINING {
        let line = Line::new(&address(KAFKA_CLUSTER), 1, 2_000, 0);
        line.feed(f64::INFINITY).join().expect("fed");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.redb");
        // Every window asks for a version.
        let more = format!("[store]\npath = {path:?}\n[window]\nthreshold = 0.000001\n");
        let group = Group::new(&line, point, &more);
        dies(&group, point, 1);
        let host = group.host(&instance(0), &[]);
        group.await_committed("train");
        host.terminate();
        group.check_versions(&format!("C-1, M-6 {point}"), 0);
    }
}

fn dies(group: &Group<'_>, point: &str, hit: u32) {
    let mut host = group.host(&instance(0), &[("WEIR_CRASH", format!("{point}:{hit}"))]);
    let died = host.died_within(Duration::from_secs(40));
    assert!(died || hit > 2, "{point} was not reached {hit} times:\n{}", host.log());
    host.kill();
}
