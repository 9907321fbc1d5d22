//! Versions as people handle them: with `weir model`, standard tools and a registry, on real Kafka.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use weir_e2e::hosts::{Group, Line, instance};
use weir_e2e::process::complete;
use weir_e2e::registry::Registry;
use weir_e2e::servers::{KAFKA_CLUSTER, address};

fn tool(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(name).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("run {name}: {error}"));
    let (printed, log) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {arguments:?}: {log}");
    printed.into_owned()
}

fn list(config: &str) -> Vec<Value> {
    let printed = complete("weir", &["model", "list", "--json", "--config", config]);
    printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn versions_go_into_service_and_back_and_elsewhere() {
    let _machine = crate::shared();
    let line = Line::new(&address(KAFKA_CLUSTER), 2, 300, 3);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let store = format!("[store]\npath = {:?}\n", path("training.redb"));
    let group = Group::new(&line, "versions", &store);
    let config = group.arguments()[1];
    let disk = [("WEIR__MODELS__PATH", path("models"))];
    let mut host = group.host(&instance(0), &disk);
    host.await_line("model serves");
    line.feed(f64::INFINITY).join().expect("fed");
    group.finish_windows();
    group.await_committed("sink");

    // What triggers have made so far, and one more by hand.
    let before = list(config).len();
    let made = complete("weir", &["model", "retrain", "--reason", "test", "--config", config]);
    let retrained = made.trim();
    assert_eq!(retrained, format!("v{}", before + 1));
    host.await_line("model serves");
    let reproduced = {
        // The file of training rows is the host's.
        host.terminate();
        let printed = complete("weir", &["model", "reproduce", retrained, "--config", config]);
        host = group.host(&instance(0), &disk);
        host.await_line("model serves");
        printed
    };
    assert!(reproduced.contains("is reproduced: 50 rows give sha256:"), "{reproduced}");

    let back = complete("weir", &["model", "rollback", "--config", config]);
    let versions = list(config);
    let newest = versions.last().expect("versions");
    assert_eq!(format!("v{}", newest["version"]), back.trim());
    assert_eq!(
        (newest["cause"]["kind"].as_str(), newest["serves"].as_bool()),
        (Some("rollback"), Some(true))
    );
    host.await_line("model serves");
    let summary = complete("weir", &["model", "inspect", "--config", config]);
    assert!(summary.contains("Pr(>|t|)") && summary.contains("signature: valid"), "{summary}");
    let diff = complete("weir", &["model", "diff", "v1", retrained, "--config", config]);
    assert!(diff.contains("(Intercept)") && diff.contains("rows of both"), "{diff}");
    let verified = complete("weir", &["model", "verify", "--config", config]);
    assert!(verified.lines().all(|line| line.ends_with("valid")), "{verified}");

    exchange(folder.path(), config, retrained, versions.len());
    host.await_line("model serves");
    host.terminate();
}

/// What standard tools, a registry and another site make of a version.
fn exchange(folder: &Path, config: &str, retrained: &str, versions: usize) {
    let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    // The directory of the host, and one that is exported, are what standard tools take.
    let on_disk = complete(
        "weir",
        &["model", "list", "--json", "--store", &path("models"), "--config", config],
    );
    assert!(on_disk.lines().count() <= 4 && on_disk.contains("\"rollback\""), "{on_disk}");
    complete("weir", &["model", "export", retrained, "--out", &path("out"), "--config", config]);
    let image = format!("oci:{}:{retrained}", path("out"));
    let raw: Value =
        serde_json::from_str(&tool("skopeo", &["inspect", "--raw", &image])).expect("JSON");
    assert_eq!(raw["layers"][0]["mediaType"], "application/wasm");
    assert_eq!(raw["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    tool("skopeo", &["copy", &image, &format!("oci:{}:{retrained}", path("copy"))]);

    let registry = Registry::start(&folder.join("registry"));
    let to = format!("oci://{}/weir/weight:{retrained}", registry.address());
    let pushed =
        complete("weir", &["model", "push", retrained, &to, "--plain-http", "--config", config]);
    let docker = format!("docker://{}/weir/weight:{retrained}", registry.address());
    let served: Value =
        serde_json::from_str(&tool("skopeo", &["inspect", "--raw", "--tls-verify=false", &docker]))
            .expect("JSON");
    assert_eq!(served, raw, "{pushed}");
    let pulled = complete(
        "weir",
        &["model", "pull", &to, "--out", &path("pulled"), "--plain-http", "--config", config],
    );
    assert!(pulled.contains("signature: valid"), "{pulled}");
    let bytes = |folder: &str| blobs(&Path::new(&path(folder)).join("blobs/sha256"));
    assert_eq!(bytes("pulled"), bytes("out"), "the same bytes, to the OCI manifest");
    let imported = complete("weir", &["model", "import", &path("copy"), "--config", config]);
    assert!(imported.starts_with(&format!("v{}", versions + 1)), "{imported}");
}

fn blobs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| {
        let path = entry.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read(path).expect("read"))
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}
