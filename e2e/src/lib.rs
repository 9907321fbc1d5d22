//! What the tests against real servers share: where the servers are, and how programs are run.
//!
//! `cargo xtask test` starts the servers and sets the environment that is read here; so does
//! `eval "$(cargo xtask services up)"`. A server that is missing fails the test that needs it: nothing
//! is ever skipped.

pub mod clock;
pub mod fleet;
pub mod hosts;
pub mod keys;
pub mod metrics;
pub mod mosquitto;
pub mod process;
pub mod registry;
pub mod servers;
pub mod way;
pub mod web;
pub mod wire;
