//! A file with the settings of several services: a section for each, with what differs from its defaults.
//!
//! `weir demo` takes its servers from one; `weir doctor` and `weir check-config` look at them. The environment has no part
//! in it: one variable could not say for which service it is.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use weir_agent::AgentConfig;
use weir_bridge::BridgeConfig;
use weir_host::HostConfig;
use weir_service::ConfigError;
use weir_service::config::overlay;

/// What the file says.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Composed {
    /// The name of a demo's run.
    pub(crate) run: String,
    /// The schema of all three services.
    schema: toml::Table,
    /// The agent's settings.
    pub(crate) agent: toml::Table,
    /// The bridge's.
    pub(crate) bridge: toml::Table,
    /// The host's.
    pub(crate) host: toml::Table,
}

impl Composed {
    /// Reads such a file.
    ///
    /// # Errors
    /// If it is no TOML, or has anything else in it. `path` is what messages call it.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut file: Self = toml::from_str(text)
            .map_err(|error| ConfigError::value(format!("{}: {error}", path.display())))?;
        file.share_schema()?;
        Ok(file)
    }

    /// Whether it says where a server is, or what a run there is called.
    pub(crate) fn names_servers(&self) -> bool {
        let has = |service: &toml::Table, name| service.contains_key(name);
        let store = self.host.get("store").and_then(toml::Value::as_table);
        !self.run.is_empty()
            || has(&self.agent, "mqtt")
            || ["mqtt", "brokers", "kafka"].iter().any(|&name| has(&self.bridge, name))
            || has(&self.host, "kafka")
            || store.is_some_and(|store| has(store, "uri"))
    }

    /// Gives the schema to every service.
    fn share_schema(&mut self) -> Result<(), ConfigError> {
        if self.schema.is_empty() {
            return Ok(());
        }
        for service in [&mut self.agent, &mut self.bridge, &mut self.host] {
            if service.insert("schema".into(), self.schema.clone().into()).is_some() {
                let message = "schema: the services meet in it; give it once, as [schema]";
                return Err(ConfigError::value(message));
            }
        }
        Ok(())
    }

    /// Whether a file is one of these, and not the settings of one service.
    pub(crate) fn is_meant(text: &str) -> bool {
        let Ok(table) = text.parse::<toml::Table>() else { return false };
        ["run", "agent", "bridge", "host"].iter().any(|name| table.contains_key(*name))
    }

    /// # Errors
    /// If a setting is unknown or has the wrong type.
    pub(crate) fn agent(&self) -> Result<AgentConfig, ConfigError> {
        section("agent", weir_agent::DEFAULTS, &self.agent)
    }

    /// # Errors
    /// If a setting is unknown or has the wrong type.
    pub(crate) fn bridge(&self) -> Result<BridgeConfig, ConfigError> {
        section("bridge", weir_bridge::config::DEFAULTS, &self.bridge)
    }

    /// # Errors
    /// If a setting is unknown or has the wrong type.
    pub(crate) fn host(&self) -> Result<HostConfig, ConfigError> {
        section("host", weir_host::DEFAULTS, &self.host)
    }
}

fn section<T: DeserializeOwned>(
    name: &str,
    defaults: &str,
    settings: &toml::Table,
) -> Result<T, ConfigError> {
    overlay(defaults, &settings.to_string()).map_err(|error| inside(name, error))
}

/// The error, with the section in which it is.
pub(crate) fn inside(name: &str, error: ConfigError) -> ConfigError {
    match error {
        ConfigError::Value(text) => ConfigError::Value(format!("[{name}]: {text}")),
        error => ConfigError::value(format!("[{name}]: {error}")),
    }
}

/// Reads a file of settings.
///
/// # Errors
/// If it cannot be read, or is no text.
pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path)
        .map_err(|source| ConfigError::File { path: path.to_owned(), source })
}
