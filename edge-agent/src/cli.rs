//! The command line of `weir-agent`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use weir_events::{Epoch, EventTime};
use weir_service::health::HealthServer;
use weir_service::{Clock, ConfigError, EXIT_FAILED, EXIT_USAGE, SystemClock, shutdown_on_signals};

use crate::backlog::Backlog;
use crate::config::{AgentConfig, DEFAULTS};
use crate::gate::{Pace, Speed};
use crate::progress::Progress;
use crate::run::{Parts, Report, run};
use crate::sampler::{AnySampler, Position, at_hand};
use crate::vitals::AgentVitals;
use crate::{read, replay, simulate, state};

const EXAMPLES: &str = "\
Examples:
  weir-agent --check-config
      Print the configuration as it would be used.
  weir-agent --broker 10.0.0.5:1883 simulate --events 180 --speed 60
      Simulate the fish line, 60 times faster than real time.
  weir-agent --config agent.toml simulate --forever --start now
      Simulate without end, in real time.
  weir-agent replay --measurements measurements.jsonl --weights weights.jsonl --speed max
      Send two files of JSON lines as fast as the broker takes them.
  weir-agent replay --csv fish.csv
      Send a table with a header, in real time.
  weir-agent read file /var/log/line.jsonl --follow
      Send lines of JSON as a machine writes them, over rotations of the file.
  weir-agent read tcp 7000 --format csv --columns Fish_Id,Species,Length,Height
      Send rows that programs of this machine write to port 7000.
  some-program | weir-agent read stdin --event measurement
      Send what a program prints.

Exit codes: 0 everything was confirmed, or is on disk for the next run; 1 failed, or something
was dropped; 2 usage; 78 configuration.";

/// Take samples at a machine and publish them over MQTT.
#[derive(Debug, Parser)]
#[command(name = "weir-agent", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// A TOML file that overrides single settings.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the configuration as it would be used, and end.
    #[arg(long)]
    pub check_config: bool,
    /// The broker, in place of mqtt.host and mqtt.port.
    #[arg(long, value_name = "HOST:PORT", value_parser = broker)]
    pub broker: Option<(String, u16)>,
    /// Where the samples come from.
    #[command(subcommand)]
    pub source: Option<Source>,
}

/// Where the samples come from.
#[derive(Debug, Subcommand)]
pub enum Source {
    /// The original pipeline's fish: 60 salmon, 60 walleye, 60 salmon, over and over.
    Simulate {
        /// How many fish pass; each is measured and then weighed.
        #[arg(long, default_value_t = simulate::SCENARIO, conflicts_with = "forever")]
        events: u64,
        /// Do not end.
        #[arg(long)]
        forever: bool,
        /// The same seed gives the same fish.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// When and how fast.
        #[command(flatten)]
        time: Time,
    },
    /// Recorded events.
    Replay {
        /// Where they are recorded.
        #[command(flatten)]
        files: Files,
        /// When and how fast.
        #[command(flatten)]
        time: Time,
    },
    /// Lines of a machine, as they come: from a file, a port or standard input.
    Read {
        /// How lines are read.
        #[command(flatten)]
        options: read::Options,
        /// Where they come from.
        #[command(subcommand)]
        source: read::Source,
    },
}

/// When and how fast.
#[derive(Debug, Args)]
pub struct Time {
    /// The first measurement's time, or now; in place of schedule.start. Without effect on recorded times.
    #[arg(long, value_name = "TIME", value_parser = start)]
    pub start: Option<Start>,
    /// How many times faster than real time, or max.
    #[arg(long, default_value = "1")]
    pub speed: Speed,
}

/// A time of the command line.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// The machine's clock, when the run starts.
    Now,
    /// This instant.
    At(EventTime),
}

/// Recorded events: a pair of files, or one table.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Files {
    /// JSON lines, one measurement each.
    #[arg(long, value_name = "FILE", requires = "weights", conflicts_with = "csv")]
    pub measurements: Option<PathBuf>,
    /// JSON lines, one weight each.
    #[arg(long, value_name = "FILE", requires = "measurements", conflicts_with = "csv")]
    pub weights: Option<PathBuf>,
    /// A table with a header: one row for a measurement and its weight.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

/// Does what the arguments ask for. Prints the counts on standard output.
///
/// # Errors
/// If the configuration or a file is unusable.
pub async fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut config: AgentConfig =
        weir_service::config::load(DEFAULTS, arguments.config.as_deref())?;
    if let Some((host, port)) = arguments.broker {
        config.mqtt.host = host;
        config.mqtt.port = port;
    }
    config.check()?;
    if arguments.check_config {
        print(&weir_service::config::show(&config)?);
        return Ok(ExitCode::SUCCESS);
    }
    let Some(source) = arguments.source else {
        let message = "say where the samples come from: simulate, replay or read";
        Arguments::command().error(ErrorKind::MissingSubcommand, message).print()?;
        return Ok(ExitCode::from(EXIT_USAGE));
    };
    let (epoch, seed) = random()?;
    let directory = config.spool_directory()?;
    if config.spool.directory.as_os_str().is_empty()
        && let Some(above) = directory.parent()
    {
        state::make(above).with_context(|| format!("make the folder {}", above.display()))?;
    }
    let record_max = config.limits.sample_bytes_max;
    let backlog = Backlog::open(&directory, &config.spool, record_max, epoch)
        .map_err(|error| ConfigError::value(format_args!("{:#}", anyhow::Error::from(error))))?;
    let (sampler, speed) = open(&mut config, source, backlog.position())?;
    let shutdown = shutdown_on_signals().context("listen for signals")?;
    let (gate, progress) = (Pace::new(speed), Progress::default());
    let health = HealthServer::bind(&config.health).await?;
    let vitals = Arc::new(AgentVitals(progress.clone()));
    let parts = Parts { backlog, sampler, gate, clock: None, progress, seed };
    let work = run(&config, parts, shutdown.clone());
    let report = health.attend(vitals, shutdown.clone(), work).await?;
    print(&summary(&report));
    Ok(if report.counts.dropped() == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

fn open(
    config: &mut AgentConfig,
    source: Source,
    resume: Position,
) -> anyhow::Result<(AnySampler, Speed)> {
    let now = SystemClock.now();
    let mut timing = |time: &Time| {
        match time.start {
            Some(Start::Now) => config.schedule.start = now,
            Some(Start::At(start)) => config.schedule.start = start,
            None => {}
        }
        config.timing()
    };
    Ok(match source {
        Source::Simulate { events, forever, seed, time } => {
            let count = (!forever).then_some(events);
            (at_hand(simulate::simulate(seed, count, timing(&time))), time.speed)
        }
        Source::Replay { files, time } => {
            let (timing, schema) = (timing(&time), config.schema()?);
            let clocks = replay::Clocks { timing, now };
            let sampler = match (files.csv, files.measurements, files.weights) {
                (Some(table), _, _) => at_hand(replay::table(&table, &schema, clocks)?),
                (None, Some(measurements), Some(weights)) => {
                    at_hand(replay::lines(&measurements, &weights, &schema, clocks)?)
                }
                _ => unreachable!("clap asks for a table or for both files"),
            };
            (sampler, time.speed)
        }
        Source::Read { options, source } => {
            let (schema, bytes_max) = (config.schema()?, config.limits.sample_bytes_max);
            let clock = Arc::new(SystemClock);
            (read::open(source, &options, resume, &schema, clock, bytes_max)?, Speed::Max)
        }
    })
}

/// What is different in every run.
fn random() -> anyhow::Result<(Epoch, u64)> {
    let (mut epoch, mut seed) = ([0; 16], [0; 8]);
    getrandom::fill(&mut epoch).context("draw random numbers")?;
    getrandom::fill(&mut seed).context("draw random numbers")?;
    Ok((Epoch::from_bytes(epoch), u64::from_le_bytes(seed)))
}

fn summary(report: &Report) -> String {
    let counts = report.counts;
    format!(
        "found {}  taken {}  confirmed {}  dropped {}  left {}  too large {}  sent {}  connections {}\n",
        counts.found,
        counts.taken,
        counts.acked,
        counts.dropped(),
        counts.held,
        counts.oversize,
        counts.published,
        counts.connections,
    )
}

#[expect(clippy::print_stdout, reason = "results go to standard output, logs to standard error")]
fn print(text: &str) {
    print!("{text}");
}

fn broker(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("write it as HOST:PORT")?;
    let port = port.parse().map_err(|_| "the port is a number from 1 to 65535".to_owned())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host.to_owned(), port))
}

fn start(text: &str) -> Result<Start, weir_events::TimeError> {
    match text {
        "now" => Ok(Start::Now),
        _ => text.parse().map(Start::At),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
        let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
        let arguments =
            parse("weir-agent --broker [::1]:1884 simulate --speed max").expect("valid");
        assert_eq!(arguments.broker, Some(("::1".to_owned(), 1884)));
        parse("weir-agent read file a --format csv --follow --poll 1s").expect("valid");
        parse("weir-agent read --event target tcp 7000 --idle 5m").expect("valid");
        for line in [
            "weir-agent replay",
            "weir-agent replay --measurements a",
            "weir-agent replay --csv a --measurements b --weights c",
            "weir-agent simulate --events 3 --forever",
            "weir-agent simulate --speed 0",
            "weir-agent --broker localhost simulate",
            "weir-agent read",
            "weir-agent read file a --from end",
            "weir-agent read tcp :7000",
            "weir-agent read tcp 7000 --clients-max 0",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
