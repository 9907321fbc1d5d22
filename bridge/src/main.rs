//! The command `weir-bridge`: arguments, configuration, signals. All else is in the library.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use weir_bridge::cli::Arguments;
use weir_bridge::{BridgeConfig, BridgeCounters, BridgeVitals};
use weir_service::health::HealthServer;
use weir_service::{SystemClock, config};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    weir_service::start("info", run(arguments))
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { config: file, check_config, mqtt, kafka } = arguments;
    let bridge = BridgeConfig::load(file.as_deref())?.with_addresses(mqtt.as_deref(), kafka)?;
    if check_config {
        bridge.check()?;
        let shown = config::show(&bridge)?;
        std::io::stdout().write_all(shown.as_bytes()).context("print the configuration")?;
        return Ok(ExitCode::SUCCESS);
    }
    let shutdown = weir_service::shutdown_on_signals().context("listen to signals")?;
    let counters = Arc::new(BridgeCounters::default());
    let health = HealthServer::bind(&bridge.health).await?;
    let vitals = Arc::new(BridgeVitals(Arc::clone(&counters)));
    let clock = Arc::new(SystemClock);
    let work = weir_bridge::run(bridge, clock, Default::default(), counters, shutdown.clone());
    health.attend(vitals, shutdown, work).await?;
    Ok(ExitCode::SUCCESS)
}
