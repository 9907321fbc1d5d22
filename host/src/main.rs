//! `weir-host`: arguments, configuration, signals; everything else is in the library.

use std::process::ExitCode;

use clap::Parser;
use weir_host::HostConfig;
use weir_host::cli::Arguments;
use weir_service::{shutdown_on_signals, start};

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
