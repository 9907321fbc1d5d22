//! Where the servers are: one environment variable for each.

use std::path::PathBuf;

/// Apache Kafka, one node, plain: `host:port`.
pub const KAFKA: &str = "WEIR_TEST_KAFKA";
/// Apache Kafka, three nodes, plain: `host:port` of each, separated by commas.
pub const KAFKA_CLUSTER: &str = "WEIR_TEST_KAFKA_CLUSTER";
/// Apache Kafka, one node, TLS, SCRAM-SHA-512 and ACLs: `host:port`.
pub const KAFKA_SECURE: &str = "WEIR_TEST_KAFKA_SECURE";
/// A command that takes the arguments of `kafka-acls.sh` and asks the secured Kafka as its administrator: what
/// `deploy/kafka/acls.sh` takes as `KAFKA_ACLS`.
pub const KAFKA_ACLS: &str = "WEIR_TEST_KAFKA_ACLS";
/// Mosquitto, plain, anonymous: `host:port`.
pub const MQTT: &str = "WEIR_TEST_MQTT";
/// Mosquitto, TLS with client certificates, ACLs: `host:port`. The common name is the user.
pub const MQTT_SECURE: &str = "WEIR_TEST_MQTT_SECURE";
/// Mosquitto, TLS with users and passwords, ACLs: `host:port`.
pub const MQTT_USERS: &str = "WEIR_TEST_MQTT_USERS";
/// A MongoDB-protocol server, plain: a `mongodb://` URI.
pub const MONGODB: &str = "WEIR_TEST_MONGODB";
/// A MongoDB-protocol server over TLS: a `mongodb://` URI without the CA.
pub const MONGODB_TLS: &str = "WEIR_TEST_MONGODB_TLS";
/// An OpenTelemetry collector, to be started: the path of its program.
pub const COLLECTOR: &str = "WEIR_TEST_COLLECTOR";
/// What asks an HTTP interface everything that its description permits: the path of its program.
pub const FUZZER: &str = "WEIR_TEST_FUZZER";
/// The folder of certificates, keys and passwords that the secured servers were started with.
pub const SECRETS: &str = "WEIR_TEST_SECRETS";

/// The value of one of these variables.
///
/// # Panics
/// If it is not set: the test fails, and says what to do.
pub fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} is not set: run `cargo xtask test`, which starts the servers, or \
             `eval \"$(cargo xtask services up)\"` once and then `cargo test -p weir-e2e`"
        )
    })
}

/// The path of a file in the folder of [`SECRETS`].
///
/// # Panics
/// If the variable is not set.
pub fn secret(file: &str) -> PathBuf {
    PathBuf::from(address(SECRETS)).join(file)
}

/// Gives the users of the secured Kafka the rights of their roles, for topics behind `<name>-` and groups
/// `<name>-*`.
///
/// # Panics
/// If the script fails.
pub fn grant(name: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kafka/acls.sh");
    let output = std::process::Command::new(script)
        .env("KAFKA_ACLS", address(KAFKA_ACLS))
        .env("PREFIX", format!("{name}-"))
        .env("GROUP_PREFIX", name)
        .output()
        .expect("the script starts");
    assert!(output.status.success(), "{script}:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// A name that no other test run uses, for topics, groups and databases on servers that are shared.
pub fn unique(prefix: &str) -> String {
    let folder = tempfile::tempdir().expect("temporary folder");
    let name = folder.path().file_name().expect("a name").to_string_lossy().to_lowercase();
    format!("{prefix}{}", name.replace('.', "-"))
}
