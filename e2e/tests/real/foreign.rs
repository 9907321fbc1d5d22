//! Other people's tools: what they publish is predicted, and what Weir writes they read.

use std::process::{Command, Stdio};

use serde_json::Value;
use weir_e2e::process::Process;
use weir_e2e::servers::{KAFKA, MQTT, address};

use crate::site::{Site, broker};

fn tool(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(name).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("run {name}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn publish(site: &Site, device: &str, kind: &str, payload: &str) {
    let (host, port) = broker(MQTT);
    let (port, topic) = (port.to_string(), format!("weir/{}/{device}/{kind}", site.name));
    tool(
        "mosquitto_pub",
        &["-h", &host, "-p", &port, "-V", "5", "-q", "1", "-t", &topic, "-m", payload],
    );
}

/// The original pipeline's payloads, published by hand, come out of Kafka joined.
#[test]
fn a_fish_from_mosquitto_pub_is_read_by_kcat() {
    let site = Site::with_topics(1);
    let config = site.host("");
    site.train(&config);
    let bridge = site.start_bridge(&site.bridge());
    let mut host = Process::start("weir-host", &["--config", &config]);
    host.await_line("model serves");
    let measurement = r#"{"Species":"salmon","Fish_Id":17,"Length":81.2,"Height":18.4}"#;
    publish(&site, "gate", "measurement", measurement);
    publish(&site, "scale", "weight", r#"{"Species":"salmon","Fish_Id":17,"Weight":4.21}"#);
    let kafka = address(KAFKA);
    let read = ["-C", "-b", &kafka, "-t", &site.topics.joined, "-o", "beginning", "-c", "1"];
    let row: Value = serde_json::from_str(&tool("kcat", &read)).expect("JSON");
    assert_eq!((&row["Fish_Id"], &row["Species"]), (&"17".into(), &"salmon".into()));
    assert_eq!((&row["ActualWeight"], &row["ModelVersion"]), (&4.21.into(), &1.into()));
    let predicted = row["PredictedWeight"].as_f64().expect("a number");
    let error = row["Error"].as_f64().expect("a number");
    assert!(((predicted - 4.21).abs() / 4.21 - error).abs() < 5e-4, "{row}");
    bridge.terminate();
    host.terminate();
}
