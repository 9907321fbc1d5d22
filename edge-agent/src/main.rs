//! `weir-agent`: takes samples at a machine and publishes them over MQTT.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = weir_agent::cli::Arguments::parse();
    weir_service::start_small("info", weir_agent::cli::execute(arguments))
}
