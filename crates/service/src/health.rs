//! What an operator's tools ask a running service: does it live, is it ready, what has it counted.
//!
//! A service describes itself by [`Vitals`]. [`HealthServer`] shows them over HTTP, [`supervise`] tells them
//! to systemd, and [`HealthServer::attend`] does both for as long as the service's work lasts:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use weir_service::Shutdown;
//! # use weir_service::health::{HealthConfig, HealthServer, Vitals};
//! # async fn work(shutdown: Shutdown) -> anyhow::Result<()> { Ok(()) }
//! # async fn example(config: HealthConfig, vitals: Arc<dyn Vitals>, shutdown: Shutdown) -> anyhow::Result<()> {
//! let server = HealthServer::bind(&config).await?;
//! server.attend(vitals, shutdown.clone(), work(shutdown)).await
//! # }
//! ```
//!
//! Nothing here decides anything for the service, and nothing is authenticated: whoever reaches the port
//! may read. So the services listen on loopback unless they are told otherwise.
//!
//! **Invariants.** Memory and time for strangers are bounded, whatever they send. A scrape is one call of
//! [`Vitals::metrics`], so that counts taken from one snapshot stay consistent.

mod config;
mod metrics;
mod names;
mod notify;
mod server;

pub use config::HealthConfig;
pub use metrics::{Durations, MetricsText};
pub use names::{Kind, Metric};
pub use notify::supervise;
pub use server::HealthServer;

/// What a service says about itself. Both methods are called often, from the runtime's threads: they read
/// what is at hand and never wait.
pub trait Vitals: Send + Sync + 'static {
    /// Whether the service does its work at present.
    ///
    /// # Errors
    /// What is missing, as a sentence without a full stop: "not connected to the MQTT broker". It is shown
    /// to whoever reaches the port.
    fn ready(&self) -> Result<(), String>;

    /// Writes what is counted. What must add up is to be read from one snapshot.
    fn metrics(&self, out: &mut MetricsText<'_>);
}
