//! The arguments of `weir`.

use clap::{Parser, Subcommand};

/// Predicts an expensive measurement from cheap ones on a factory line, sees when the model has gone
/// wrong, retrains, and puts the new model into service without losing an event.
#[derive(Parser, Debug)]
#[command(
    name = "weir",
    version,
    after_help = help()
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Examples, and what all exit codes mean.
fn help() -> String {
    format!("{EXAMPLES}\n\n{}", weir_service::exit_help())
}

const EXAMPLES: &str = "\
Examples:
  weir demo                          the whole loop in one process, nothing installed
  weir demo --scenario fishcatch     real fish: new species arrive and are learned
  weir topics create --kafka localhost:9092
  weir model train --csv train.csv --kafka localhost:9092
  weir tail --kafka localhost:9092   joined events as they come
  weir dead-letters list             what was refused, and why
  weir doctor --kafka localhost:9092 what is wrong with a line, and what to do
  weir bench --help                  how fast agent and bridge are on this machine";

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run the whole loop in one process, on embedded brokers or on real servers.
    Demo(Box<crate::demo::Arguments>),
    /// Send what machines measure to an MQTT broker: runs weir-agent.
    Agent(crate::service::Arguments),
    /// Forward events from MQTT to Kafka: runs weir-bridge.
    Bridge(crate::service::Arguments),
    /// Predict, join, watch and retrain: runs weir-host.
    Host(crate::service::Arguments),
    /// Make and look at model versions.
    Model(crate::model::Arguments),
    /// Make the topics in Kafka that a line needs, or check them.
    Topics(crate::topics::Arguments),
    /// Show joined events as they come: predicted, measured, error.
    Tail(crate::tail::Arguments),
    /// Measure agent and bridge against the bare parts.
    Bench(crate::bench::Arguments),
    /// Look at what was refused, and send it again after a fix.
    DeadLetters(Box<crate::dead_letters::Arguments>),
    /// Find out whether a line can work, and what to do where it cannot.
    Doctor(crate::doctor::Arguments),
    /// Say whether files of settings can be used.
    CheckConfig(crate::check_config::Arguments),
    /// Print a script that completes commands in a shell.
    Completions(crate::manual::Completions),
    /// Write man pages.
    Man(crate::manual::Man),
}
