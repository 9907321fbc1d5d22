//! Where the servers are: one environment variable for each.

use std::path::PathBuf;

/// Apache Kafka, one node, plain: `host:port`.
pub const KAFKA: &str = "WEIR_TEST_KAFKA";
/// Apache Kafka, three nodes, plain: `host:port` of each, separated by commas.
pub const KAFKA_CLUSTER: &str = "WEIR_TEST_KAFKA_CLUSTER";
/// Apache Kafka, one node, TLS, SCRAM-SHA-512 and ACLs: `host:port`.
pub const KAFKA_SECURE: &str = "WEIR_TEST_KAFKA_SECURE";
/// Mosquitto, plain, anonymous: `host:port`.
pub const MQTT: &str = "WEIR_TEST_MQTT";
/// Mosquitto, TLS with client certificates or users, ACLs: `host:port`.
pub const MQTT_SECURE: &str = "WEIR_TEST_MQTT_SECURE";
/// A MongoDB-protocol server, plain: a `mongodb://` URI.
pub const MONGODB: &str = "WEIR_TEST_MONGODB";
/// A MongoDB-protocol server over TLS: a `mongodb://` URI without the CA.
pub const MONGODB_TLS: &str = "WEIR_TEST_MONGODB_TLS";
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

/// A name that no other test run uses, for topics, groups and databases on servers that are shared.
pub fn unique(prefix: &str) -> String {
    let folder = tempfile::tempdir().expect("temporary folder");
    let name = folder.path().file_name().expect("a name").to_string_lossy().to_lowercase();
    format!("{prefix}{}", name.replace('.', "-"))
}
