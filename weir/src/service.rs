//! `weir agent`, `weir bridge` and `weir host`: the services under the command that people know.
//!
//! They stay programs of their own, so that a gateway has what it needs and no more. This process becomes the other: what a
//! supervisor sees, signals and exit codes, is the service's.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::anyhow;

#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// What the service is given; `--help` tells what that may be.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Becomes the program of this name. Returns only if there is none.
pub(crate) fn execute(name: &str, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let error = Command::new(program(name)).args(&arguments.arguments).exec();
    Err(anyhow!(
        "start {name}: {error}; it is a program of its own, beside `weir` or in the PATH. Build it with \
         `cargo build --release -p {name}`, or install Debian's package {name}"
    ))
}

/// The one beside this program, if there is one: it was built with it.
fn program(name: &str) -> PathBuf {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(name));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| name.into())
}
