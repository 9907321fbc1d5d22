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
    /// Fish on the lines of the tests with several hosts.
    #[arg(long, default_value_t = 120_000)]
    fish: u64,
    /// How many seconds the long run lasts.
    #[arg(long, default_value_t = 3_600)]
    seconds: u64,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    test::ensure_tools()?;
    let servers =
        services::up(&[Server::Kafka, Server::KafkaCluster, Server::Mqtt, Server::Mongodb])?;
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
        command.env("WEIR_FISH", arguments.fish.to_string());
        command.env("WEIR_SOAK", arguments.seconds.to_string());
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
    tests.args(["test", "--workspace", "--locked", "--features", test::SERVER_FEATURES]);
    tests.args(["--test", "faults", "--test", "hosts", "--"]);
    tests.args(["--nocapture", "--test-threads", "1"]).args(&arguments.filter);
    crate::execute(tests.current_dir(crate::workspace_root()?))
}
