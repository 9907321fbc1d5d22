//! The command line of `weir-bridge`.

use std::path::PathBuf;

use clap::Parser;

/// Forwards measurements from an MQTT 5 broker to Kafka and acknowledges them when Kafka has them.
#[derive(Parser, Debug)]
#[command(
    name = "weir-bridge",
    version,
    after_help = "\
Examples:
  weir-bridge --mqtt localhost:1883 --kafka localhost:9092
  weir-bridge --config /etc/weir/bridge.toml
  WEIR__KAFKA__BROKERS=kafka-1:9092,kafka-2:9092 weir-bridge
  weir-bridge --check-config > bridge.toml   # every setting with its present value

Exit codes: 0 ended by a signal, 1 failed, 2 wrong arguments, 78 wrong configuration."
)]
pub struct Arguments {
    /// Settings that differ from the defaults, as TOML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Prints the configuration as it would be used, and ends
    #[arg(long)]
    pub check_config: bool,
    /// The MQTT broker; wins over the configuration
    #[arg(long, value_name = "HOST:PORT")]
    pub mqtt: Option<String>,
    /// The Kafka brokers, separated by commas; win over the configuration
    #[arg(long, value_name = "HOST:PORT,...")]
    pub kafka: Option<String>,
}
