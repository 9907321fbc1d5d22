//! An MQTT broker inside the process: rumqttd, on loopback, for the demonstration and for tests.
//!
//! It speaks MQTT 5 and keeps everything in memory: **it forgets all sessions and messages when the
//! process ends**, which is also the only way to stop it, since rumqttd's threads have no other end. What is
//! published to a topic before the first subscription that matches it reaches nobody. Its console and
//! metrics, open to everyone in rumqttd's sample configuration, are off.
//!
//! Not for production: acknowledgements out of order make it drop the connection and the message; a client
//! that connects just after another has left may be cut off once, and has to connect again; one filter
//! keeps at most the newest [`QUEUE_BYTES_MAX`] bytes.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use tokio::net::TcpStream;

/// The largest payload the broker takes, in bytes: more than the bridge takes, which takes more than an
/// agent sends.
pub const PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many bytes of messages the broker keeps for the subscribers of one filter.
pub const QUEUE_BYTES_MAX: usize = SEGMENT_BYTES * SEGMENTS;

const SEGMENT_BYTES: usize = 16 * 1024 * 1024;
const SEGMENTS: usize = 32;
/// How many clients may be connected at a time.
const CONNECTIONS_MAX: usize = 1_000;
/// How many packets of one client are read before the router handles them.
const PACKETS_BUFFERED: usize = 100;
/// How many ports are tried.
const ATTEMPTS: usize = 5;
/// How often, and how far apart, it is tried whether the broker listens.
const PROBES: usize = 500;
const PROBE_INTERVAL: Duration = Duration::from_millis(10);

/// An embedded broker that listens. Dropping it does not stop it: it ends with the process.
#[derive(Debug)]
pub struct EmbeddedMqtt {
    address: SocketAddr,
}

/// Why the embedded broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedMqttError {
    /// No port or no thread could be had.
    #[error("start the embedded MQTT broker")]
    Io(#[from] io::Error),
    /// It started, but did not listen, on any of several ports.
    #[error("start the embedded MQTT broker: it does not listen on any of {0} free ports")]
    NotListening(usize),
}

impl EmbeddedMqtt {
    /// Starts a broker on a free port of the loopback interface and waits until it listens.
    ///
    /// # Errors
    /// If no free port or no thread can be had, or if the broker does not come to listen.
    pub async fn start() -> Result<Self, EmbeddedMqttError> {
        for _ in 0..ATTEMPTS {
            // rumqttd does not tell which port it got for 0. Another process may take the port between
            // the two binds; then the broker's thread ends, and another port is tried.
            let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            let broker = spawn(address)?;
            if listens(address, &broker).await {
                return Ok(Self { address });
            }
            tracing::warn!(%address, "the embedded broker could not listen, trying another port");
        }
        Err(EmbeddedMqttError::NotListening(ATTEMPTS))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn spawn(address: SocketAddr) -> io::Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name("mqtt-broker".into());
    thread.spawn(move || {
        let mut broker = Broker::new(config(address));
        if let Err(error) = broker.start() {
            tracing::error!(%error, "the embedded MQTT broker has failed");
        }
    })
}

async fn listens(address: SocketAddr, broker: &JoinHandle<()>) -> bool {
    for _ in 0..PROBES {
        if broker.is_finished() {
            return false;
        }
        let connected = TcpStream::connect(address).await.is_ok();
        // Also after success: another process may have answered, and our thread be about to end.
        tokio::time::sleep(PROBE_INTERVAL).await;
        if connected {
            return !broker.is_finished();
        }
    }
    false
}

fn config(listen: SocketAddr) -> Config {
    let server = ServerSettings {
        name: "embedded".into(),
        listen,
        tls: None,
        next_connection_delay_ms: 0,
        connections: ConnectionSettings {
            connection_timeout_ms: 5_000,
            max_payload_size: PAYLOAD_BYTES_MAX,
            max_inflight_count: PACKETS_BUFFERED,
            auth: None,
            external_auth: None,
            // Without it a client is cut off when it publishes what nobody has subscribed to, after
            // the PUBACK.
            dynamic_filters: true,
        },
    };
    Config {
        router: RouterConfig {
            max_connections: CONNECTIONS_MAX,
            max_outgoing_packet_count: 200,
            max_segment_size: SEGMENT_BYTES,
            max_segment_count: SEGMENTS,
            ..RouterConfig::default()
        },
        v5: Some(HashMap::from([("embedded".into(), server)])),
        ..Config::default()
    }
}
