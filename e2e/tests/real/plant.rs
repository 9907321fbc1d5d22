//! The plant's broker as `deploy/mosquitto` has it, with certificates from `deploy/certificates.sh`: exactly these
//! lines, but for paths and the port, started for each test. What a device, the bridge and a stranger may do there.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use weir_e2e::process::{Process, run};

use crate::servers::mosquitto::{Client, Outcome};

/// The client id that a subscriber asks for. The broker takes the certificate's name in its place.
const SESSION: &str = "any";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs the script. Returns whether it succeeded, and what it says otherwise.
fn certificates(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(repository().join("deploy/certificates.sh"));
    let output = command.args(arguments).output().expect("the script starts");
    (output.status.success(), String::from_utf8(output.stderr).expect("UTF-8"))
}

/// A broker with its folder of certificates.
struct Plant {
    folder: TempDir,
    port: u16,
    _broker: Process,
}

impl Plant {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let out = folder.path().to_str().expect("UTF-8");
        for what in [
            ["ca"].as_slice(),
            &["broker", "localhost", "127.0.0.1"],
            &["device", "gate-1", "gate-2", "gate-9"],
            &["client", "bridge", "monitor"],
        ] {
            let (made, errors) = certificates(&[["--out", out].as_slice(), what].concat());
            assert!(made, "{what:?}: {errors}");
        }
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("bound").port();
        let settings = settings(folder.path(), port);
        fs::write(folder.path().join("mosquitto.conf"), settings).expect("written");
        fs::write(folder.path().join("weir.acl"), rights()).expect("written");
        drop(free);
        let mut command = Command::new(mosquitto());
        command.arg("-c").arg(folder.path().join("mosquitto.conf"));
        let mut broker = Process::start_command("mosquitto", &mut command);
        broker.await_line(" running");
        Self { folder, port, _broker: broker }
    }

    fn path(&self, file: &str) -> String {
        self.folder.path().join(file).into_os_string().into_string().expect("UTF-8")
    }

    /// Somebody who trusts the broker and shows nothing.
    fn stranger(&self) -> Client {
        Client::at(&format!("localhost:{}", self.port)).with("--cafile", &self.path("ca.pem"))
    }

    fn client(&self, name: &str) -> Client {
        let client = self.stranger().with("--cert", &self.path(&format!("{name}.pem")));
        client.with("--key", &self.path(&format!("{name}.key")))
    }
}

/// The settings, with paths and a port of this test, and what a process needs that Debian does not start.
fn settings(folder: &Path, port: u16) -> String {
    let folder = folder.display().to_string();
    let text = read("deploy/mosquitto/mosquitto.conf");
    let replace = |text: String, old: &str, new: &str| {
        assert!(text.contains(old), "{old} is not in the settings");
        text.replace(old, new)
    };
    let text = replace(text, "listener 8883\n", &format!("listener {port} 127.0.0.1\n"));
    let text = replace(text, "/etc/mosquitto/certs/", &format!("{folder}/"));
    let text = replace(text, "acl_file /etc/mosquitto/", &format!("acl_file {folder}/"));
    format!("{text}user root\nlog_dest stderr\npersistence_location {folder}/\n")
}

/// The rights, with the lines for a stolen device in force.
fn rights() -> String {
    let text = read("deploy/mosquitto/weir.acl");
    let stolen = "# user gate-9\n# topic deny #\n";
    assert!(text.contains(stolen), "the ACL file says how to lock a device out");
    text.replace(stolen, "user gate-9\ntopic deny #\n")
}

fn read(file: &str) -> String {
    fs::read_to_string(repository().join(file)).expect(file)
}

/// Debian's is where the PATH of an ordinary user does not lead.
fn mosquitto() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join("mosquitto")).find(|path| path.is_file());
    found.expect("mosquitto is there; see `cargo xtask tools`")
}

#[test]
fn a_device_writes_its_own_topics_and_no_other() {
    let plant = Plant::start();
    let client = |name: &str| plant.client(name);
    let own = |kind: &str| format!("weir/line-1/gate-1/{kind}");
    client("bridge").subscribe(SESSION, "weir/#");
    for kind in ["measurement", "weight", "gap"] {
        assert_eq!(client("gate-2").publish(&own(kind)), Outcome::Forbidden, "{kind}");
        assert_eq!(client("monitor").publish(&own(kind)), Outcome::Forbidden, "{kind}");
    }
    assert_eq!(client("gate-1").publish(&own("other")), Outcome::Forbidden);
    let kinds = ["gap", "measurement", "weight"];
    for kind in kinds {
        assert_eq!(client("gate-1").publish(&own(kind)), Outcome::Accepted, "{kind}");
    }
    // Nothing that was forbidden came before them.
    assert_eq!(client("bridge").topics(SESSION, "weir/#", 3), kinds.map(own));
}

#[test]
fn a_device_reads_its_own_confirmations_and_writes_none() {
    let plant = Plant::start();
    let client = |name: &str| plant.client(name);
    let confirmations = |device: &str| format!("weir-ack/line-1/{device}");
    for device in ["gate-1", "gate-2"] {
        assert_eq!(client(device).publish(&confirmations("gate-1")), Outcome::Forbidden);
    }
    client("gate-1").subscribe(SESSION, "weir-ack/#");
    for device in ["gate-2", "gate-1"] {
        assert_eq!(client("bridge").publish(&confirmations(device)), Outcome::Accepted);
    }
    // Its own; the other device's came before.
    assert_eq!(client("gate-1").topics(SESSION, "weir-ack/#", 1), [confirmations("gate-1")]);
}

#[test]
fn a_status_is_its_owners_and_stays_for_who_comes_later() {
    let plant = Plant::start();
    let client = |name: &str| plant.client(name);
    let status = "weir-status/line-1/gate-1";
    let retained = |name: &str, topic: &str| client(name).publish_with(topic, &["-r", "-m", "x"]);
    for other in ["gate-2", "bridge", "monitor"] {
        assert_eq!(retained(other, status), Outcome::Forbidden, "{other}");
    }
    assert_eq!(retained("gate-1", status), Outcome::Accepted);
    for reader in ["monitor", "bridge"] {
        assert_eq!(client(reader).topics(SESSION, "weir-status/#", 1), [status], "{reader}");
    }
    assert_eq!(retained("gate-1", "weir-status/weir-bridge/1"), Outcome::Forbidden);
    assert_eq!(retained("bridge", "weir-status/weir-bridge/1"), Outcome::Accepted);
}

#[test]
fn who_watches_asks_for_everything_and_gets_the_status_only() {
    let plant = Plant::start();
    let client = |name: &str| plant.client(name);
    client("monitor").subscribe(SESSION, "#");
    assert_eq!(client("gate-1").publish("weir/line-1/gate-1/weight"), Outcome::Accepted);
    assert_eq!(client("bridge").publish("weir-ack/line-1/gate-1"), Outcome::Accepted);
    let status = "weir-status/line-1/gate-1";
    assert_eq!(client("gate-1").publish(status), Outcome::Accepted);
    assert_eq!(client("monitor").topics(SESSION, "#", 1), [status]);
}

#[test]
fn who_has_no_certificate_of_the_plant_is_refused() {
    let plant = Plant::start();
    let topic = "weir/line-1/gate-1/weight";
    assert_eq!(plant.client("gate-1").publish(topic), Outcome::Accepted);
    assert_eq!(plant.stranger().publish(topic), Outcome::Refused);
    let named = plant.stranger().with("-u", "gate-1").with("-P", "x");
    assert_eq!(named.publish(topic), Outcome::Refused);
    let plain = Client::at(&format!("localhost:{}", plant.port));
    assert_eq!(plain.publish(topic), Outcome::Refused);
    let other = plant.path("other");
    for what in [["ca"].as_slice(), &["device", "gate-1"]] {
        assert!(certificates(&[["--out", &other].as_slice(), what].concat()).0);
    }
    let forged = plant.stranger().with("--cert", &plant.path("other/gate-1.pem"));
    let forged = forged.with("--key", &plant.path("other/gate-1.key"));
    assert_eq!(forged.publish(topic), Outcome::Refused);
}

#[test]
fn a_stolen_device_can_be_locked_out_by_name() {
    let plant = Plant::start();
    let stolen = plant.client("gate-9");
    for topic in ["weir/line-1/gate-9/weight", "weir-status/line-1/gate-9"] {
        assert_eq!(stolen.publish(topic), Outcome::Forbidden, "{topic}");
    }
}

/// Else the bridge's queue would be anybody's who knows its client id.
#[test]
fn nobody_takes_the_bridges_session() {
    let plant = Plant::start();
    plant.client("bridge").subscribe(SESSION, "weir/#");
    let thief = plant.client("gate-2").with("-i", "bridge");
    assert_eq!(thief.publish("weir/line-1/gate-2/weight"), Outcome::Accepted);
    let topics = plant.client("bridge").topics(SESSION, "weir/#", 1);
    assert_eq!(topics, ["weir/line-1/gate-2/weight"]);
}

#[test]
fn only_what_no_agent_sends_is_too_large() {
    let plant = Plant::start();
    let publish = |bytes: usize| {
        let path = plant.path("payload");
        fs::write(&path, vec![b'x'; bytes]).expect("written");
        plant.client("gate-1").publish_with("weir/line-1/gate-1/weight", &["-f", &path])
    };
    assert_eq!(publish(1_048_576), Outcome::Accepted);
    assert_eq!(publish(1_048_577), Outcome::TooLarge);
}

#[test]
fn an_agent_with_its_certificate_sends_all() {
    let plant = Plant::start();
    plant.client("bridge").subscribe(SESSION, "weir/#");
    let security: String =
        [("ca-file", "ca.pem"), ("cert-file", "gate-1.pem"), ("key-file", "gate-1.key")]
            .map(|(setting, file)| format!("{setting} = {:?}\n", plant.path(file)))
            .concat();
    let config = plant.path("agent.toml");
    let text = format!(
        "device = \"gate-1\"\n[delivery]\nuntil = \"broker\"\n[mqtt]\nhost = \"localhost\"\nport = {}\n[mqtt.security]\n{security}",
        plant.port
    );
    fs::write(&config, text).expect("written");
    let arguments = ["--config", &config, "simulate", "--events", "3", "--speed", "max"];
    let (code, printed, log) = run("weir-agent", &arguments);
    assert_eq!(code, Some(0), "{log}");
    assert!(printed.contains("confirmed 6 "), "{printed}");
}

/// Files, and what the script refuses. Certificates that work are in the tests above.
#[test]
fn the_script_keeps_keys_private_and_overwrites_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("temporary folder");
    let out = folder.path().to_str().expect("UTF-8");
    let call = |what: &[&str]| certificates(&[["--out", out].as_slice(), what].concat());
    let refused = |what: &[&str], reason: &str| {
        let (made, errors) = call(what);
        assert!(!made && errors.contains(reason), "{what:?}: {errors}");
    };
    refused(&["device", "gate-1"], "make the authority first");
    assert!(call(&["ca"]).0);
    let made = fs::read(folder.path().join("ca.key")).expect("a key");
    refused(&["ca"], "exists, and is not overwritten");
    assert_eq!(fs::read(folder.path().join("ca.key")).expect("a key"), made);
    refused(&["device", "bridge"], "no name for a device");
    refused(&["device", "../gate"], "use letters");
    refused(&["device", "gate+"], "use letters");
    refused(&["--days", "0", "device", "gate-1"], "--days is a number above 0");
    assert!(call(&["device", "gate-1"]).0);
    refused(&["device", "gate-2", "gate-1"], "exists, and is not overwritten");
    let mode = |file: &str| {
        let file = fs::metadata(folder.path().join(file)).expect("it is there");
        file.permissions().mode() & 0o777
    };
    for key in ["ca.key", "gate-1.key"] {
        assert_eq!(mode(key), 0o600, "{key}");
    }
    let files: Vec<_> = fs::read_dir(folder.path()).expect("listed").collect();
    assert_eq!(files.len(), 4, "nothing is left over, and no device was made in part: {files:?}");
}
