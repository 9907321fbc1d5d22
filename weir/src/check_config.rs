//! `weir check-config`: whether files of settings can be used, in the words of the services that read them.
//!
//! It looks at the files alone: unlike a service's own `--check-config` it does not read the environment, where one
//! variable could not say for which of several files it is.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use weir_agent::AgentConfig;
use weir_bridge::BridgeConfig;
use weir_host::HostConfig;
use weir_service::config::overlay;
use weir_service::{ConfigError, EXIT_CONFIG};

use crate::composed::{self, Composed, inside};
use crate::output;
use crate::style::{BAD, FINE, WARNING};

/// Arguments of `weir check-config`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
A file whose name has agent, bridge or host in it is for that service; of any other file the settings themselves say
for which services it can be. Files that the settings name (keys, certificates, passwords) are read. The
environment is not: a service adds it, and shows the result with its own --check-config.

Examples:
  weir check-config /etc/weir/*.toml
  weir check-config --service host line-2.toml
  weir check-config --json *.toml | jq -r 'select(.valid | not) | .file'

Exit codes: 0 all can be used, 2 wrong arguments, 78 one cannot.")]
pub(crate) struct Arguments {
    /// Settings of an agent, a bridge or a host, or of several in sections, as weir demo --config takes them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Whose settings they are.
    #[arg(long, value_enum)]
    service: Option<Service>,
    /// Print one JSON object for each file.
    #[arg(long)]
    json: bool,
}

/// Whose settings.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Service {
    /// weir-agent.
    Agent,
    /// weir-bridge.
    Bridge,
    /// weir-host.
    Host,
}

/// What a service would warn of.
type Warnings = Vec<String>;

impl Service {
    const ALL: [Self; 3] = [Self::Agent, Self::Bridge, Self::Host];

    fn name(self) -> &'static str {
        match self {
            Self::Agent => "weir-agent",
            Self::Bridge => "weir-bridge",
            Self::Host => "weir-host",
        }
    }

    fn defaults(self) -> &'static str {
        match self {
            Self::Agent => weir_agent::DEFAULTS,
            Self::Bridge => weir_bridge::config::DEFAULTS,
            Self::Host => weir_host::DEFAULTS,
        }
    }

    /// What the file's name says.
    fn of_name(path: &Path) -> Option<Self> {
        let stem = path.file_stem()?.to_str()?.to_lowercase();
        let mut named = Self::ALL.into_iter().filter(|service| {
            let name = service.name().trim_start_matches("weir-");
            stem.contains(name)
        });
        named.next().filter(|_| named.next().is_none())
    }

    /// How many of the file's settings and sections this service knows.
    fn knows(self, text: &str) -> usize {
        let read = |text: &str| text.parse::<toml::Table>().unwrap_or_default();
        let known = read(self.defaults());
        read(text).keys().filter(|name| known.contains_key(*name)).count()
    }

    fn check(self, text: &str) -> Result<Warnings, ConfigError> {
        match self {
            Self::Agent => overlay::<AgentConfig>(self.defaults(), text)?.check()?,
            Self::Bridge => overlay::<BridgeConfig>(self.defaults(), text)?.check()?,
            Self::Host => return host(&overlay(self.defaults(), text)?),
        }
        Ok(Vec::new())
    }
}

fn host(config: &HostConfig) -> Result<Warnings, ConfigError> {
    let mut warnings = Vec::new();
    config.check()?;
    if config.store.is_shared() && cfg!(not(feature = "mongodb")) {
        warnings
            .push("[store] is not looked at: this program was built without MongoDB".to_owned());
    } else {
        config.check_store()?;
    }
    if config.names_keys() {
        config.check_trust()?;
    } else {
        warnings.push(
            "no keys are set, and without them a host does not start: see [trust]".to_owned(),
        );
    }
    Ok(warnings)
}

fn composed(path: &Path, text: &str) -> Result<Warnings, ConfigError> {
    let file = Composed::parse(path, text)?;
    let (agent, bridge, config) = (file.agent()?, file.bridge()?, file.host()?);
    agent.check().map_err(|error| inside("agent", error))?;
    bridge.check().map_err(|error| inside("bridge", error))?;
    host(&config).map_err(|error| inside("host", error))
}

/// For whom a file can be used, or the first error.
fn check(path: &Path, service: Option<Service>) -> Result<(Vec<Service>, Warnings), ConfigError> {
    let text = composed::read(path)?;
    if service.is_none() && Composed::is_meant(&text) {
        return composed(path, &text).map(|warnings| (Service::ALL.to_vec(), warnings));
    }
    if let Some(service) = service.or_else(|| Service::of_name(path)) {
        return service.check(&text).map(|warnings| (vec![service], warnings));
    }
    let (mut services, mut all) = (Vec::new(), Vec::new());
    for service in Service::ALL {
        if let Ok(warnings) = service.check(&text) {
            services.push(service);
            all.extend(warnings);
        }
    }
    if !services.is_empty() {
        return Ok((services, all));
    }
    // What the file most likely is for, so that the error names the setting that is wrong.
    let likely = Service::ALL.into_iter().max_by_key(|service| service.knows(&text));
    likely.unwrap_or(Service::Host).check(&text).map(|warnings| (Vec::new(), warnings))
}

/// Runs `weir check-config`.
pub(crate) fn execute(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut is_valid = true;
    for path in &arguments.files {
        let checked = check(path, arguments.service);
        is_valid &= checked.is_ok();
        let written = match arguments.json {
            true => print_json(path, checked),
            false => print(path, checked),
        };
        if !output::is_read(written)? {
            break;
        }
    }
    Ok(if is_valid { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIG) })
}

type Checked = Result<(Vec<Service>, Warnings), ConfigError>;

fn print(path: &Path, checked: Checked) -> io::Result<()> {
    let path = path.display();
    match checked {
        Ok((services, warnings)) => {
            let names: Vec<&str> = services.iter().map(|service| service.name()).collect();
            let mut out = output::stdout();
            writeln!(out, "{path}: {FINE}valid{FINE:#} for {}", names.join(", "))?;
            for warning in warnings {
                writeln!(out, "{path}: {WARNING}warning:{WARNING:#} {warning}")?;
            }
        }
        // As the service says it, so with its other causes.
        Err(error) => {
            let error = anyhow::Error::from(error);
            anstream::eprintln!("{path}: {BAD}error:{BAD:#} failed to {error:#}");
        }
    }
    Ok(())
}

fn print_json(path: &Path, checked: Checked) -> io::Result<()> {
    let valid = checked.is_ok();
    let (services, warnings, error) = match checked {
        Ok((services, warnings)) => (services, warnings, None),
        Err(error) => (Vec::new(), Vec::new(), Some(format!("{:#}", anyhow::Error::from(error)))),
    };
    let object = json!({
        "file": path.display().to_string(),
        "valid": valid,
        "services": services.iter().map(|service| service.name()).collect::<Vec<_>>(),
        "warnings": warnings,
        "error": error,
    });
    writeln!(io::stdout().lock(), "{object}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, text: &str) -> Result<Vec<&'static str>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        let services = check(&path, None).map(|(services, _)| services);
        let names = services.map(|services| services.into_iter().map(Service::name).collect());
        names.map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_for_whom_its_name_or_its_settings_say() {
        let check = |name: &str, text: &str, expected: &[&str]| {
            assert_eq!(checked(name, text).expect(name), expected, "{name}");
        };
        check("line.toml", weir_agent::DEFAULTS, &["weir-agent"]);
        check("line.toml", weir_bridge::config::DEFAULTS, &["weir-bridge"]);
        check("line.toml", weir_host::DEFAULTS, &["weir-host"]);
        let kafka = "[kafka]\nbrokers = \"kafka:9092\"\n";
        check("line.toml", kafka, &["weir-bridge", "weir-host"]);
        check("weir-host.toml", kafka, &["weir-host"]);
        let several = "[agent.mqtt]\nhost = \"a\"\n[host.kafka]\nbrokers = \"b:1\"\n";
        check("servers.toml", several, &["weir-agent", "weir-bridge", "weir-host"]);
    }

    #[test]
    fn the_error_names_the_setting_in_the_likely_service() {
        let check = |name: &str, text: &str, part: &str| {
            let error = checked(name, text).expect_err(part);
            assert!(error.contains(part), "{error}");
        };
        check("line.toml", "[trust]\nkeyz = []\n[window]\nlength = \"5s\"\n", "keyz");
        check("line.toml", "[kafka\n", "TOML");
        check("bridge.toml", "[trust]\nkeys = []\n", "trust");
        check("servers.toml", "[host.window]\nlength = \"0s\"\n", "[host]: window.length");
        check("servers.toml", "[host]\nrolez = []\n", "rolez");
        check("servers.toml", "[bridge]\n[bird]\n", "bird");
    }
}
