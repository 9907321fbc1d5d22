//! The agent of another machine under qemu, against a real Mosquitto: plain, and over TLS with a certificate of its
//! own, so that the C and assembly of the cryptography run too. Then its spool, on a real disk ([`resend`]).
//!
//! [`Agent`] can be run with any arguments.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::broker::{Broker, DEVICE, Session};
use super::{Machine, emulated, resend};
use crate::services::{self, Server};
use crate::tools;
use crate::{output, report};

/// What 180 fish are: a measurement and a weight each.
pub(super) const EVENTS: u64 = 360;

pub(super) fn ensure_tools(machines: &[Machine]) -> Result<()> {
    tools::ensure(&[&tools::MOSQUITTO_CLIENTS])?;
    emulated::ensure(machines)
}

/// Runs each program. The servers that are started for it are stopped at the end.
pub(super) fn run(built: &[(Machine, PathBuf)]) -> Result<()> {
    let servers = services::up(&[Server::Mqtt, Server::MqttSecure])?;
    let checked = built.iter().try_for_each(|(machine, program)| {
        let agent = Agent { machine: *machine, program };
        let (plain, secure) =
            (Broker::plain(&servers.variables)?, Broker::secure(&servers.variables)?);
        for broker in [&plain, &secure] {
            let at = || format!("check {} at {}", machine.name(), broker.address);
            agent.send_all(broker).with_context(at)?;
        }
        // There the broker's rules must let confirmations through, too.
        resend::check(&agent, &secure)
            .with_context(|| format!("check the spool of {}", machine.name()))
    });
    checked.and(services::down(&servers.started))
}

/// The agent of a machine, which may be another one.
pub(super) struct Agent<'a> {
    pub(super) machine: Machine,
    program: &'a Path,
}

impl Agent<'_> {
    /// A command that runs it here, for this broker and line. Its arguments are still to be given.
    /// Its spool is in `state`.
    pub(super) fn command(&self, broker: &Broker, line: &str, state: &Path) -> Command {
        let mut command = emulated::command(self.machine, self.program);
        command.args(["--broker", &broker.address]).envs(broker.settings());
        command.env("WEIR__LINE", line).env("WEIR__DEVICE", DEVICE);
        command.env("STATE_DIRECTORY", state);
        command
    }

    /// A line that nobody else has.
    pub(super) fn line(&self, check: &str) -> String {
        format!("{check}-{}-{}", self.machine.name(), std::process::id())
    }

    /// The simulated fish arrive, all of them.
    fn send_all(&self, broker: &Broker) -> Result<()> {
        let began = Instant::now();
        let line = self.line("cross");
        let session = Session::begin(broker, &line)?;
        let state = tempfile::tempdir().context("make a folder")?;
        let mut command = self.command(broker, &line, state.path());
        // No bridge is there to confirm.
        command.env("WEIR__DELIVERY__UNTIL", "broker").args(["simulate", "--speed", "max"]);
        let printed = output(&mut command).context("run the agent")?;
        let confirmed = format!("confirmed {EVENTS} ");
        ensure!(printed.contains(&confirmed), "the agent says: {printed}");
        let received = receive(&session)?;
        for kind in ["measurement", "weight"] {
            let prefix = format!("weir/{line}/{DEVICE}/{kind} ");
            let count = received.iter().filter(|message| message.starts_with(&prefix)).count();
            ensure!(count as u64 == EVENTS / 2, "{count} of {} came as {kind}", EVENTS / 2);
        }
        report(&format!(
            "{:30} {EVENTS} events arrived{} in {:.1} s",
            self.machine.name(),
            broker.entry(),
            began.elapsed().as_secs_f64()
        ));
        Ok(())
    }
}

/// Different messages, as topic and payload, until all events are there: one may come twice.
fn receive(session: &Session<'_>) -> Result<BTreeSet<String>> {
    let arriving = session.messages("%t %p")?;
    let mut messages = BTreeSet::new();
    while (messages.len() as u64) < EVENTS {
        let message = arriving.next();
        messages.insert(
            message.with_context(|| {
                format!("after {} of {EVENTS} different messages", messages.len())
            })?,
        );
    }
    Ok(messages)
}
