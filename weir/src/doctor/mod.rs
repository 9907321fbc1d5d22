//! `weir doctor`: whether a line can work with these settings, and what to do where it cannot.
//!
//! It reads and asks. It writes nothing, neither to Kafka nor to MQTT nor to the store, makes no topic and repairs no
//! file; so some things it cannot know, above all whether this user may write. Checks do not stop at the first
//! failure, but what needs Kafka is left out where Kafka is not reached.

mod clock;
mod files;
mod finding;
mod kafka;
mod keys;
mod mqtt;
mod settings;
mod store;
mod topics;
mod version;

use std::path::PathBuf;
use std::process::ExitCode;

use weir_service::{ConfigError, EXIT_CONFIG, EXIT_FAILED};

use crate::line::Line;
use finding::Report;

/// Arguments of `weir doctor`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Each line says how a check ended (ok, warning, FAILED, or skipped), what was found, and behind -> what to do. Nothing
is written anywhere, so whether this user may write to Kafka is not tried. Run it where the service runs and as its
user: rights to files and relative paths are judged from there.

FILE is a host's settings, or has the sections [agent], [bridge] and [host] as weir demo --config takes them. MQTT is
looked at with such a file, with --bridge-config or with --mqtt.

Examples:
  weir doctor --kafka localhost:9092 --mqtt localhost:1883
  weir doctor --config /etc/weir/host.toml --bridge-config /etc/weir/bridge.toml
  weir doctor --config host.toml --json | jq -r '.[] | select(.level == \"failed\") | .next'

Exit codes: 0 all is well, but for warnings; 1 something FAILED; 2 wrong arguments; 78 wrong configuration.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    line: Line,
    /// Settings of the bridge (TOML): with them MQTT is looked at, and Kafka as the bridge reaches it.
    #[arg(long, value_name = "FILE")]
    bridge_config: Option<PathBuf>,
    /// The MQTT broker; wins over the configuration.
    #[arg(long, value_name = "HOST:PORT")]
    mqtt: Option<String>,
    /// Print an array of JSON objects at the end.
    #[arg(long)]
    json: bool,
}

/// Runs `weir doctor`.
pub(crate) async fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut report = Report::new(arguments.json);
    let is_configured = look(&arguments, &mut report).await;
    report.finish(arguments.json)?;
    Ok(match (is_configured, report.has_failed()) {
        (false, _) => ExitCode::from(EXIT_CONFIG),
        (true, true) => ExitCode::from(EXIT_FAILED),
        (true, false) => ExitCode::SUCCESS,
    })
}

/// Does all checks. Returns whether the settings could be used.
async fn look(arguments: &Arguments, report: &mut Report) -> bool {
    let settings = match settings::read(arguments) {
        Ok(settings) => settings,
        Err(error) => {
            let next = "correct it; weir-host --check-config prints all settings, weir check-config FILE checks a file";
            report.failed("settings", format!("failed to {}", chain(&error)), next);
            return false;
        }
    };
    let roles: Vec<&str> = settings.host.roles.iter().map(|role| role.name()).collect();
    report.ok("settings", format!("{}; roles {}", settings.from, roles.join(", ")));
    let host = &settings.host;
    let topics = kafka::check(&settings, report).await;
    clock::check(topics.as_ref(), report);
    mqtt::check(&settings, report).await;
    store::check(host, report).await;
    keys::check(&settings, report);
    files::check_models(host, report);
    version::check(&settings, topics.as_ref(), report).await;
    true
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// What is wrong with a setting.
fn said(error: &ConfigError) -> String {
    match error {
        ConfigError::Value(text) => text.clone(),
        error => chain(error),
    }
}
