//! The `[health]` section of a service's settings.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// Where a service tells how it is. Each service has a default of its own, on loopback.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HealthConfig {
    /// Address and port of `/healthz`, `/ready` and `/metrics`, such as `127.0.0.1:9464` or `[::1]:9464`;
    /// port 0 is any free one. Empty for no such server. Nobody who connects is asked who they are.
    pub listen: String,
}

impl HealthConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// If `listen` is neither empty nor an address with a port.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.address().map(drop)
    }

    /// The address, unless the server is off. Names are not looked up: one can mean several addresses, and
    /// it is not obvious which of them strangers reach.
    pub(super) fn address(&self) -> Result<Option<SocketAddr>, ConfigError> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        self.listen.parse().map(Some).map_err(|_| {
            let given = &self.listen;
            let cure = "must be an IP address with a port (127.0.0.1:9464), or empty for no server";
            ConfigError::value(format!("health.listen: {given:?} {cure}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_port_or_nothing() {
        let check = |listen: &str| HealthConfig { listen: listen.into() }.check();
        for good in ["", "127.0.0.1:9464", "[::1]:9464", "0.0.0.0:0"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for wrong in ["9464", ":9464", "localhost:9464", "127.0.0.1", "127.0.0.1:99999", " "] {
            let message = check(wrong).expect_err(wrong).to_string();
            assert!(message.contains("health.listen: "), "{message}");
        }
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let wrong = toml::from_str::<HealthConfig>("listen = \"\"\nport = 1\n").expect_err("port");
        assert!(wrong.to_string().contains("port"), "{wrong}");
    }
}
