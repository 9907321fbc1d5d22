//! Certificates, keys and passwords for the secured servers and their clients, right ones and wrong ones.
//!
//! They are made once by OpenSSL and kept: servers that run were started with them. They are for tests on
//! this machine; nothing else may trust them. That each is accepted or refused as it should be is tested
//! where the servers are (`e2e/tests/real/servers.rs`): without OpenSSL there are none.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::folder::{private_folder, remove, write_private};
use crate::tools;

const SETTINGS: &str = include_str!("../../services/secrets/openssl.cnf");

/// Longer than a checkout is used.
const DAYS: &str = "3650";
/// An authority signs nothing later than it began: such a certificate ended a day before it was made.
const EXPIRED: &str = "-1";

/// The authorities: the second signs nothing that a server trusts.
const AUTHORITIES: [(&str, &str); 2] =
    [("ca", "Weir test authority"), ("other-ca", "Another authority")];

/// A certificate with its key.
struct Certificate {
    file: &'static str,
    /// The common name. For Mosquitto it is the user.
    name: &'static str,
    purpose: &'static str,
    authority: &'static str,
    days: &'static str,
}

impl Certificate {
    const fn client(file: &'static str) -> Self {
        Self { file, name: file, purpose: "client", authority: "ca", days: DAYS }
    }
}

const CERTIFICATES: [Certificate; 6] = [
    Certificate { purpose: "server", ..Certificate::client("server") },
    Certificate::client("bridge"),
    Certificate::client("device-1"),
    Certificate::client("device-2"),
    Certificate { name: "device-1", days: EXPIRED, ..Certificate::client("expired") },
    Certificate { name: "device-1", authority: "other-ca", ..Certificate::client("stranger") },
];

/// The users of Mosquitto and of Kafka.
pub(super) const MQTT_USERS: [&str; 3] = ["bridge", "device-1", "device-2"];
pub(super) const KAFKA_USERS: [&str; 4] = ["admin", "bridge", "host", "trainer"];

/// The folder of the secrets.
#[derive(Debug)]
pub(super) struct Secrets {
    path: PathBuf,
}

impl Secrets {
    pub(super) fn new(home: &Path) -> Self {
        Self { path: home.join("secrets") }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A certificate, its key, or a password.
    pub(super) fn text(&self, name: &str) -> Result<String> {
        let path = self.file(name);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }

    pub(super) fn mqtt_password(&self, user: &str) -> Result<String> {
        self.text(&format!("mqtt-{user}.password"))
    }

    pub(super) fn kafka_password(&self, user: &str) -> Result<String> {
        self.text(&format!("kafka-{user}.password"))
    }

    /// Makes them, unless they are there.
    pub(super) fn make(&self) -> Result<()> {
        let complete = self.file("complete");
        if complete.exists() {
            return Ok(());
        }
        eprintln!("making certificates and passwords in {}", self.path.display());
        remove(&self.path)?;
        private_folder(&self.path)?;
        write_private(&self.file("openssl.cnf"), SETTINGS)?;
        for (file, name) in AUTHORITIES {
            self.authority(file, name)?;
        }
        for certificate in &CERTIFICATES {
            self.certificate(certificate)?;
        }
        let mqtt = MQTT_USERS.map(|user| format!("mqtt-{user}.password"));
        let kafka = KAFKA_USERS.map(|user| format!("kafka-{user}.password"));
        for file in mqtt.iter().chain(&kafka) {
            write_private(&self.file(file), &password()?)?;
        }
        self.close_to_others()?;
        write_private(&complete, "")
    }

    fn authority(&self, file: &str, name: &str) -> Result<()> {
        let mut command = self.openssl("req");
        command.args(["-x509", "-days", DAYS, "-extensions", "ca"]);
        self.new_key(&mut command, file, name).arg("-out").arg(self.file(&format!("{file}.pem")));
        execute(&mut command)
    }

    fn certificate(&self, certificate: &Certificate) -> Result<()> {
        let Certificate { file, name, purpose, authority, days } = certificate;
        let request = self.file(&format!("{file}.csr"));
        let mut command = self.openssl("req");
        command.arg("-new");
        execute(self.new_key(&mut command, file, name).arg("-out").arg(&request))?;

        let mut command = tools::command("openssl");
        command.args(["x509", "-req", "-days", days, "-extensions", purpose]);
        command.arg("-extfile").arg(self.file("openssl.cnf"));
        command.arg("-CA").arg(self.file(&format!("{authority}.pem")));
        command.arg("-CAkey").arg(self.file(&format!("{authority}.key")));
        command.arg("-in").arg(&request).arg("-out").arg(self.file(&format!("{file}.pem")));
        execute(&mut command)?;
        remove(&request)
    }

    fn openssl(&self, command: &str) -> Command {
        let mut openssl = tools::command("openssl");
        openssl.arg(command).arg("-config").arg(self.file("openssl.cnf"));
        openssl
    }

    /// Kafka reads no other form of key than this one, PKCS #8 without a password.
    fn new_key<'a>(&self, command: &'a mut Command, file: &str, name: &str) -> &'a mut Command {
        command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]);
        command.args(["-subj", &format!("/CN={name}")]);
        command.arg("-keyout").arg(self.file(&format!("{file}.key")))
    }

    /// OpenSSL protects only keys.
    fn close_to_others(&self) -> Result<()> {
        let close = || -> std::io::Result<()> {
            for entry in fs::read_dir(&self.path)? {
                fs::set_permissions(entry?.path(), fs::Permissions::from_mode(0o600))?;
            }
            Ok(())
        };
        close().with_context(|| format!("protect the files in {}", self.path.display()))
    }
}

fn execute(command: &mut Command) -> Result<()> {
    let output = command.stdout(Stdio::null()).output().context("run openssl")?;
    if !output.status.success() {
        bail!("run openssl ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// 24 bytes of the system's randomness, as text without a line end.
fn password() -> Result<String> {
    let mut bytes = [0; 24];
    let mut source = File::open("/dev/urandom").context("open /dev/urandom")?;
    source.read_exact(&mut bytes).context("read /dev/urandom")?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_never_the_same() {
        let first = password().unwrap();
        assert_eq!(first.len(), 48);
        assert!(first.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(first, password().unwrap());
    }
}
