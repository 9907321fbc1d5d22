//! A checked configuration with its secrets read: what every connection attempt is made from.
//!
//! Secrets are read once. A service that shall take new ones is started anew.

use rumqttc::v5::MqttOptions;
use rumqttc::{TlsConfiguration, Transport};
use weir_service::ConfigError;

use crate::config::MqttConfig;

/// The section of secrets, as messages name it.
const SECTION: &str = "mqtt.security";

/// Whether the broker may keep what it knows about this client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Session {
    /// Starts with nothing and leaves nothing behind.
    Clean,
    /// Goes on where the last connection with this client id ended.
    Kept,
}

/// What connections are made from. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    config: MqttConfig,
    /// With credentials and certificates; the session is that of each attempt.
    options: MqttOptions,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Connector {
    /// Checks the configuration and reads the files that it names.
    ///
    /// # Errors
    /// A value that cannot be used, or a file that cannot.
    pub fn new(config: &MqttConfig) -> Result<Self, ConfigError> {
        config.check().map_err(ConfigError::value)?;
        let credentials = config.security.credentials(SECTION)?;
        let tls = config.security.tls(SECTION)?;
        let mut options = MqttOptions::new(&config.client_id, &config.host, config.port);
        options
            .set_keep_alive(config.keep_alive)
            .set_connection_timeout(config.connect_timeout.as_secs())
            .set_max_packet_size(Some(config.incoming_bytes_max))
            .set_receive_maximum(Some(config.receive_maximum))
            // Without it the library reserves a slot for each of 65,535 packet ids: 16 MB.
            .set_outgoing_inflight_upper_limit(config.inflight)
            .set_manual_acks(true);
        if let Some(credentials) = credentials {
            options.set_credentials(credentials.username, credentials.password);
        }
        if let Some(tls) = tls {
            let (ca, client_auth) = (tls.ca, tls.client);
            let tls = TlsConfiguration::Simple { ca, alpn: None, client_auth };
            options.set_transport(Transport::tls_with_config(tls));
        }
        Ok(Self { config: config.clone(), options })
    }

    /// The configuration.
    pub fn config(&self) -> &MqttConfig {
        &self.config
    }

    /// The same broker for a client of another name, of which the broker keeps nothing once it has gone.
    #[must_use]
    pub fn passing(&self, client_id: &str) -> Self {
        let mut passing = self.clone();
        client_id.clone_into(&mut passing.config.client_id);
        passing.config.session_expiry = std::time::Duration::ZERO;
        passing.options.set_client_id(client_id.to_owned());
        passing
    }

    pub(crate) fn options(&self, session: Session) -> MqttOptions {
        let mut options = self.options.clone();
        options.set_clean_start(session == Session::Clean);
        if session == Session::Kept {
            let seconds = self.config.session_expiry.as_secs();
            options
                .set_session_expiry_interval(Some(u32::try_from(seconds).unwrap_or(u32::MAX - 1)));
        }
        options
    }
}
