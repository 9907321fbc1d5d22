//! The project's own chores: `cargo xtask COMMAND`. Users need one of them, `cargo xtask test`.

mod deploy;
mod guest;
mod test;
mod tidy;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

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
        Command::Tidy => tidy::run(),
        Command::Guest(arguments) => guest::run(&arguments),
        Command::Deploy => deploy::run(),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn workspace_root() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.parent().context("find the workspace above xtask")?;
    root.canonicalize().context("resolve the path of the workspace")
}

/// The cargo that runs this, so that all use one toolchain.
fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

#[expect(clippy::print_stdout, reason = "a command for people")]
fn report(line: &str) {
    println!("{line}");
}
