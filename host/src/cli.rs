//! The command line of `weir-host`.

use std::path::PathBuf;

use clap::Parser;

/// Predicts, joins, stores, watches and retrains; what exactly, the configuration says.
#[derive(Parser, Debug)]
#[command(
    name = "weir-host",
    version,
    after_help = "\
Examples:
  weir-host                                  all roles, Kafka on 127.0.0.1:9092
  weir-host --kafka kafka:9092 --config line.toml
  weir-host --check-config > weir-host.toml  the settings in use, as a file to start from

Exit codes: 0 ended by a signal, 1 failed, 2 wrong arguments, 78 wrong configuration."
)]
pub struct Arguments {
    /// Settings that differ from the defaults (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Kafka's address; wins over the configuration.
    #[arg(long, value_name = "HOST:PORT")]
    pub kafka: Option<String>,
    /// Print the settings in use and end.
    #[arg(long)]
    pub check_config: bool,
}
