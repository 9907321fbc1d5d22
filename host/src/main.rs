//! `weir-host`: arguments, configuration, signals; everything else is in the library.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use weir_host::HostConfig;
use weir_service::{shutdown_on_signals, start};

/// Predicts, joins, stores, watches and retrains; what exactly, the configuration says.
#[derive(Parser, Debug)]
#[command(
    version,
    after_help = "\
Examples:
  weir-host                                  all roles, Kafka on 127.0.0.1:9092
  weir-host --kafka kafka:9092 --config line.toml
  weir-host --check-config > weir-host.toml  the settings in use, as a file to start from"
)]
struct Arguments {
    /// Settings that differ from the defaults (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Kafka's address; wins over the configuration.
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Print the settings in use and end.
    #[arg(long)]
    check_config: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start("info", async move {
        let mut config = HostConfig::load(arguments.config.as_deref())?;
        if let Some(brokers) = arguments.kafka {
            config.kafka.brokers = brokers;
        }
        if arguments.check_config {
            config.check_store()?;
            if config.names_keys() {
                config.check_trust()?;
            } else {
                eprintln!(
                    "warning: no keys are set, and without them a host does not start: see [trust]"
                );
            }
            use std::io::Write as _;
            std::io::stdout().write_all(weir_service::config::show(&config)?.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        weir_host::serve(config, shutdown_on_signals()?).await?;
        Ok(ExitCode::SUCCESS)
    })
}
