//! Hosts that share the work of one line, as processes; the line's events, written straight into Kafka; and what must come
//! of them, computed in the plainest way.
//!
//! A [`Line`] is fish with their events and a model that stays as it is, so that a prediction does not depend on when it was
//! made. A [`Group`] is hosts with consumer groups and result topics of their own: several groups may do the same line,
//! and must come to the same rows, errors and windows.

mod expected;
mod group;
mod line;
mod outcome;

use std::process::Command;

pub use expected::{Expected, Row, Window};
pub use group::{Group, SESSION_TIMEOUT, instance};
pub use line::{Fish, Line};
pub use outcome::{Outcome, Rows};

/// Asks for a change of a server that `cargo xtask services` has started.
///
/// # Panics
/// If it cannot be done.
pub fn services(arguments: &[&str]) {
    let status =
        Command::new(crate::process::built("xtask")).arg("services").args(arguments).status();
    assert!(status.expect("xtask runs").success(), "xtask services {arguments:?}");
}
