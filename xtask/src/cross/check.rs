//! The agent of another machine under qemu, against a real Mosquitto: plain, and over TLS with a certificate of its
//! own, so that the C and assembly of the cryptography run too.
//!
//! [`Agent`] can be run with any arguments; [`Session`] is a subscriber that misses nothing.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::{Machine, emulated};
use crate::services::{self, SECRETS, Server};
use crate::tools;
use crate::{execute, output, report};

/// What 180 fish are: a measurement and a weight each.
const EVENTS: usize = 360;
/// The device whose certificate the servers' secrets have.
const DEVICE: &str = "device-1";

pub(super) fn ensure_tools(machines: &[Machine]) -> Result<()> {
    tools::ensure(&[&tools::MOSQUITTO_CLIENTS])?;
    emulated::ensure(machines)
}

/// Runs each program. The servers that are started for it are stopped at the end.
pub(super) fn run(built: &[(Machine, PathBuf)]) -> Result<()> {
    let servers = services::up(&[Server::Mqtt, Server::MqttSecure])?;
    let checked = built.iter().try_for_each(|(machine, program)| {
        let agent = Agent { machine: *machine, program };
        for broker in [Broker::plain(&servers.variables), Broker::secure(&servers.variables)] {
            let broker = broker?;
            agent
                .send_all(&broker)
                .with_context(|| format!("check {} at {}", machine.name(), broker.address))?;
        }
        Ok(())
    });
    checked.and(services::down(&servers.started))
}

/// The agent of a machine, which may be another one.
struct Agent<'a> {
    machine: Machine,
    program: &'a Path,
}

impl Agent<'_> {
    /// A command that runs it here, for this broker and line. Its arguments are still to be given.
    /// Its spool is in `state`; no bridge is there to confirm.
    fn command(&self, broker: &Broker, line: &str, state: &Path) -> Command {
        let mut command = emulated::command(self.machine, self.program);
        command.args(["--broker", &broker.address]).envs(broker.settings());
        command.env("WEIR__LINE", line).env("WEIR__DEVICE", DEVICE);
        command.env("STATE_DIRECTORY", state).env("WEIR__DELIVERY__UNTIL", "broker");
        command
    }

    /// The simulated fish arrive, all of them.
    fn send_all(&self, broker: &Broker) -> Result<()> {
        let began = Instant::now();
        let line = format!("cross-{}-{}", self.machine.name(), std::process::id());
        let session = Session::begin(broker, &line)?;
        let state = tempfile::tempdir().context("make a folder")?;
        let mut command = self.command(broker, &line, state.path());
        command.args(["simulate", "--speed", "max"]);
        let printed = output(&mut command).context("run the agent")?;
        let confirmed = format!("confirmed {EVENTS} ");
        ensure!(printed.contains(&confirmed), "the agent says: {printed}");
        let received = session.receive(EVENTS)?;
        for kind in ["measurement", "weight"] {
            let prefix = format!("weir/{line}/{DEVICE}/{kind} ");
            let count = received.iter().filter(|message| message.starts_with(&prefix)).count();
            ensure!(count == EVENTS / 2, "{count} of {} came as {kind}", EVENTS / 2);
        }
        report(&format!(
            "{:30} {EVENTS} events arrived{} in {:.1} s",
            self.machine.name(),
            if broker.secrets.is_some() { " over TLS" } else { "" },
            began.elapsed().as_secs_f64()
        ));
        Ok(())
    }
}

/// A broker as a client finds it.
struct Broker {
    address: String,
    /// The folder of certificates, if it asks for one.
    secrets: Option<PathBuf>,
}

impl Broker {
    fn plain(variables: &[(String, String)]) -> Result<Self> {
        Ok(Self { address: variable(variables, "WEIR_TEST_MQTT")?, secrets: None })
    }

    fn secure(variables: &[(String, String)]) -> Result<Self> {
        let secrets = Some(variable(variables, SECRETS)?.into());
        Ok(Self { address: variable(variables, "WEIR_TEST_MQTT_SECURE")?, secrets })
    }

    /// The agent's settings for it.
    fn settings(&self) -> Vec<(&'static str, PathBuf)> {
        let Some(secrets) = &self.secrets else { return Vec::new() };
        vec![
            ("WEIR__MQTT__SECURITY__CA_FILE", secrets.join("ca.pem")),
            ("WEIR__MQTT__SECURITY__CERT_FILE", secrets.join(format!("{DEVICE}.pem"))),
            ("WEIR__MQTT__SECURITY__KEY_FILE", secrets.join(format!("{DEVICE}.key"))),
        ]
    }

    /// mosquitto_sub as the bridge.
    fn subscriber(&self) -> Result<Command> {
        let (host, port) = self.address.rsplit_once(':').context("read the broker's address")?;
        let mut command = tools::command("mosquitto_sub");
        command.args(["-h", host, "-p", port, "-q", "1"]);
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
struct Session<'a> {
    broker: &'a Broker,
    line: &'a str,
}

impl<'a> Session<'a> {
    /// Nothing that is published from now on is missed.
    fn begin(broker: &'a Broker, line: &'a str) -> Result<Self> {
        let session = Self { broker, line };
        execute(session.subscriber()?.arg("-E")).context("subscribe")?;
        Ok(session)
    }

    fn subscriber(&self) -> Result<Command> {
        let mut command = self.broker.subscriber()?;
        command.args(["-c", "-i", self.line, "-t", &format!("weir/{}/#", self.line)]);
        Ok(command)
    }

    /// Different messages, as topic and payload, until there are so many: one may come twice.
    fn receive(&self, count: usize) -> Result<BTreeSet<String>> {
        let mut command = self.subscriber()?;
        command.args(["-W", "60", "-F", "%t %p"]).stdout(Stdio::piped());
        let mut child = command.spawn().context("run mosquitto_sub")?;
        let printed = BufReader::new(child.stdout.take().context("read mosquitto_sub")?);
        let mut messages = BTreeSet::new();
        for line in printed.lines() {
            messages.insert(line.context("read mosquitto_sub")?);
            if messages.len() == count {
                break;
            }
        }
        // It may have ended.
        drop(child.kill());
        child.wait().context("wait for mosquitto_sub")?;
        ensure!(messages.len() == count, "{} of {count} messages arrived", messages.len());
        Ok(messages)
    }
}
