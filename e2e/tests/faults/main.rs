//! What happens to agents and bridge, and must not matter: they, their brokers and their network fail in every way that
//! the catalogue in docs/faults.md names, under load, against real servers. Every run prints one line of JSON.
//!
//! `WEIR_LOAD=20x5000` sets machines and lines of each, `WEIR_SEEDS` how many histories each row goes through.
//! `cargo xtask soak` runs the long version.

mod brokers;
mod chaos;
mod clocks;
mod disk;
mod health;
mod input;
mod kafka;
mod kills;
mod network;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Who silences or restarts the servers that all use has them alone.
static SERVERS: RwLock<()> = RwLock::new(());

fn shared() -> RwLockReadGuard<'static, ()> {
    SERVERS.read().unwrap_or_else(PoisonError::into_inner)
}

fn alone() -> RwLockWriteGuard<'static, ()> {
    SERVERS.write().unwrap_or_else(PoisonError::into_inner)
}
