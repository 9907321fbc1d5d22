//! Models are swapped under load while a host is killed: by the program's own account no event is missing, and none is joined
//! with two.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use weir_e2e::hosts::{Group, Line, instance};
use weir_e2e::process::{PATIENCE, Process, complete, run};
use weir_e2e::servers::{KAFKA_CLUSTER, address};

use crate::fish;

const ROLES: &str = "roles = [\"predict\", \"join\"]";
/// Events in a second: the line takes about ten seconds.
const RATE: f64 = 1_000.0;
/// Versions that are published while the line runs.
const VERSIONS: u64 = 4;

/// A training set of its own for each version, so that each has a digest of its own.
fn training_set(version: u64) -> String {
    let mut csv = "Length,Height,Species,Weight\n".to_owned();
    for row in 0..40_u64 {
        let (length, height) = (60 + row, 12 + row * row % 11);
        let (species, base) = if row % 2 == 0 { ("salmon", 0) } else { ("walleye", 900) };
        let weight = base + (55 + version) * length + 110 * height;
        writeln!(csv, "{length},{height},{species},{weight}").expect("a text takes everything");
    }
    csv
}

/// Arguments of an audit of this group.
fn arguments<'a>(group: &'a Group<'_>, more: &[&'a str]) -> Vec<&'a str> {
    [&["model", "audit"], more, &group.arguments()[..]].concat()
}

/// An audit for programs.
fn audited(group: &Group<'_>, wait: &str, code: i32) -> Value {
    let (found, printed, log) = run("weir", &arguments(group, &["--json", "--wait", wait]));
    assert_eq!(found, Some(code), "{log}\n{printed}");
    serde_json::from_str(&printed).expect("one JSON object")
}

/// Runs the line while versions are published; the first of two hosts dies, and comes back under the next version.
fn swap_under_load(line: &Line, group: &Group<'_>) -> Vec<Process> {
    // It dies when predictions are delivered and not yet committed: they are made again by the version that serves then.
    let dies = [("WEIR_CRASH", "predict-delivered:20".to_owned())];
    let mut hosts = vec![group.host(&instance(0), &dies), group.host(&instance(1), &[])];
    hosts.iter_mut().for_each(|host| host.await_line("model serves"));
    let folder = tempfile::tempdir().expect("a folder");
    let fed = line.feed(RATE);
    for version in 1..=VERSIONS {
        let is_after_death = version == VERSIONS / 2;
        if is_after_death {
            assert!(hosts[0].died_within(Duration::from_secs(30)), "{}", hosts[0].log());
        }
        let csv = folder.path().join(format!("{version}.csv"));
        std::fs::write(&csv, training_set(version)).expect("written");
        let csv = csv.to_str().expect("UTF-8");
        complete("weir", &[&["model", "train", "--csv", csv], &group.arguments()[..]].concat());
        if is_after_death {
            hosts[0] = group.host(&instance(0), &[]);
            hosts[0].await_line("model serves");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    fed.join().expect("fed");
    group.rows().await_count(line.joinable());
    hosts
}

#[test]
fn swaps_lose_nothing() {
    let _machine = crate::shared();
    let line = Line::new(&address(KAFKA_CLUSTER), 4, fish(5_000), 0);
    let group = Group::new(&line, "audit", ROLES);
    let hosts = swap_under_load(&line, &group);
    let report = audited(&group, "30s", 0);
    let events = (line.size() + line.tail()) as u64;
    assert_eq!((&report["ok"], &report["missing"]["count"]), (&true.into(), &0.into()));
    assert_eq!((&report["events"], &report["predicted"]), (&events.into(), &events.into()));
    let superseded = report["superseded"]["count"].as_u64().expect("a count");
    assert_eq!(report["predictions"], events + superseded);
    let later = &report["superseded"]["first"][0];
    assert_ne!(later["version"], later["first"]["version"], "made again by the next version");
    assert_eq!(report["contradictions"]["count"], 0);
    let served = report["served"].as_array().expect("ranges");
    let records: u64 = served.iter().filter_map(|range| range["records"].as_u64()).sum();
    assert_eq!(report["predictions"], records, "ranges are of all predictions");
    let versions = report["versions"].as_array().expect("versions");
    assert!(versions.len() > 2, "only {} versions have served", versions.len());
    hosts.into_iter().for_each(Process::terminate);
    told(&line, &group, events, superseded);
}

/// What an audit says while predictions are missing, and when they come.
fn told(line: &Line, group: &Group<'_>, events: u64, superseded: u64) {
    // With the results as they are, but more measured than was predicted, the audit says so.
    line.feed(f64::INFINITY).join().expect("fed");
    let report = audited(group, "0s", 1);
    assert_eq!((&report["ok"], &report["missing"]["count"]), (&false.into(), &events.into()));
    // People see the same.
    let (code, printed, _) = run("weir", &arguments(group, &["--wait", "0s"]));
    assert_eq!(code, Some(1));
    let listed = " missing, without prediction, the first 20 shown\n";
    assert!(printed.contains(listed), "{printed}");

    // These are left out if only what is measured from now on counts; predictions are read whole all the same.
    let (code, printed, log) = run("weir", &arguments(group, &["--json", "--since", "0s"]));
    assert_eq!(code, Some(0), "{log}\n{printed}");
    let report: Value = serde_json::from_str(&printed).expect("one JSON object");
    assert_eq!(
        (&report["events"], &report["predictions"]),
        (&0.into(), &(events + superseded).into())
    );

    // A host comes while the audit waits for it.
    let mut audit = Process::start("weir", &arguments(group, &["--json", "--wait", "50s"]));
    audit.await_line("no prediction yet");
    let late = group.host("", &[]);
    let (status, printed) = audit.ended(PATIENCE);
    assert_eq!(status.code(), Some(0), "{}\n{printed}", audit.log());
    let report: Value = serde_json::from_str(&printed).expect("one JSON object");
    assert_eq!(report["predicted"], 2 * events);
    assert_eq!(report["predictions"], 2 * events + superseded);
    late.terminate();
}

#[test]
fn wrong_arguments_and_settings_have_codes_of_their_own() {
    assert_eq!(run("weir", &["model", "audit", "--wait", "soon"]).0, Some(2));
    assert_eq!(run("weir", &["model", "audit", "--config", "no-such-file.toml"]).0, Some(78));
}
