//! `weir doctor` and `weir check-config`: what they find in a line that is well, and in lines that are not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use weir_e2e::process::{built, complete, run};

use super::{Brokers, train};

/// What the doctor found.
struct Found {
    code: Option<i32>,
    findings: Vec<Value>,
}

impl Found {
    fn by(arguments: &[&str]) -> Self {
        let (code, printed, log) = run("weir", &[&["doctor", "--json"], arguments].concat());
        let findings =
            serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {printed}{log}"));
        assert!(log.is_empty(), "{log}");
        Self { code, findings }
    }

    /// The checks that ended so, with what they found.
    fn with(&self, level: &str) -> Vec<(&str, &str)> {
        let text = |finding: &'_ Value, name: &str| finding[name].as_str().map(str::len).is_some();
        assert!(
            self.findings.iter().all(|finding| text(finding, "check") && text(finding, "found"))
        );
        let chosen = self.findings.iter().filter(|finding| finding["level"] == level);
        chosen
            .map(|f| (f["check"].as_str().expect("a text"), f["found"].as_str().expect("a text")))
            .collect()
    }

    /// That nothing failed but this, what it says of it, and what to do.
    fn fails_in(&self, check: &str, found: &str, next: &str) {
        let failed = self.with("failed");
        assert!(
            failed.iter().all(|(name, _)| *name == check) && !failed.is_empty(),
            "{:?}",
            self.findings
        );
        assert!(failed[0].1.contains(found), "{failed:?}");
        let said =
            |finding: &Value| finding["next"].as_str().is_some_and(|text| text.contains(next));
        assert!(self.findings.iter().any(said), "{:?}", self.findings);
        assert_eq!(self.code, Some(1));
    }
}

impl Brokers {
    /// Settings of a line that is well. What a test changes comes behind them.
    fn line(&self) -> (String, String) {
        let config = self.host_config();
        self.protect(0o600);
        (config, self.mqtt.address().to_string())
    }

    fn protect(&self, mode: u32) {
        let key = self.folder.path().join("trainer.pem");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(key, mode).expect("the key is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_well() {
    let brokers = Brokers::start().await;
    let (config, mqtt) = brokers.line();
    let before = Found::by(&["--config", &config, "--mqtt", &mqtt]);
    let warned = before.with("warning");
    assert!(
        warned.iter().any(|(check, found)| *check == "version" && found.contains("no version"))
    );
    train(&config);
    let well = Found::by(&["--config", &config, "--mqtt", &mqtt]);
    assert_eq!((well.code, well.with("failed")), (Some(0), vec![]), "{:?}", well.findings);
    let ok: Vec<&str> = well.with("ok").into_iter().map(|(check, _)| check).collect();
    for check in
        ["settings", "kafka", "topics", "access", "clock", "mqtt", "store", "keys", "version"]
    {
        assert!(ok.contains(&check), "{check}: {:?}", well.findings);
    }
    // Nothing was made, and people are told the same without colours.
    assert!(!brokers.folder.path().join("training.redb").exists());
    let text = complete("weir", &["doctor", "--config", &config]);
    assert!(text.starts_with("ok       settings  ") && text.contains("\nskipped  mqtt "), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_and_topics_that_are_not_there_are_found() {
    let brokers = Brokers::start().await;
    let (config, _) = brokers.line();
    // Bound and not listening: nobody else gets the port.
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let nobody = closed.local_addr().expect("an address").to_string();
    let absent = Found::by(&["--config", &config, "--kafka", &nobody]);
    absent.fails_in("kafka", "nobody listens", "start Kafka");
    let absent = Found::by(&["--config", &config, "--mqtt", &nobody]);
    absent.fails_in("mqtt", &nobody, "start the broker");

    let text = std::fs::read_to_string(&config).expect("written");
    let changed = |name: &str, more: &str| brokers.file(name, &format!("{text}{more}"));
    let missing = changed("missing.toml", "[topics]\nwindow = \"elsewhere\"\n");
    let next = format!("weir topics create --config {missing}");
    Found::by(&["--config", &missing]).fails_in("topics", "missing: elsewhere", &next);
    // Looking for it has not made it.
    Found::by(&["--config", &missing]).fails_in("topics", "missing: elsewhere", &next);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_others_may_read_or_that_are_damaged_are_found() {
    let brokers = Brokers::start().await;
    let (config, _) = brokers.line();
    let text = std::fs::read_to_string(&config).expect("written");
    brokers.protect(0o644);
    Found::by(&["--config", &config]).fails_in(
        "keys",
        "can be read by others (mode 644)",
        "chmod 600",
    );
    brokers.protect(0o640);
    let found = Found::by(&["--config", &config]);
    assert!(
        found.code == Some(0) && found.with("warning").iter().any(|(check, _)| *check == "keys")
    );
    brokers.protect(0o600);

    let folder = brokers.folder.path().join("shared");
    std::fs::create_dir(&folder).expect("made");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).expect("set");
    let shared = text.replace("[models]\npath = \"\"", &format!("[models]\npath = {folder:?}"));
    let shared = brokers.file("shared.toml", &shared);
    Found::by(&["--config", &shared]).fails_in("models", "written by others", "chmod go-w");

    let store = brokers.folder.path().join("training.redb");
    std::fs::write(&store, "no store").expect("written");
    Found::by(&["--config", &config]).fails_in("store", "training.redb", "moved away");
}

/// A host at work has its store open, and the doctor takes nothing away from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_at_work_is_not_disturbed() {
    let brokers = Brokers::start().await;
    let (config, _) = brokers.line();
    train(&config);
    let mut host = weir_e2e::process::Process::start("weir-host", &["--config", &config]);
    host.await_line("model serves");
    let found = Found::by(&["--config", &config]);
    assert_eq!((found.code, found.with("failed")), (Some(0), vec![]));
    let open =
        |(check, found): &(&str, &str)| *check == "store" && found.contains("another process");
    assert!(found.with("warning").iter().any(open), "{:?}", found.findings);
    host.terminate();
    let found = Found::by(&["--config", &config]);
    let rows = |(check, found): &(&str, &str)| *check == "store" && found.contains("holds 0 rows");
    assert!(found.with("ok").iter().any(rows), "{:?}", found.findings);
}

/// One file for all services, as the demo takes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_section_for_each_service() {
    let brokers = Brokers::start().await;
    let (config, mqtt) = brokers.line();
    let (host, port) = mqtt.rsplit_once(':').expect("host and port");
    let host_section = std::fs::read_to_string(&config).expect("written");
    let host_section = host_section.replace("\n[", "\n[host.").replacen('[', "[host.", 1);
    let link = format!("mqtt]\nhost = {host:?}\nport = {port}\n");
    let kafka = brokers.kafka_section().replace("[kafka", "[bridge.kafka");
    let text = format!("[agent.{link}[bridge.{link}{kafka}{host_section}");
    let file = brokers.file("servers.toml", &text);
    let found = Found::by(&["--config", &file]);
    assert_eq!((found.code, found.with("failed")), (Some(0), vec![]), "{:?}", found.findings);
    let mqtt: Vec<_> = found.with("ok").into_iter().filter(|(check, _)| *check == "mqtt").collect();
    assert!(mqtt[0].1.contains("as the bridge") && mqtt[1].1.contains("as the agent"), "{mqtt:?}");
    let printed = complete("weir", &["check-config", &file]);
    assert!(
        printed.contains("servers.toml: valid for weir-agent, weir-bridge, weir-host\n"),
        "{printed}"
    );
}

#[test]
fn wrong_settings_end_with_78() {
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = folder.path().join("host.toml");
    std::fs::write(&wrong, "[kafka]\nbrokres = \"kafka:9092\"\n").expect("written");
    let wrong = wrong.to_str().expect("UTF-8");
    let found = Found::by(&["--config", wrong]);
    assert_eq!(found.code, Some(78));
    assert!(found.with("failed")[0].1.contains("brokres"), "{:?}", found.findings);
    assert_eq!(Found::by(&["--config", "/does/not/exist"]).code, Some(78));
    assert_eq!(Found::by(&["--bridge-config", wrong]).code, Some(78));

    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bridge/weir-bridge.toml");
    let good = good.to_str().expect("UTF-8");
    let (code, printed, log) = run("weir", &["check-config", good, wrong]);
    assert_eq!(code, Some(78), "{log}");
    assert!(printed.ends_with("weir-bridge.toml: valid for weir-bridge\n"), "{printed}");
    // In the words of the service.
    let (_, _, service) = run("weir-host", &["--check-config", "--config", wrong]);
    assert!(!service.is_empty() && log.ends_with(&service), "{log}, not {service}");
    let printed = run("weir", &["check-config", "--json", wrong, good]).1;
    let lines: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!((&lines[0]["valid"], &lines[1]["valid"]), (&false.into(), &true.into()));
    assert_eq!(complete("weir", &["check-config", good]).lines().count(), 1);
}

#[test]
fn completions_are_scripts_and_man_pages_render() {
    let folder = tempfile::tempdir().expect("a folder");
    for program in ["weir", "weir-agent", "weir-bridge", "weir-host"] {
        let weir = std::process::Command::new(built("weir"))
            .args(["completions", "bash", "--program", program])
            .output()
            .expect("weir starts");
        let script = String::from_utf8(weir.stdout).expect("UTF-8");
        let file = folder.path().join(program);
        std::fs::write(&file, &script).expect("written");
        let parsed = std::process::Command::new("bash").arg("-n").arg(&file).output();
        let parsed = parsed.expect("bash is there");
        assert!(parsed.status.success() && parsed.stderr.is_empty(), "{parsed:?}");
        let last = script.trim_end().lines().nth_back(1).expect("lines");
        assert!(last.trim().starts_with("complete ") && last.ends_with(program), "{last}");
    }
    let out = folder.path().join("man1");
    complete("weir", &["man", "--out", out.to_str().expect("UTF-8")]);
    for page in ["weir.1", "weir-doctor.1", "weir-bridge.1"] {
        let text = std::fs::read_to_string(out.join(page)).expect(page);
        assert!(text.contains("\n.TH ") || text.starts_with(".TH "), "{text}");
    }
}
