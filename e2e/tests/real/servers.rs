//! That the servers are there and are what the other tests take them for: right secrets open them, wrong
//! ones do not, and what nobody allowed is refused. Weir itself is not tested here.

mod kafka;
mod mongo;
pub(crate) mod mosquitto;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use weir_e2e::servers::{SECRETS, address, secret};

/// Runs a tool to its end.
fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("{program}: {error}; see `cargo xtask test`"))
}

fn secret_path(file: &str) -> String {
    secret(file).to_str().expect("UTF-8").to_owned()
}

fn secret_text(file: &str) -> String {
    fs::read_to_string(secret(file)).expect("a secret")
}

#[test]
fn nobody_else_may_read_the_secrets() {
    let folder = address(SECRETS);
    let mode = |path: &str| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for file in ["ca.pem", "bridge.key", "device-1.key", "mqtt-bridge.password"] {
        assert_eq!(mode(&secret_path(file)), 0o600, "{file}");
    }
}

/// Each wrong certificate is wrong for one reason only.
#[test]
fn certificates_are_what_their_names_say() {
    let verify = |authority: &str, certificate: &str| {
        let arguments = ["verify", "-CAfile", &secret_path(authority), &secret_path(certificate)];
        let output = run("openssl", &arguments);
        (output.status.success(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    for right in ["bridge.pem", "device-1.pem", "device-2.pem"] {
        assert!(verify("ca.pem", right).0, "{right}");
        assert!(!verify("other-ca.pem", right).0, "{right}");
    }
    let (fine, reason) = verify("ca.pem", "expired.pem");
    assert!(!fine && reason.contains("certificate has expired"), "{reason}");
    let (fine, reason) = verify("ca.pem", "stranger.pem");
    assert!(!fine && reason.contains("unable to get local issuer certificate"), "{reason}");
    assert!(verify("other-ca.pem", "stranger.pem").0);
    for device in ["device-1.pem", "expired.pem", "stranger.pem"] {
        let arguments = ["x509", "-noout", "-subject", "-in", &secret_path(device)];
        let subject = String::from_utf8(run("openssl", &arguments).stdout).expect("UTF-8");
        assert_eq!(subject.trim_end(), "subject=CN = device-1", "{device}");
    }
}
