//! A program of another machine, run here by qemu. One of this machine runs as it is.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::Machine;
use crate::tools::{self, Tool};

/// Sees to it that programs of these machines can be run.
pub(crate) fn ensure(machines: &[Machine]) -> Result<()> {
    let mut needed: Vec<&Tool> = Vec::new();
    if machines.iter().any(|machine| machine.target().is_some()) {
        needed.push(&tools::QEMU);
    }
    if machines.contains(&Machine::Armv7) {
        needed.push(&tools::ARMHF_LIBC);
    }
    tools::ensure(&needed)
}

/// A command that runs the program. Its arguments are still to be given.
pub(crate) fn command(machine: Machine, program: &Path) -> Command {
    let mut command = match machine {
        Machine::Aarch64 => tools::command("qemu-aarch64-static"),
        Machine::Armv7 => {
            let mut command = tools::command("qemu-arm-static");
            command.args(["-L", tools::ARMHF_ROOT]);
            command
        }
        Machine::Native => return Command::new(program),
    };
    command.arg(program);
    command
}
