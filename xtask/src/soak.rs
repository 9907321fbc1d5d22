//! `cargo xtask soak`: the fault tests with the standard load and many histories, one after the other.
//!
//! They print one line of JSON for each history; `cargo xtask test` runs the same tests with a small load.

use std::process::Command;

use anyhow::Result;

use crate::services::{self, Server};
use crate::test;

/// Options of `cargo xtask soak`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many histories each kind of fault goes through.
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Machines, and lines that each sends.
    #[arg(long, default_value = "20x5000")]
    load: String,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    test::ensure_tools()?;
    let servers = services::up(&[Server::Kafka, Server::Mqtt])?;
    let tested = soak(arguments, &servers.variables);
    let stopped = services::down(&servers.started);
    tested.and(stopped)
}

fn soak(arguments: &Arguments, variables: &[(String, String)]) -> Result<()> {
    let cargo = || {
        let mut command = Command::new(crate::cargo());
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.env("WEIR_LOAD", &arguments.load);
        command.env("WEIR_SEEDS", arguments.seeds.to_string());
        command
    };
    let mut programs = cargo();
    programs.args([
        "build",
        "--workspace",
        "--bins",
        "--locked",
        "--features",
        test::SERVER_FEATURES,
    ]);
    crate::execute(programs.current_dir(crate::workspace_root()?))?;
    let mut tests = cargo();
    tests.args([
        "test",
        "-p",
        "weir-e2e",
        "--locked",
        "--features",
        "servers",
        "--test",
        "faults",
        "--",
    ]);
    tests.args(["--nocapture", "--test-threads", "1"]).args(&arguments.filter);
    crate::execute(tests.current_dir(crate::workspace_root()?))
}
