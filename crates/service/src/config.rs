//! Configuration: embedded defaults, then a file, then the environment.
//!
//! The embedded TOML is complete and commented: it is the documentation of the settings, and a setting
//! that is missing there does not exist. The environment overrides single values: `WEIR__KAFKA__BROKERS`
//! is `kafka.brokers`; a `-` in a setting's name is written `_` there.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a configuration is refused. Processes end with exit code 78.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read the configuration file {path}; check the path given with --config")]
    File {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A setting is unknown, missing or has the wrong type.
    #[error("read the configuration: {0}")]
    Setting(Box<figment::Error>),
    /// A setting has a value that makes no sense.
    #[error("use the configuration: {0}")]
    Value(String),
    /// The configuration cannot be shown.
    #[error("show the configuration")]
    Show(#[source] toml::ser::Error),
}

impl ConfigError {
    /// A value that makes no sense; the message names the setting and says what would.
    pub fn value(message: impl std::fmt::Display) -> Self {
        Self::Value(message.to_string())
    }
}

/// Reads the layers: `defaults`, then `file` if there is one, then the environment.
///
/// # Errors
/// If the file cannot be read, or a setting is unknown, missing or has the wrong type.
pub fn load<T: DeserializeOwned>(defaults: &str, file: Option<&Path>) -> Result<T, ConfigError> {
    let mut layers = Figment::from(Toml::string(defaults));
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        layers = layers.merge(Toml::string(&text));
    }
    let environment = Env::prefixed("WEIR__")
        .map(|name| name.as_str().replace("__", ".").replace('_', "-").into());
    layers.merge(environment).extract().map_err(|error| ConfigError::Setting(Box::new(error)))
}

/// Reads two layers: `defaults`, then `text`, for programs that compose services. The environment has no
/// part in it: one variable could not say for which of them it is.
///
/// # Errors
/// If a setting is unknown, missing or has the wrong type.
pub fn overlay<T: DeserializeOwned>(defaults: &str, text: &str) -> Result<T, ConfigError> {
    let layers = Figment::from(Toml::string(defaults)).merge(Toml::string(text));
    layers.extract().map_err(|error| ConfigError::Setting(Box::new(error)))
}

/// The configuration as it is used, for `--check-config`. Secrets never are in it: they are named by file.
///
/// # Errors
/// If it cannot be written as TOML.
pub fn show<T: Serialize>(config: &T) -> Result<String, ConfigError> {
    toml::to_string(config).map_err(ConfigError::Show)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Service {
        kafka: Kafka,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Kafka {
        client_id: String,
        retries: u32,
    }

    const DEFAULTS: &str = "[kafka]\nclient-id = \"weir\"\nretries = 3\n";

    fn load_file(text: &str) -> Result<Service, ConfigError> {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), text).expect("written");
        load(DEFAULTS, Some(file.path()))
    }

    #[test]
    fn a_file_overrides_single_settings() {
        let service = load_file("[kafka]\nretries = 5\n").expect("valid");
        assert_eq!(service, Service { kafka: Kafka { client_id: "weir".into(), retries: 5 } });
        let shown = show(&service).expect("shown");
        assert_eq!(load::<Service>(&shown, None).expect("reads back"), service);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |text: &str, part: &str| {
            let message = load_file(text).expect_err(text).to_string();
            assert!(message.contains(part), "{message}");
        };
        check("[kafka]\nretrys = 5\n", "retrys");
        check("[kafka]\nretries = \"many\"\n", "retries");
        check("[kafka\n", "TOML");
        let missing =
            load::<Service>(DEFAULTS, Some(Path::new("/does/not/exist"))).expect_err("refused");
        assert!(missing.to_string().contains("/does/not/exist"), "{missing}");
    }
}
