//! The agent as a process of its own: exit codes and what it prints.

use std::process::{Command, Output};

use weir_embedded::mqtt::EmbeddedMqtt;

fn agent(arguments: &[&str]) -> Output {
    let state = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-agent"));
    command.env("STATE_DIRECTORY", state.path()).env("WEIR__DELIVERY__UNTIL", "broker");
    command.args(arguments).output().expect("the agent runs")
}

/// Runs the agent off the test's runtime and returns what it printed.
async fn complete(broker: &EmbeddedMqtt, arguments: &[&str]) -> String {
    let address = broker.address().to_string();
    let all = [&["--broker", &address], arguments].concat();
    let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    let run = move || agent(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(run).await.expect("no panic");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_run_ends_when_everything_is_acknowledged() {
    let broker = EmbeddedMqtt::start().await.expect("broker");
    let simulate = ["simulate", "--events", "500", "--speed", "max"];
    let printed = complete(&broker, &simulate).await;
    assert!(
        printed.starts_with("found 0  taken 1000  confirmed 1000  dropped 0  left 0"),
        "{printed}"
    );

    let table = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(table.path(), "id,species,length,height,weight\n1,salmon,88.1,19,4.6\n")
        .expect("written");
    let path = table.path().to_str().expect("a path in UTF-8");
    let printed = complete(&broker, &["replay", "--csv", path, "--speed", "max"]).await;
    assert!(printed.starts_with("found 0  taken 2  confirmed 2"), "{printed}");
}

#[test]
fn exit_codes_tell_usage_configuration_and_failure_apart() {
    let check = |arguments: &[&str], code: i32, message: &str| {
        let output = agent(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(message), "{arguments:?}: {stderr}");
    };
    check(&[], 2, "simulate, replay or read");
    check(&["--colour", "simulate"], 2, "--colour");
    check(&["--config", "/does/not/exist", "simulate"], 78, "/does/not/exist");
    check(&["replay", "--csv", "/does/not/exist.csv"], 1, "/does/not/exist.csv");
    check(&["--check-config"], 0, "");
}
