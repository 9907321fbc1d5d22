//! A host as a service of its own: with the port that tells how it is.

use std::sync::Arc;

use weir_kafka::Progress;
use weir_service::health::HealthServer;
use weir_service::{Shutdown, SystemClock};

use crate::config::HostConfig;
use crate::control::Control;
use crate::counters::HostCounters;
use crate::vitals::HostVitals;

/// Runs a host until shutdown, and tells meanwhile how it is: over HTTP if the settings say so, and to systemd.
///
/// # Errors
/// As of [`crate::run`]; and if the port cannot be listened to.
pub async fn serve(config: HostConfig, shutdown: Shutdown) -> anyhow::Result<()> {
    let health = HealthServer::bind(&config.health).await?;
    let (progress, counters) = (Progress::default(), Arc::new(HostCounters::default()));
    let vitals = Arc::new(HostVitals::new(&config, progress.clone(), Arc::clone(&counters)));
    let (clock, control) = (Arc::new(SystemClock), Control::default());
    let work = crate::run(config, clock, progress, control, counters, shutdown.clone());
    health.attend(vitals, shutdown, work).await
}
