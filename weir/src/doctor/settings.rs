//! The settings that a doctor looks at: those of a host, and those of a bridge and an agent where they are given.

use std::path::Path;

use weir_agent::AgentConfig;
use weir_bridge::BridgeConfig;
use weir_host::HostConfig;
use weir_service::ConfigError;

use super::Arguments;
use crate::composed::{self, Composed, inside};

/// What is looked at.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) host: HostConfig,
    pub(super) bridge: Option<BridgeConfig>,
    pub(super) agent: Option<AgentConfig>,
    /// Where they are from.
    pub(super) from: String,
    /// The arguments with which other commands look at the same line.
    pub(super) line: String,
}

/// Reads and checks the settings, as the services do.
///
/// # Errors
/// If one cannot be used. What concerns single checks (keys, store) is left to them.
pub(super) fn read(arguments: &Arguments) -> Result<Settings, ConfigError> {
    let Arguments { line, bridge_config, mqtt, .. } = arguments;
    let several = match &line.config {
        Some(path) => {
            let text = composed::read(path)?;
            Composed::is_meant(&text).then(|| Composed::parse(path, &text)).transpose()?
        }
        None => None,
    };
    let mut settings = match several {
        Some(file) => of_several(&file)?,
        None => Settings {
            host: line.load()?,
            bridge: None,
            agent: None,
            from: String::new(),
            line: line_of(arguments),
        },
    };
    if let Some(file) = bridge_config {
        settings.bridge = Some(BridgeConfig::load(Some(file))?);
    } else if mqtt.is_some() && settings.bridge.is_none() {
        // Of the bridge no more is known than where its MQTT broker is. Nor does the environment, which is the host's.
        settings.bridge =
            Some(BridgeConfig { kafka: settings.host.kafka(), ..BridgeConfig::default() });
    }
    if let Some(brokers) = &line.kafka {
        settings.host.kafka.brokers.clone_from(brokers);
    }
    if let Some(bridge) = settings.bridge.take() {
        let bridge = bridge.with_addresses(mqtt.as_deref(), line.kafka.clone())?;
        bridge.check().map_err(|error| inside("bridge", error))?;
        settings.bridge = Some(bridge);
    }
    settings.from = from(&line.config, bridge_config.as_deref());
    if settings.line.is_empty() {
        settings.line = format!(" --kafka {}", settings.host.kafka.brokers);
    }
    Ok(settings)
}

/// A demo's run has topics of its own if it has a name; else the names are taken as they stand.
fn of_several(file: &Composed) -> Result<Settings, ConfigError> {
    let (agent, mut bridge, mut host) = (file.agent()?, file.bridge()?, file.host()?);
    if !file.run.is_empty() {
        let name = format!("demo-{}", file.run);
        bridge.set_root(&name);
        bridge.topics = bridge.topics.prefixed(&format!("{name}-"));
        host.topics = host.topics.prefixed(&format!("{name}-"));
        host.kafka.group_prefix.clone_from(&name);
        host.store.database = name;
    }
    agent.check().map_err(|error| inside("agent", error))?;
    host.check().map_err(|error| inside("host", error))?;
    let (bridge, agent) = (Some(bridge), (!file.agent.is_empty()).then_some(agent));
    Ok(Settings { host, bridge, agent, from: String::new(), line: String::new() })
}

fn from(config: &Option<std::path::PathBuf>, bridge: Option<&Path>) -> String {
    let mut files: Vec<String> = config.iter().map(|path| path.display().to_string()).collect();
    files.extend(bridge.map(|path| path.display().to_string()));
    if files.is_empty() { "the defaults".to_owned() } else { files.join(", ") }
}

fn line_of(Arguments { line, .. }: &Arguments) -> String {
    let file = line.config.as_ref().map(|path| format!(" --config {}", path.display()));
    let kafka = line.kafka.as_ref().map(|brokers| format!(" --kafka {brokers}"));
    file.unwrap_or_default() + &kafka.unwrap_or_default()
}
