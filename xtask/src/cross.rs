//! `cargo xtask cross`: the agent for the machines that gateways are, and whether it works there.
//!
//! Zig is the C compiler and linker for all of them (ring has C and assembly), and cargo-zigbuild drives it. Both
//! come as Python packages into a folder under `target/`; no cross toolchain is installed. With `--check`
//! the programs run under qemu against a real Mosquitto ([`check`]).

mod broker;
mod check;
mod elf;
pub(crate) mod emulated;
mod resend;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::workspace::Metadata;
use crate::{cargo, execute, fetched, report, targets};
use elf::Linkage;

const PACKAGES: [&str; 2] = ["ziglang==0.15.2", "cargo-zigbuild==0.24.1"];

/// The oldest glibc that the agent for ARMv7 runs with: Debian 10 has it. Zig has the symbols of each.
const GLIBC: &str = "2.28";

/// Options of `cargo xtask cross`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to build for; all if none is named.
    machines: Vec<Choice>,
    /// Runs each under emulation, too, against a Mosquitto that `cargo xtask services` starts: 180 fish must arrive, and
    /// what was sent by an agent that is killed must come again.
    #[arg(long)]
    check: bool,
}

/// What to build for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Choice {
    /// 64-bit ARM, static: runs on any Linux.
    Aarch64,
    /// 32-bit ARM with hard floats, with the system's glibc.
    Armv7,
    /// The machine that builds, for comparison.
    Native,
    /// All of them.
    All,
}

/// What an agent runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Machine {
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM with hard floats.
    Armv7,
    /// The machine that builds.
    Native,
}

impl Choice {
    fn machines(self) -> &'static [Machine] {
        match self {
            Self::Aarch64 => &[Machine::Aarch64],
            Self::Armv7 => &[Machine::Armv7],
            Self::Native => &[Machine::Native],
            Self::All => &Machine::ALL,
        }
    }
}

impl Machine {
    const ALL: [Self; 3] = [Self::Aarch64, Self::Armv7, Self::Native];

    /// Rust's name for it; none for the machine that builds.
    pub(crate) fn target(self) -> Option<&'static str> {
        match self {
            Self::Aarch64 => Some("aarch64-unknown-linux-musl"),
            Self::Armv7 => Some("armv7-unknown-linux-gnueabihf"),
            Self::Native => None,
        }
    }

    fn name(self) -> &'static str {
        self.target().unwrap_or("native")
    }
}

/// The machines that are meant, each once.
fn meant(choices: &[Choice]) -> Vec<Machine> {
    let chosen =
        |machine: &Machine| choices.iter().any(|choice| choice.machines().contains(machine));
    Machine::ALL.into_iter().filter(|machine| choices.is_empty() || chosen(machine)).collect()
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = crate::workspace_root()?;
    let machines = meant(&arguments.machines);
    if arguments.check {
        // Before minutes are spent on builds.
        check::ensure_tools(&machines)?;
    }
    let mut built = Vec::new();
    for machine in machines {
        built.push((machine, build(&root, machine)?));
    }
    for (machine, program) in &built {
        let bytes = fs::read(program).with_context(|| format!("read {}", program.display()))?;
        let linkage = elf::linkage(&bytes)
            .with_context(|| format!("find how {} is linked", program.display()))?;
        ensure!(
            *machine != Machine::Aarch64 || linkage == Linkage::Static,
            "{} is not static: it would not run on every Linux",
            program.display()
        );
        report(&format!("{:30} {:>9} bytes  {linkage}", machine.name(), bytes.len()));
    }
    if arguments.check { check::run(&built) } else { Ok(()) }
}

/// Builds the agent as it is shipped. Returns the program's path.
pub(crate) fn build(root: &Path, machine: Machine) -> Result<PathBuf> {
    let mut command = match machine.target() {
        None => Command::new(cargo()),
        Some(target) => {
            targets::ensure(root, target)?;
            let programs = fetched::from_python(root, "cross-tools", &PACKAGES)?;
            let mut command = Command::new(programs.join("cargo-zigbuild"));
            command.env("PATH", first_in_path(&programs)?);
            command
        }
    };
    let build = if machine.target().is_some() { "zigbuild" } else { "build" };
    command.args([build, "--locked", "--profile", "edge", "--package", "weir-agent"]);
    match machine {
        Machine::Armv7 => command.args(["--target", &format!("{}.{GLIBC}", machine.name())]),
        Machine::Aarch64 => command.args(["--target", machine.name()]),
        Machine::Native => &mut command,
    };
    execute(command.current_dir(root))?;
    let folder = Metadata::read(root)?.target_folder()?.join(machine.target().unwrap_or_default());
    Ok(folder.join("edge/weir-agent"))
}

/// The PATH with this folder before all others: cargo-zigbuild asks the first Python for Zig.
fn first_in_path(folder: &Path) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("put the tools into PATH")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_machine_is_built_for_once() {
        assert_eq!(meant(&[]), Machine::ALL);
        assert_eq!(meant(&[Choice::All, Choice::Armv7]), Machine::ALL);
        assert_eq!(meant(&[Choice::Armv7, Choice::Armv7]), [Machine::Armv7]);
    }
}
