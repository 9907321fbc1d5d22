//! What is read and how, as the command line says it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use humantime_serde::re::humantime::parse_duration;

/// How lines are read.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// What a line is.
    #[arg(long, value_enum, default_value_t = Format::Json, global = true)]
    pub format: Format,
    /// The columns of a table whose lines are all rows; without it the first line of a file or connection names them.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', global = true)]
    pub columns: Vec<String>,
    /// What a line is about. auto: a target if it has the schema's target field, else a measurement.
    #[arg(long, value_enum, default_value_t = EventChoice::Auto, global = true)]
    pub event: EventChoice,
}

/// What a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// A JSON object. It is sent byte for byte.
    Json,
    /// A row of a table: no line break within quotes. It is sent as a JSON object.
    Csv,
}

/// What a line is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum EventChoice {
    /// Measurements.
    Measurement,
    /// Targets.
    Target,
    /// Each line says it by its fields.
    Auto,
}

/// Where lines come from.
#[derive(Clone, Debug, Subcommand)]
pub enum Source {
    /// Standard input. Ends with it. What is in the pipe when the agent dies is lost.
    Stdin,
    /// A file: to its end, or as it grows and is rotated, each line once.
    File(FileSource),
    /// Connections to a port, line by line. Does not end. Nothing is answered: a client never learns whether a
    /// line was taken, and what is in the connection when the agent dies is lost. A machine that must not lose
    /// anything writes a file.
    Tcp(TcpSource),
}

/// A file.
#[derive(Clone, Debug, Args)]
pub struct FileSource {
    /// The file.
    pub path: PathBuf,
    /// Do not end: wait for lines, and go on with the next file when this one is renamed (NAME.1, NAME-20260105) or
    /// truncated. The file need not be there yet.
    #[arg(long)]
    pub follow: bool,
    /// Where to begin if no event of the file has been taken yet.
    #[arg(long, value_enum, default_value_t = From::Start, requires = "follow")]
    pub from: From,
    /// How often to look for more.
    #[arg(long, value_name = "DURATION", default_value = "250ms", requires = "follow", value_parser = pause)]
    pub poll: Duration,
}

/// Where to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum From {
    /// With the first line.
    Start,
    /// With the first line that begins after the agent.
    End,
}

/// A port.
#[derive(Clone, Debug, Args)]
pub struct TcpSource {
    /// Where to listen; a port alone is one of this machine only (127.0.0.1).
    #[arg(value_name = "[ADDR:]PORT", value_parser = address)]
    pub address: String,
    /// How many clients may be connected; others wait.
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub clients_max: u16,
    /// Disconnect a client that has sent nothing for so long. Without it only the system's keep-alive ends
    /// connections whose machine is gone, after hours.
    #[arg(long, value_name = "DURATION", value_parser = pause)]
    pub idle: Option<Duration>,
}

fn pause(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(pause) if pause.is_zero() => Err("it is 0".to_owned()),
        Ok(pause) => Ok(pause),
        Err(error) => Err(error.to_string()),
    }
}

fn address(text: &str) -> Result<String, String> {
    let port = |port: &str| {
        port.parse::<u16>().map_err(|_| "the port is a number from 0 to 65535".to_owned())
    };
    match text.rsplit_once(':') {
        None => port(text).map(|port| format!("127.0.0.1:{port}")),
        Some(("", _)) => Err("write it as PORT or ADDR:PORT, such as 0.0.0.0:7000".to_owned()),
        Some((_, digits)) => port(digits).map(|_| text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_local() {
        assert_eq!(address("7000").expect("a port"), "127.0.0.1:7000");
        assert_eq!(address("[::]:7000").expect("an address"), "[::]:7000");
        for text in ["", "x", ":7000", "host", "host:", "host:70000"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pauses_are_positive() {
        assert_eq!(pause("250ms").expect("valid"), Duration::from_millis(250));
        assert!(pause("0s").is_err() && pause("often").is_err());
    }
}
