//! The command as people and supervisors meet it: help, the printed configuration, exit codes.

use std::process::{Command, Output};

fn weir_bridge(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-bridge"));
    command.args(arguments).output().expect("runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn help_shows_examples() {
    let output = weir_bridge(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("weir-bridge --mqtt localhost:1883 --kafka"));
}

#[test]
fn the_printed_configuration_can_be_used_as_the_file() {
    let arguments = ["--check-config", "--mqtt", "broker.example:1884", "--kafka", "kafka:9092"];
    let first = weir_bridge(&arguments);
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    assert!(text(&first.stdout).contains("broker.example"));
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), &first.stdout).expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let second = weir_bridge(&["--check-config", "--config", path]);
    assert_eq!(text(&second.stdout), text(&first.stdout));
}

#[test]
fn a_wrong_configuration_ends_with_78_and_names_the_setting() {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), "[limits]\npayload-bytes-max = 0\n").expect("written");
    let path = file.path().to_str().expect("UTF-8");
    for (arguments, part) in [
        (vec!["--config", path], "limits.payload-bytes-max"),
        (vec!["--check-config", "--config", path], "limits.payload-bytes-max"),
        (vec!["--config", "/does/not/exist"], "/does/not/exist"),
        (vec!["--mqtt", "nowhere"], "HOST:PORT"),
    ] {
        let output = weir_bridge(&arguments);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        assert!(text(&output.stderr).contains(part), "{}", text(&output.stderr));
    }
    assert_eq!(weir_bridge(&["--unknown"]).status.code(), Some(2));
}
