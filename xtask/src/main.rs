//! The project's own chores: `cargo xtask COMMAND`. Users need one of them, `cargo xtask test`.

mod command;
mod cross;
mod deploy;
mod docs;
mod fetched;
mod guest;
mod mutate;
mod package;
mod sbom;
mod services;
mod soak;
mod targets;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use command::Command;
use workspace::{cargo, execute, output, report, workspace_root};

/// Chores of the Weir workspace.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let Err(error) = Arguments::parse().command.run() else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
