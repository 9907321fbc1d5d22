//! Secured links: what is right works, and what is wrong is refused soon, with the name of the setting.

use std::time::Instant;

use weir_e2e::process::{Process, complete, run};
use weir_e2e::servers::{KAFKA, KAFKA_SECURE, MQTT_SECURE, MQTT_USERS, address, secret};

use crate::site::{REFUSAL, Site, broker};

/// A `security` section that names these files of the folder of secrets.
struct Security {
    section: &'static str,
    user: &'static str,
    password: &'static str,
    ca: &'static str,
    certificate: &'static str,
}

impl Security {
    const fn new(section: &'static str) -> Self {
        Self { section, user: "", password: "", ca: "ca", certificate: "" }
    }

    fn text(&self) -> String {
        let mut text = format!("[{}.security]\n", self.section);
        let mut add = |name: &str, file: String| {
            text.push_str(&format!("{name} = {:?}\n", secret(&file)));
        };
        if !self.ca.is_empty() {
            add("ca-file", format!("{}.pem", self.ca));
        }
        if !self.certificate.is_empty() {
            add("cert-file", format!("{}.pem", self.certificate));
            add("key-file", format!("{}.key", self.certificate));
        }
        if !self.user.is_empty() {
            add("password-file", format!("{}.password", self.password));
            text.push_str(&format!("username = {:?}\n", self.user));
        }
        text
    }
}

const DEVICE: Security = Security { certificate: "device-1", ..Security::new("mqtt") };
const USER: Security =
    Security { user: "device-1", password: "mqtt-device-1", ..Security::new("mqtt") };
const BRIDGE: Security = Security { certificate: "bridge", ..Security::new("mqtt") };

const fn kafka(user: &'static str, password: &'static str) -> Security {
    Security { user, password, ..Security::new("kafka") }
}

fn mqtt(variable: &str, security: &Security) -> String {
    let (host, port) = broker(variable);
    format!("[mqtt]\nhost = {host:?}\nport = {port}\n{}", security.text())
}

fn kafka_section(security: &Security) -> String {
    format!("[kafka]\nbrokers = {:?}\n{}", address(KAFKA_SECURE), security.text())
}

/// The program ends in time with exit code 78, and what it says names the setting.
fn assert_refused(name: &str, arguments: &[&str], setting: &str) {
    let began = Instant::now();
    let (code, _, log) = run(name, arguments);
    let took = began.elapsed();
    assert_eq!(code, Some(78), "{name} {arguments:?}:\n{log}");
    let message = log.lines().last().unwrap_or_default();
    assert!(message.starts_with("error: ") && message.contains(setting), "{setting}:\n{log}");
    assert!(took < REFUSAL, "{name} took {took:?}:\n{log}");
}

const SIMULATE: [&str; 5] = ["simulate", "--events", "3", "--speed", "max"];

#[test]
fn a_wrong_link_to_the_mqtt_broker_names_the_setting() {
    let site = Site::new();
    let cases = [
        (MQTT_SECURE, Security { ca: "other-ca", ..DEVICE }, "mqtt.security.ca-file"),
        (MQTT_SECURE, Security { certificate: "stranger", ..DEVICE }, "mqtt.security.cert-file"),
        (MQTT_SECURE, Security { certificate: "expired", ..DEVICE }, "mqtt.security.cert-file"),
        (MQTT_SECURE, Security { certificate: "", ..DEVICE }, "mqtt.security.cert-file"),
        (MQTT_USERS, Security { password: "mqtt-device-2", ..USER }, "mqtt.security.password-file"),
        (MQTT_USERS, Security { ca: "other-ca", ..USER }, "mqtt.security.ca-file"),
    ];
    for (variable, security, setting) in cases {
        let config = site.file("agent.toml", &mqtt(variable, &security));
        assert_refused("weir-agent", &[&["--config", &config], &SIMULATE[..]].concat(), setting);
    }
    let wrong = Security { ca: "other-ca", ..BRIDGE };
    // A Kafka that lets everybody in, so that only one link is wrong.
    let open = format!("[kafka]\nbrokers = {:?}\n", address(KAFKA));
    let config = site.bridge_with(&mqtt(MQTT_SECURE, &wrong), &open);
    assert_refused("weir-bridge", &["--config", &config], "mqtt.security.ca-file");
}

#[test]
fn a_wrong_link_to_kafka_names_the_setting() {
    let site = Site::new();
    let cases = [
        (kafka("bridge", "kafka-host"), "kafka.security.password-file"),
        (Security { ca: "other-ca", ..kafka("bridge", "kafka-bridge") }, "kafka.security.ca-file"),
    ];
    for (security, setting) in cases {
        let section = kafka_section(&security);
        let config = site.bridge_with(&mqtt(MQTT_SECURE, &BRIDGE), &section);
        assert_refused("weir-bridge", &["--config", &config], setting);
        let config = site.host_at(&address(KAFKA_SECURE), &security.text());
        assert_refused("weir-host", &["--config", &config], setting);
        assert_refused("weir", &["tail", "--config", &config], setting);
    }
}

/// A machine and a bridge that log in by password.
#[test]
fn users_with_passwords_are_let_in() {
    let site = Site::with_topics(1);
    let bridge = Security { user: "bridge", password: "mqtt-bridge", ..Security::new("mqtt") };
    let open = format!("[kafka]\nbrokers = {:?}\n", address(KAFKA));
    let bridge = site.start_bridge(&site.bridge_with(&mqtt(MQTT_USERS, &bridge), &open));
    let line = format!("line = {:?}\ndevice = \"device-1\"\n", site.name);
    let agent = site.file("agent.toml", &format!("{line}{}", mqtt(MQTT_USERS, &USER)));
    let printed = complete("weir-agent", &[&["--config", &agent], &SIMULATE[..]].concat());
    assert!(printed.starts_with("found 0  taken 6  confirmed 6"), "{printed}");
    bridge.terminate();
}

/// Every link encrypted, every program with the rights of its role and no others.
#[test]
fn the_loop_runs_over_secured_links() {
    let site = Site::new();
    let at = address(KAFKA_SECURE);
    let admin = site.host_at(&at, &kafka("admin", "kafka-admin").text());
    complete("weir", &["topics", "create", "--config", &admin]);
    weir_e2e::servers::grant(&site.name);
    let trainer = kafka("trainer", "kafka-trainer").text();
    let config = site.host_at(&at, &format!("roles = [\"sink\", \"drift\", \"train\"]\n{trainer}"));
    site.train(&config);
    let training = Process::start("weir-host", &["--config", &config]);
    let host = kafka("host", "kafka-host").text();
    let config = site.host_at(&at, &format!("roles = [\"predict\", \"join\"]\n{host}"));
    let mut host = Process::start("weir-host", &["--config", &config]);
    host.await_line("model serves");
    let section = kafka_section(&kafka("bridge", "kafka-bridge"));
    let bridge = site.start_bridge(&site.bridge_with(&mqtt(MQTT_SECURE, &BRIDGE), &section));
    let line = format!("line = {:?}\ndevice = \"device-1\"\n", site.name);
    let agent = site.file("agent.toml", &format!("{line}{}", mqtt(MQTT_SECURE, &DEVICE)));
    let printed = complete("weir-agent", &[&["--config", &agent], &SIMULATE[..]].concat());
    assert!(printed.starts_with("found 0  taken 6  confirmed 6"), "{printed}");
    let rows =
        complete("weir", &["tail", "--from-beginning", "-n", "3", "--json", "--config", &admin]);
    assert_eq!(rows.lines().count(), 3, "{rows}");
    assert!(rows.lines().all(|row| row.contains("\"Species\":\"salmon\"")), "{rows}");
    bridge.terminate();
    host.terminate();
    training.terminate();
}
