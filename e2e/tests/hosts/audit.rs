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

#[test]
fn swaps_lose_nothing() {
    let _machine = crate::shared();
    let line = Line::new(&address(KAFKA_CLUSTER), 4, fish(5_000), 0);
    let group = Group::new(&line, "audit", ROLES);
    // It dies when predictions are delivered and not yet committed: they are made again by the version that serves then.
    let dies = [("WEIR_CRASH", "predict-delivered:20".to_owned())];
    let mut hosts = vec![group.host(&instance(0), &dies), group.host(&instance(1), &[])];
    hosts.iter_mut().for_each(|host| host.await_line("model serves"));
    let folder = tempfile::tempdir().expect("a folder");
    let fed = line.feed(RATE);
    for version in 1..=VERSIONS {
        if version == VERSIONS / 2 {
            assert!(hosts[0].died_within(Duration::from_secs(30)), "{}", hosts[0].log());
        }
        let csv = folder.path().join(format!("{version}.csv"));
        std::fs::write(&csv, training_set(version)).expect("written");
        let csv = csv.to_str().expect("UTF-8");
        complete("weir", &[&["model", "train", "--csv", csv], &group.arguments()[..]].concat());
        if version == VERSIONS / 2 {
            hosts[0] = group.host(&instance(0), &[]);
            hosts[0].await_line("model serves");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    fed.join().expect("fed");
    group.rows().await_count(line.joinable());
    let arguments =
        [&["model", "audit", "--json", "--wait", "30s"], &group.arguments()[..]].concat();
    let (code, printed, log) = run("weir", &arguments);
    println!("{printed}");
    assert_eq!(code, Some(0), "{log}\n{printed}");
    let report: Value = serde_json::from_str(&printed).expect("one JSON object");
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
    // With the topics as they are, but more measured than was predicted, the audit says so.
    line.feed(f64::INFINITY).join().expect("fed");
    let arguments =
        [&["model", "audit", "--json", "--wait", "0s"], &group.arguments()[..]].concat();
    let (code, printed, log) = run("weir", &arguments);
    assert_eq!(code, Some(1), "{log}\n{printed}");
    let report: Value = serde_json::from_str(&printed).expect("one JSON object");
    assert_eq!((&report["ok"], &report["missing"]["count"]), (&false.into(), &events.into()));
    // People see the same, and a wrong argument and wrong settings have codes of their own.
    let arguments = [&["model", "audit", "--wait", "0s"], &group.arguments()[..]].concat();
    let (code, printed, _) = run("weir", &arguments);
    assert_eq!(code, Some(1));
    assert!(printed.contains(" missing, without prediction, the first 20 shown\n"), "{printed}");
    // A host comes while the audit waits for it.
    let arguments =
        [&["model", "audit", "--json", "--wait", "50s"], &group.arguments()[..]].concat();
    let mut audit = Process::start("weir", &arguments);
    audit.await_line("no prediction yet");
    let late = group.host("", &[]);
    let (status, printed) = audit.ended(PATIENCE);
    assert_eq!(status.code(), Some(0), "{}\n{printed}", audit.log());
    let report: Value = serde_json::from_str(&printed).expect("one JSON object");
    assert_eq!(
        (&report["events"], &report["predicted"]),
        (&(2 * events).into(), &(2 * events).into())
    );
    assert_eq!(report["predictions"], 2 * events + superseded);
    late.terminate();
    assert_eq!(run("weir", &["model", "audit", "--wait", "soon"]).0, Some(2));
    assert_eq!(run("weir", &["model", "audit", "--config", "no-such-file.toml"]).0, Some(78));
}
