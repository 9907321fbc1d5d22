//! What every service of Weir does alike: configuration, secrets, logging, the clock, shutdown, exit
//! codes, the choice of the TLS provider, and what it tells operators' tools about its health.
//!
//! Nothing here knows MQTT, Kafka or models. A service's `main.rs` reads its arguments, calls
//! [`start`] or [`start_small`], and hands configuration, clock and shutdown to its library.

mod clock;
pub mod config;
mod crash;
mod credential;
mod exit;
pub mod health;
mod security;
mod shutdown;
mod telemetry;
pub mod tls;
pub mod traces;

pub use clock::{Clock, EventClock, SystemClock};
pub use config::ConfigError;
pub use crash::crash_point;
pub use credential::locate as locate_secret;
pub use exit::{EXIT_CODES, EXIT_CONFIG, EXIT_FAILED, EXIT_USAGE, exit_help, start, start_small};
pub use security::{Credentials, Security, Tls};
pub use shutdown::{Shutdown, shutdown_on_signals};
pub use telemetry::init as init_telemetry;
