//! Mosquitto, one process for each way to get in, so that clients of one do not meet those of another.
//!
//! Devices are told apart by user name; what each may do is in the ACL file that the compose file has too.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::folder::Folder;
use super::home::Home;
use super::ports::free_ports;
use super::secrets::{MQTT_USERS, Secrets};
use crate::tools;

/// How a client shows who it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// Not at all, and without TLS.
    Anonymous,
    /// By a certificate; its common name is the user.
    Certificate,
    /// By user and password, over TLS.
    Password,
}

/// What all have. Mosquitto's default limit of 1,000 queued messages drops what is above it, without a word.
const SETTINGS: &str = "\
persistence false
max_queued_messages 0
max_queued_bytes 67108864
max_packet_size 10485760
# Who starts as root stays it: nobody else may read the secrets.
user root
log_dest stdout
log_type error
log_type warning
log_type notice
";

/// Starts it. Returns its address.
pub(super) fn start(home: &Home, folder: &Folder, entry: Entry) -> Result<Vec<String>> {
    let [port] = free_ports()?;
    let passwords = folder.path("passwords");
    if entry == Entry::Password {
        write_passwords(folder, &home.secrets, &passwords)?;
    }
    let acl = home.root.join("deploy/compose/mosquitto.acl");
    let text = settings(entry, port, &home.secrets, &acl, &passwords);
    let file = folder.write("mosquitto.conf", &text)?;
    folder.start("mosquitto", tools::command("mosquitto").arg("-c").arg(file))?;
    let mut probe = probe(entry, port, &home.secrets)?;
    folder.await_answer(|| probe.status().is_ok_and(|status| status.success()))?;
    Ok(vec![format!("127.0.0.1:{port}")])
}

fn settings(entry: Entry, port: u16, secrets: &Secrets, acl: &Path, passwords: &Path) -> String {
    let tls = || {
        let file = |name| secrets.file(name);
        format!(
            "allow_anonymous false\nacl_file {}\ncafile {}\ncertfile {}\nkeyfile {}\n",
            acl.display(),
            file("ca.pem").display(),
            file("server.pem").display(),
            file("server.key").display(),
        )
    };
    let who = match entry {
        Entry::Anonymous => "allow_anonymous true\n".to_owned(),
        Entry::Certificate => tls() + "require_certificate true\nuse_identity_as_username true\n",
        Entry::Password => format!("{}password_file {}\n", tls(), passwords.display()),
    };
    format!("listener {port} 127.0.0.1\n{who}{SETTINGS}")
}

/// Mosquitto keeps hashes: its own tool makes them of the passwords in the file.
fn write_passwords(folder: &Folder, secrets: &Secrets, passwords: &Path) -> Result<()> {
    let mut text = String::new();
    for user in MQTT_USERS {
        text += &format!("{user}:{}\n", secrets.mqtt_password(user)?);
    }
    folder.write("passwords", &text)?;
    let mut command = tools::command("mosquitto_passwd");
    folder.run("mosquitto_passwd", command.arg("-U").arg(passwords)).context("hash the passwords")
}

/// A client that sends a message which nobody reads, and waits for its acknowledgement.
fn probe(entry: Entry, port: u16, secrets: &Secrets) -> Result<Command> {
    let mut command = tools::command("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1"]);
    command.args(["-t", "weir-ack/none/none", "-n"]);
    if entry != Entry::Anonymous {
        command.arg("--cafile").arg(secrets.file("ca.pem"));
    }
    match entry {
        Entry::Anonymous => {}
        Entry::Certificate => {
            command.arg("--cert").arg(secrets.file("bridge.pem"));
            command.arg("--key").arg(secrets.file("bridge.key"));
        }
        Entry::Password => {
            command.args(["-u", "bridge", "-P", &secrets.mqtt_password("bridge")?]);
        }
    }
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(entry: Entry) -> Vec<String> {
        let secrets = Secrets::new(Path::new("/s"));
        let text = settings(entry, 1884, &secrets, Path::new("/weir.acl"), Path::new("/passwords"));
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn only_the_plain_listener_lets_anybody_in() {
        let has = |entry, line: &str| lines(entry).iter().any(|found| found == line);
        assert!(has(Entry::Anonymous, "allow_anonymous true"));
        for entry in [Entry::Certificate, Entry::Password] {
            assert!(has(entry, "allow_anonymous false"), "{entry:?}");
            assert!(has(entry, "acl_file /weir.acl"), "{entry:?}");
            assert!(has(entry, "keyfile /s/secrets/server.key"), "{entry:?}");
            assert_eq!(has(entry, "require_certificate true"), entry == Entry::Certificate);
            assert_eq!(has(entry, "password_file /passwords"), entry == Entry::Password);
        }
    }

    #[test]
    fn every_listener_is_on_the_loopback_and_queues_without_a_count() {
        for entry in [Entry::Anonymous, Entry::Certificate, Entry::Password] {
            let lines = lines(entry);
            let listeners: Vec<_> =
                lines.iter().filter(|line| line.starts_with("listener")).collect();
            assert_eq!(listeners, ["listener 1884 127.0.0.1"]);
            assert!(lines.iter().any(|line| line == "max_queued_messages 0"));
        }
    }
}
