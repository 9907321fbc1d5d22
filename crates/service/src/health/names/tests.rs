//! What holds for every metric; and that `docs/metrics.md` says what the code says.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::*;

/// Set to write the page anew.
const UPDATE: &str = "WEIR_UPDATE_DOCS";

#[test]
fn names_are_as_scrapers_expect_them() {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let mut names = BTreeSet::new();
    for metric in Metric::ALL {
        let name = metric.name();
        assert!(name.starts_with("weir_") && name.bytes().all(is_word), "{name}");
        assert!(names.insert(name), "{name} is there twice");
        assert_eq!(metric.kind() == Kind::Counter, name.ends_with("_total"), "{name}");
        assert!(!metric.help().is_empty() && !metric.help().ends_with('.'), "{name}");
        let labels: BTreeSet<_> = metric.labels().iter().collect();
        assert_eq!(labels.len(), metric.labels().len(), "{name}");
        assert!(metric.labels().iter().all(|label| label.bytes().all(is_word)), "{name}");
    }
}

#[test]
fn the_documentation_is_written_from_here() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let expected = page();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, expected).expect("written");
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/metrics.md is not what the code says; write it anew: {UPDATE}=1 cargo test -p weir-service"
    );
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (service, head) in SERVICES {
        page += head;
        page +=
            "\n\n| name | kind | unit | labels | what it says |\n| --- | --- | --- | --- | --- |\n";
        for metric in Metric::ALL.iter().filter(|metric| service_of(**metric) == *service) {
            let labels: Vec<_> = metric.labels().iter().map(|label| format!("`{label}`")).collect();
            let (name, kind, help) = (metric.name(), metric.kind().as_str(), metric.help());
            let (unit, labels) = (metric.unit().unwrap_or_default(), labels.join(", "));
            writeln!(page, "| `{name}` | {kind} | {unit} | {labels} | {help} |").expect("a text");
        }
    }
    page
}

/// The service that a metric's name begins with; none for those that all have.
fn service_of(metric: Metric) -> &'static str {
    let service = |name: &&str| metric.name().starts_with(&format!("weir_{name}_"));
    ["agent", "bridge", "host"].into_iter().find(service).unwrap_or_default()
}

const HEAD: &str = "\
# Metrics

Written from the list in the code (`crates/service/src/health/names.rs`); a test compares. Change the list, not this page.

Each service serves `/metrics` where `health.listen` says, in Prometheus' text format; also `/healthz` (it lives) and `/ready` (it
does its work; if not, what is missing). Counters begin at 0 with each start. All values of a page are of one moment, so what is
said below to add up does so in every scrape.

[deploy/prometheus](../deploy/prometheus) has settings and alert rules for Prometheus, [deploy/grafana](../deploy/grafana) a dashboard.
";

const SERVICES: &[(&str, &str)] = &[
    ("", "\n## Every service"),
    (
        "agent",
        "\n## Agent

It adds up: `records_found + records_taken = records_acked + records_dropped + spool_records`.",
    ),
    (
        "bridge",
        "\n## Bridge

It adds up, for each broker: `messages_received = messages_forwarded + messages_dead_lettered + messages_repeated +
messages_out_of_order + messages_returned + messages_in_flight`.",
    ),
    (
        "host",
        "\n## Host

What is counted is in Kafka or in the store; a batch that fails is not counted, and comes again. After a crash records come again
too, so counts of several lives of a host may have some records twice. It adds up:

- Predict: `records_done{role=\"predict\"} = predictions + dead_letters` of the topic of measurements.
- Sink: `records_done{role=\"sink\"} = rows_stored + rows_repeated + dead_letters` of the topic of joined rows.
- Join, for each side: `join_events_received = joined + unjoined + join_events_reread + join_events_returned + join_events_pending`;
  and `records_done = join_events_received + dead_letters` of the side's topic.

`lag_records` counts from what is done, not from what is committed, to the end that Kafka gave when it was last asked (every 10 s).
Of several hosts each counts the partitions that it has: `sum by (role, topic)` is the line's lag.",
    ),
];
