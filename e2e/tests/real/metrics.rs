//! What agent, bridge and host tell about themselves, as Prometheus' own tool judges it; and that it adds up while events pass.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Instant;

use weir_e2e::metrics::{Page, any_port, get};
use weir_e2e::process::{PATIENCE, Process, complete};
use weir_e2e::servers::{MQTT, address};

use crate::site::Site;

const FISH: u64 = 300;

/// Has a text judged; what the tool says of it.
fn judge(arguments: &[&str], text: &str) -> Result<(), String> {
    let mut promtool = Command::new("promtool");
    promtool.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().expect("promtool; `cargo xtask tools` installs it");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("taken");
    let output = child.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

fn page(health: SocketAddr) -> Page {
    Page::scrape(health).expect("it answers as long as it runs")
}

/// What docs/metrics.md says of a host.
fn host_adds_up(page: &Page) {
    let count = |name: &str, label: &str| page.labelled(&format!("weir_host_{name}"), label);
    let done = |role: &str| count("records_done_total", &format!("role=\"{role}\""));
    let letters = |topic: &str| count("dead_letters_total", &format!("{topic}\""));
    let predictions = count("predictions_total", "");
    assert_eq!(done("predict"), predictions + letters("machine-measurement"), "{page:?}");
    let stored = count("rows_stored_total", "") + count("rows_repeated_total", "");
    assert_eq!(done("sink"), stored + letters("weight-diff"), "{page:?}");
    let mut received = 0;
    for side in ["side=\"prediction\"", "side=\"target\""] {
        let names = ["unjoined_total", "join_events_reread_total", "join_events_returned_total"];
        let left = names.map(|name| count(name, side)).iter().sum::<u64>();
        let waiting = count("join_events_pending", side);
        let all = count("join_events_received_total", side);
        assert_eq!(all, count("joined_total", "") + left + waiting, "{side}: {page:?}");
        received += all;
    }
    let letters = letters("weight-prediction") + letters("machine-weight");
    assert_eq!(done("join"), received + letters, "{page:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_as_prometheus_wants_them_and_add_up() {
    let site = Site::with_topics(3);
    let config = site.host("");
    let mut host = Process::start_with("weir-host", &["--config", &config], &[any_port()]);
    let of_host = host.health();
    site.train(&config);
    host.await_line("model serves");
    let bridge_config = site.bridge();
    let arguments = ["--config", bridge_config.as_str()];
    let mut bridge = Process::start_with("weir-bridge", &arguments, &[any_port()]);
    bridge.await_line("subscribed");
    let of_bridge = bridge.health();

    let agent = site.file("agent.toml", &format!("line = {:?}\n", site.name));
    let broker = address(MQTT);
    let fish = FISH.to_string();
    let arguments = ["--config", &agent, "--broker", &broker, "simulate"];
    complete("weir-agent", &[&arguments[..], &["--events", &fish, "--speed", "max"]].concat());
    let other = [any_port(), ("WEIR__DEVICE", "gate-2".to_owned())];
    let endless = [&arguments[..], &["--forever", "--start", "now"]].concat();
    let mut agent = Process::start_with("weir-agent", &endless, &other);
    let of_agent = agent.health();

    let began = Instant::now();
    let mut before = Page::default();
    let is_done = |page: &Page| {
        let lags = page.has("weir_host_lag_records") && page.sum("weir_host_lag_records") <= 2;
        page.sum("weir_host_rows_stored_total") >= FISH && lags
    };
    while !is_done(&before) {
        assert!(began.elapsed() < PATIENCE, "{before:?}");
        let now = page(of_host);
        host_adds_up(&now);
        assert_eq!(now.fallen_since(&before), None);
        before = now;
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for (name, expected) in [
        ("weir_host_model_version", "place=\"serving\""),
        ("weir_host_partitions_assigned", "role=\"drift\""),
    ] {
        assert!(before.labelled(name, expected) >= 1, "{name}: {before:?}");
    }
    assert_eq!(get(of_host, "/ready").as_deref(), Some("ready\n"));
    for (service, health) in [("agent", of_agent), ("bridge", of_bridge), ("host", of_host)] {
        let text = get(health, "/metrics").expect("a page");
        assert!(text.contains(&format!("weir_build_info{{service=\"{service}\"")), "{text}");
        assert_eq!(judge(&["check", "metrics"], &text), Ok(()), "{service}:\n{text}");
    }
    agent.terminate();
    bridge.terminate();
    host.terminate();
}

/// The tool would say so.
#[test]
fn a_page_with_faults_is_refused() {
    let wrong = "# TYPE weir_test counter\nweir_test 1\n";
    assert!(judge(&["check", "metrics"], wrong).is_err());
}

#[test]
fn rules_and_dashboard_are_in_prometheus_own_language() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus");
    let config = format!("{folder}/prometheus.yml");
    // It looks at the rules that the settings name too.
    assert_eq!(judge(&["check", "config", &config], ""), Ok(()));
    let dashboard = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/grafana/weir.json");
    let dashboard = std::fs::read_to_string(dashboard).expect("the dashboard");
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let rules: Vec<_> = targets
        .enumerate()
        .map(|(n, target)| {
            let expr = target["expr"].as_str().expect("an expression");
            let expr = expr.replace("$__rate_interval", "5m");
            serde_json::json!({ "record": format!("dashboard:{n}"), "expr": expr })
        })
        .collect();
    // JSON is YAML.
    let rules = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), rules.to_string()).expect("written");
    let path = file.path().to_str().expect("UTF-8");
    assert_eq!(judge(&["check", "rules", path], ""), Ok(()));
}
