//! The broker of a check as a client finds it, and Mosquitto's own clients in the place of a bridge.
//!
//! They run as the user `bridge` where the broker asks who they are. Whatever is started here ends with its owner.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::services::SECRETS;
use crate::{execute, tools};

/// The device whose certificate the servers' secrets have.
pub(super) const DEVICE: &str = "device-1";
/// How long something that must come is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A broker as a client finds it.
pub(super) struct Broker {
    pub(super) address: String,
    /// The folder of certificates, if it asks for one.
    secrets: Option<PathBuf>,
}

impl Broker {
    pub(super) fn plain(variables: &[(String, String)]) -> Result<Self> {
        Ok(Self { address: variable(variables, "WEIR_TEST_MQTT")?, secrets: None })
    }

    pub(super) fn secure(variables: &[(String, String)]) -> Result<Self> {
        let secrets = Some(variable(variables, SECRETS)?.into());
        Ok(Self { address: variable(variables, "WEIR_TEST_MQTT_SECURE")?, secrets })
    }

    /// How it is reached, for the reader.
    pub(super) fn entry(&self) -> &'static str {
        if self.secrets.is_some() { " over TLS" } else { "" }
    }

    /// The agent's settings for it.
    pub(super) fn settings(&self) -> Vec<(&'static str, PathBuf)> {
        let Some(secrets) = &self.secrets else { return Vec::new() };
        vec![
            ("WEIR__MQTT__SECURITY__CA_FILE", secrets.join("ca.pem")),
            ("WEIR__MQTT__SECURITY__CERT_FILE", secrets.join(format!("{DEVICE}.pem"))),
            ("WEIR__MQTT__SECURITY__KEY_FILE", secrets.join(format!("{DEVICE}.key"))),
        ]
    }

    /// A client of Mosquitto's as the bridge: MQTT 5, for the user properties.
    fn client(&self, program: &str) -> Result<Command> {
        let (host, port) = self.address.rsplit_once(':').context("read the broker's address")?;
        let mut command = tools::command(program);
        command.args(["-V", "mqttv5", "-h", host, "-p", port, "-q", "1"]);
        if let Some(secrets) = &self.secrets {
            command.arg("--cafile").arg(secrets.join("ca.pem"));
            command.arg("--cert").arg(secrets.join("bridge.pem"));
            command.arg("--key").arg(secrets.join("bridge.key"));
        }
        Ok(command)
    }
}

fn variable(variables: &[(String, String)], name: &str) -> Result<String> {
    let found = variables.iter().find(|(found, _)| found == name);
    found.map(|(_, value)| value.clone()).with_context(|| format!("find {name}"))
}

/// What the broker keeps of a line's events for a subscriber.
pub(super) struct Session<'a> {
    broker: &'a Broker,
    line: &'a str,
}

impl<'a> Session<'a> {
    /// Nothing that is published from now on is missed.
    pub(super) fn begin(broker: &'a Broker, line: &'a str) -> Result<Self> {
        let session = Self { broker, line };
        execute(session.subscriber()?.arg("-E")).context("subscribe")?;
        Ok(session)
    }

    fn subscriber(&self) -> Result<Command> {
        let mut command = self.broker.client("mosquitto_sub")?;
        // The session outlives its connection by these seconds.
        command.args(["-c", "-x", "3600", "-i", self.line]);
        command.args(["-t", &format!("weir/{}/#", self.line)]);
        Ok(command)
    }

    /// The messages in mosquitto_sub's format, a line each.
    pub(super) fn messages(&self, format: &str) -> Result<Messages> {
        let mut command = self.subscriber()?;
        let child = command.args(["-F", format]).stdout(Stdio::piped()).spawn();
        let mut program = Running(child.context("run mosquitto_sub")?);
        let printed = program.0.stdout.take().context("read mosquitto_sub")?;
        let (sender, lines) = mpsc::channel();
        // It ends with what it reads from.
        std::thread::spawn(move || {
            let lines = BufReader::new(printed).lines();
            lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Messages { lines, _program: program })
    }

    /// Where a bridge confirms.
    pub(super) fn confirmations(&self) -> Result<Confirmations> {
        let mut command = self.broker.client("mosquitto_pub")?;
        command.args(["-t", &format!("weir-ack/{}/{DEVICE}", self.line), "-l"]);
        let mut program =
            Running(command.stdin(Stdio::piped()).spawn().context("run mosquitto_pub")?);
        let input = program.0.stdin.take().context("write to mosquitto_pub")?;
        Ok(Confirmations { input, _program: program })
    }
}

/// A subscriber that runs.
pub(super) struct Messages {
    lines: Receiver<String>,
    _program: Running,
}

impl Messages {
    /// The next one, if it comes in this time.
    pub(super) fn next_within(&self, time: Duration) -> Result<Option<String>> {
        match self.lines.recv_timeout(time) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("mosquitto_sub has ended"),
        }
    }

    /// The next one, which must come.
    pub(super) fn next(&self) -> Result<String> {
        let line = self.next_within(PATIENCE)?;
        line.with_context(|| format!("no further message in {PATIENCE:?}"))
    }
}

/// A publisher that runs, and sends each line as a message.
pub(super) struct Confirmations {
    input: ChildStdin,
    _program: Running,
}

impl Confirmations {
    pub(super) fn send(&mut self, payload: &str) -> Result<()> {
        writeln!(self.input, "{payload}").context("write to mosquitto_pub")
    }
}

/// A process that is killed, with SIGKILL, when nobody has it any more.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
