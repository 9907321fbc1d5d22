//! What every service of Weir does alike: configuration, logging, the clock, shutdown, exit codes.
//!
//! Nothing here knows MQTT, Kafka or models. A service's `main.rs` reads its arguments, calls
//! [`start`], and hands configuration, clock and shutdown to its library.

mod clock;
pub mod config;
mod exit;
mod shutdown;
mod telemetry;

pub use clock::{Clock, EventClock, SystemClock};
pub use config::ConfigError;
pub use exit::{EXIT_CONFIG, EXIT_FAILED, start};
pub use shutdown::{Shutdown, shutdown_on_signals};
pub use telemetry::init as init_telemetry;
