//! The line that a command is about: the settings of its host, and where its Kafka is.
//!
//! Every command that talks to a line takes the same two arguments, so that one file describes the line to
//! services and people alike.

use std::path::PathBuf;

use weir_host::HostConfig;
use weir_service::ConfigError;

/// Which line.
#[derive(clap::Args, Clone, Default, Debug)]
pub(crate) struct Line {
    /// Settings of the host (TOML): schema, topics, Kafka.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Kafka's address; wins over the configuration.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) kafka: Option<String>,
}

impl Line {
    /// Defaults, file, environment, arguments.
    ///
    /// # Errors
    /// If a setting is unknown, missing or makes no sense.
    pub(crate) fn load(&self) -> Result<HostConfig, ConfigError> {
        let mut config = HostConfig::load(self.config.as_deref())?;
        if let Some(brokers) = &self.kafka {
            config.kafka.brokers.clone_from(brokers);
        }
        Ok(config)
    }
}
