//! The project's own chores: `cargo xtask COMMAND`. Users need one of them, `cargo xtask test`.

mod deploy;
mod guest;
mod services;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use workspace::{cargo, report, workspace_root};

/// Chores of the Weir workspace.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every test.
    Test(test::Arguments),
    /// Starts and stops the real servers that tests need.
    Services {
        #[command(subcommand)]
        action: services::Action,
    },
    /// Looks for the programs that tests and servers need; as root on Debian, installs what is missing.
    Tools,
    /// Checks the boundaries between crates, and the rules for files and manifests.
    Tidy,
    /// Builds the model template, `model-wasm/template.wasm`.
    Guest(guest::Arguments),
    /// Checks docker-compose.yml and Dockerfile with Docker Compose and hadolint; needs no engine.
    Deploy,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Test(arguments) => test::run(&arguments),
        Command::Services { action } => services::run(&action),
        Command::Tools => test::ensure_tools(),
        Command::Tidy => tidy::run(),
        Command::Guest(arguments) => guest::run(&arguments),
        Command::Deploy => deploy::run(),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
