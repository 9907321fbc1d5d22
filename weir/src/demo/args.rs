//! The arguments of `weir demo`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;
use weir_agent::Speed;
use weir_events::EventTime;

/// A fixed instant in the past: with the default lead, twelve rows are joined in the first minute.
const START: &str = "2026-01-05T08:00:26Z";

/// Runs the whole loop in one process, with nothing installed unless --config names servers: simulated machines, an MQTT broker, the
/// bridge, a Kafka broker, prediction, join, drift detection, retraining and the swap to the new model.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  weir demo                                   60 salmon, 60 walleye, 60 salmon, 20 times faster than real
  weir demo --speed 1                         in real time, a fish every two seconds
  weir demo --speed 1 --listen 127.0.0.1:8080 with a page to look at, and to act on
  weir demo --scenario fishcatch              real fish of seven species
  weir demo --events 50000 --speed max        load; the scenario repeats
  weir demo --lockstep --seed 7 --json        repeatable to the last bit, for programs
  weir demo --train train.csv --csv line.csv  your own data; as JSON: --measurements m.jsonl --weights w.jsonl
  weir demo --config line.toml ...            another formula, other columns
  weir demo --config servers.toml             on Mosquitto, Apache Kafka and MongoDB

The file of --config has the section [schema], and [agent], [bridge] and [host], each with the settings of
weir-agent, weir-bridge and weir-host that differ from their defaults:

  [schema]
  formula = \"Energy ~ Temperature + Load + Machine\"
  factor = \"Machine\"         # the term that is text
  key = [\"Reading\"]          # joins a measurement with its target
  timestamp = \"At\"

The brokers are embedded, and forget everything at the end, unless the file names servers or a run:

  run = \"try-1\"              # topics demo-try-1-*, database demo-try-1 stay; without it they are removed
  [agent.mqtt]
  host = \"mosquitto.example\"
  [bridge.mqtt]
  host = \"mosquitto.example\"
  [bridge.kafka]
  brokers = \"kafka.example:9092\"
  [host.kafka]
  brokers = \"kafka.example:9092\"
  [host.store]
  uri = \"mongodb://mongodb.example\"

Exit codes: 0 every event is accounted for, 1 not, or the run failed, 2 wrong arguments or files,
78 wrong configuration.")]
pub(crate) struct Arguments {
    /// What the machines send, if no files are given.
    #[arg(long, value_enum, default_value_t = Scenario::Line, conflicts_with_all = ["measurements", "train"])]
    pub(crate) scenario: Scenario,
    /// How many times faster than real time; 1 is a fish every two seconds; `max` waits for nothing.
    #[arg(long, default_value = "20", value_name = "N")]
    pub(crate) speed: Speed,
    /// How many simulated fish; the scenario repeats.
    #[arg(long, default_value_t = 180, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) events: u64,
    /// What the simulated fish are drawn from.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Own data as one table with a header: a row holds a measurement and its weight.
    #[arg(long, value_name = "FILE", requires = "train", conflicts_with = "scenario")]
    pub(crate) csv: Option<PathBuf>,
    /// Own measurements: JSON lines {"Species","Fish_Id","Length","Height"[,"Timestamp"]}, or the schema's fields.
    #[arg(long, value_name = "FILE", requires = "weights", conflicts_with = "csv")]
    pub(crate) measurements: Option<PathBuf>,
    /// Own weights, or whatever is predicted: JSON lines {"Species","Fish_Id","Weight"[,"Timestamp"]}.
    #[arg(long, value_name = "FILE", requires = "measurements", conflicts_with = "csv")]
    pub(crate) weights: Option<PathBuf>,
    /// Initial training set: CSV with a header; names without regard to case, other columns ignored.
    #[arg(long, value_name = "FILE")]
    pub(crate) train: Option<PathBuf>,
    /// Event time of the first measurement, where the data carry none.
    #[arg(long, default_value = START, value_name = "TIMESTAMP")]
    pub(crate) start: EventTime,
    /// By how many measurements a weight lags behind its measurement, where the data carry no times.
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) lead: u32,
    /// Settings that differ from the defaults: the schema, and servers to run on instead of embedded ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Send an event only when the one before has had all its consequences: repeatable to the last bit.
    #[arg(long)]
    pub(crate) lockstep: bool,
    /// Partitions of the topics that are read in parallel.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=64))]
    pub(crate) partitions: i32,
    /// Show the run as it goes on a page at this address, and leave it there until Ctrl-C: 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = page_address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where to write error.svg, error.png and every version's component [default: weir-out, nothing with
    /// --json].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print one JSON object instead of progress and table; `full` adds every prediction.
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "summary")]
    pub(crate) json: Option<Json>,
}

/// An address that can be typed into a browser: with a port that is known before.
fn page_address(text: &str) -> Result<SocketAddr, String> {
    match text.parse() {
        Ok(address) if SocketAddr::port(&address) > 0 => Ok(address),
        _ => Err("it is an IP address with a port, such as 127.0.0.1:8080".to_owned()),
    }
}

/// What the machines send.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Scenario {
    /// 60 salmon, 60 walleye, 60 salmon; simulated.
    Line,
    /// 159 fish of seven species caught in a Finnish lake, measured in 1917.
    Fishcatch,
}

/// How much JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Json {
    /// Counts, windows and versions.
    Summary,
    /// And every prediction.
    Full,
}
