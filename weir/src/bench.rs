//! `weir bench`: what the guarantees cost, measured against the bare parts in the same run.
//!
//! The programs are measured as processes, as they run at a plant; the bare parts are the MQTT library with nothing around it,
//! and the disk with nothing around it. Rounds alternate, so that what else the machine does meets both. Figures are
//! medians; all rounds are in the JSON.

mod bridge;
mod edge;
mod program;
mod scrape;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Arguments of `weir bench`.
#[derive(Args, Debug)]
#[command(after_help = "\
Build the programs as they are shipped first, and run all of it from there:
  cargo build --profile dist -p weir -p weir-agent -p weir-bridge
  target/dist/weir bench edge --mqtt localhost:1883
  target/dist/weir bench bridge --mqtt localhost:1883 --kafka localhost:9092")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// The agent: records to disk, and from there to a broker, against the bare disk and the bare MQTT client.
    Edge(edge::Arguments),
    /// The bridge from MQTT to Kafka, against a bare MQTT subscriber.
    Bridge(bridge::Arguments),
    /// The bare MQTT subscriber, as a process.
    #[command(hide = true)]
    Subscriber(bridge::SubscriberArguments),
}

/// Runs `weir bench`.
pub(crate) async fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.what {
        What::Edge(arguments) => edge::execute(&arguments).await?,
        What::Bridge(arguments) => bridge::execute(&arguments).await?,
        What::Subscriber(arguments) => bridge::subscribe(&arguments).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The middle of some figures.
fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
