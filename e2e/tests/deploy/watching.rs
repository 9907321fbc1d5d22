//! The alert rules and the dashboard: they name only metrics that there are, and say what to do. Whether they are in
//! Prometheus' language its own tool says, in the tests against real servers.

use std::collections::BTreeSet;
use std::fs;

use serde_norway::Value;
use weir_service::health::{Kind, Metric};

use super::compose::repository;

const RULES: &str = "deploy/prometheus/alerts.yml";
const DASHBOARD: &str = "deploy/grafana/weir.json";

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).expect(path)
}

/// The words of a text that look like names of ours.
fn named(text: &str) -> BTreeSet<&str> {
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    text.split(|character| !is_word(character)).filter(|word| word.starts_with("weir_")).collect()
}

/// Every series that some service may have.
fn series() -> BTreeSet<String> {
    let of = |metric: &Metric| match metric.kind() {
        Kind::Histogram => {
            ["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", metric.name())).to_vec()
        }
        Kind::Counter | Kind::Gauge => vec![metric.name().to_owned()],
    };
    Metric::ALL.iter().flat_map(of).collect()
}

#[test]
fn only_metrics_that_there_are_are_named() {
    let series = series();
    for path in [RULES, DASHBOARD, "docs/operations.md"] {
        let text = read(path);
        let unknown: Vec<_> = named(&text).into_iter().filter(|&it| !series.contains(it)).collect();
        assert!(unknown.is_empty(), "{path} names {unknown:?}");
    }
    assert!(named(&read(RULES)).len() > 20);
}

/// Whoever is woken at night reads what is wrong, and what to do.
#[test]
fn every_alert_says_what_to_do() {
    let rules: Value = serde_norway::from_str(&read(RULES)).expect("YAML");
    let groups = rules["groups"].as_sequence().expect("groups");
    let mut names = BTreeSet::new();
    for rule in groups.iter().flat_map(|group| group["rules"].as_sequence().expect("rules")) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&rule["alert"]);
        assert!(name.starts_with("Weir") && names.insert(name.clone()), "{name}");
        assert!(["warning", "critical"].contains(&&*text(&rule["labels"]["severity"])), "{name}");
        let [summary, action] =
            ["summary", "action"].map(|which| text(&rule["annotations"][which]));
        assert!(!summary.is_empty() && action.len() > 40, "{name}: {action:?}");
        // A rule about labels that its expression does not have would show gaps.
        let (expr, labels) = (text(&rule["expr"]), "{{ $labels.");
        for used in summary.split(labels).skip(1) {
            let label = used.split([' ', '}']).next().expect("a label");
            let mut metrics = Metric::ALL.iter().filter(|it| named(&expr).contains(it.name()));
            let own = metrics.any(|metric| metric.labels().contains(&label));
            let of_scrapes = ["instance", "job"].contains(&label) && !expr.contains(" by (");
            assert!(own || of_scrapes, "{name}: no label {label}");
        }
    }
}

#[test]
fn the_dashboard_has_a_row_for_each_part_and_no_panel_twice() {
    let dashboard: serde_json::Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let rows = panels.iter().filter(|panel| panel["type"] == "row");
    let rows: Vec<_> = rows.map(|row| row["title"].as_str().expect("a title")).collect();
    assert_eq!(rows, ["Edge", "Bridge", "Host", "Model"]);
    let ids: BTreeSet<_> =
        panels.iter().map(|panel| panel["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{panel}");
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{panel}");
    }
}
