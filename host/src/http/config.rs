//! The `[http]` section of a host's settings.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use weir_service::ConfigError;

/// `[http]`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpSection {
    /// Address and port; port 0 is any free one. Empty for no server.
    pub listen: String,
    /// The file with the tokens of those who may write; empty for nobody.
    pub token_file: PathBuf,
    /// Names under which browsers reach the server, besides `localhost` and addresses.
    pub names: Vec<String>,
    /// How many requests of one address are answered in a second, in the long run.
    pub requests_per_second: NonZeroU32,
}

impl HttpSection {
    /// The address, unless the server is off.
    ///
    /// # Errors
    /// If it is none.
    pub fn address(&self) -> Result<Option<SocketAddr>, ConfigError> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        self.listen.parse().map(Some).map_err(|_| {
            let given = &self.listen;
            let cure = "must be an IP address with a port (127.0.0.1:8080), or empty for no server";
            ConfigError::value(format!("http.listen: {given:?} {cure}"))
        })
    }
}
