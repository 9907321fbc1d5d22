//! `weir demo` on the real servers comes to the same as on the embedded ones, to the last bit.

use serde_json::Value;
use weir_e2e::process::{complete, run};
use weir_e2e::servers::{KAFKA, MONGODB, address};

use crate::site::{Site, broker};

fn config(site: &Site, run: &str) -> String {
    let (host, port) = broker(weir_e2e::servers::MQTT);
    let (kafka, store) = (address(KAFKA), address(MONGODB));
    let mqtt = format!("host = {host:?}\nport = {port}\n");
    let text = format!(
        "{run}[agent.mqtt]\n{mqtt}[bridge.mqtt]\n{mqtt}[bridge.kafka]\nbrokers = {kafka:?}\n\
         [host.kafka]\nbrokers = {kafka:?}\n[host.store]\nuri = {store:?}\n"
    );
    site.file("servers.toml", &text)
}

/// A run's results without what differs between any two runs.
fn results(printed: &str) -> Value {
    let mut results: Value = serde_json::from_str(printed).expect("one JSON object");
    for version in results["versions"].as_array_mut().expect("versions") {
        version.as_object_mut().expect("a version").remove("retrain_ms");
    }
    results
}

#[test]
fn lockstep_on_real_servers_equals_the_embedded_one() {
    let site = Site::new();
    let config = config(&site, "");
    let arguments = ["demo", "--lockstep", "--json=full"];
    let embedded = results(&complete("weir", &arguments));
    let real = results(&complete("weir", &[&arguments[..], &["--config", &config]].concat()));
    assert_eq!(real["joined"], 180);
    assert!(real["versions"].as_array().expect("versions").len() > 1, "{real}");
    assert_eq!(real, embedded);
}

/// A run with a name keeps its topics, and does not begin where another has been.
#[test]
fn a_named_run_stays_and_is_not_mixed_with_another() {
    let site = Site::new();
    let config = config(&site, &format!("run = {:?}\n", site.name));
    let arguments = ["demo", "--events", "20", "--speed", "max", "--json", "--config", &config];
    let first = results(&complete("weir", &arguments));
    assert_eq!(first["joined"], 20);
    let joined = format!("[topics]\njoined = \"demo-{}-weight-diff\"\n", site.name);
    let topics = site.file("topics.toml", &joined);
    let (kafka, from) = (address(KAFKA), ["--from-beginning", "-n", "20", "--config", &topics]);
    let rows = complete("weir", &[&["tail", "--kafka", &kafka], &from[..]].concat());
    assert!(rows.lines().count() >= 20, "{rows}");
    let (code, _, log) = run("weir", &arguments);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("holds records"), "{log}");
}
