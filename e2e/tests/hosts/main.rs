//! Several hosts and many partitions: whatever happens to them, the rows, errors and windows are those of one host, and of the
//! definition. Against an Apache Kafka of three nodes.
//!
//! `WEIR_FISH` sets the length of the line, `WEIR_SEEDS` how many lines; `cargo xtask soak` runs the long version.

mod audit;
mod equal;
mod failover;
mod kafka;
mod points;
mod soak;
mod store;
mod versions;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Tests that disturb Kafka, or measure how long something takes, have the machine for themselves.
static MACHINE: RwLock<()> = RwLock::new(());

fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// The seeds of this run.
fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var("WEIR_SEEDS").ok().and_then(|text| text.parse().ok());
    0..count.unwrap_or(1)
}

/// Checks a time, in the long version only: where other programs have the processors too, it says nothing.
fn in_time(what: &str, took: std::time::Duration, limit: std::time::Duration) {
    assert!(took < limit || !is_long(), "{what}: {took:?}, more than {limit:?}");
}

/// Whether this is the long version.
fn is_long() -> bool {
    std::env::var_os("WEIR_SEEDS").is_some()
}

/// How many fish the line has: as many as `WEIR_FISH` says, or these.
fn fish(default: usize) -> usize {
    std::env::var("WEIR_FISH").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
