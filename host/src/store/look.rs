//! A look at the store of training rows, for people who ask how it is: nothing is made, repaired or written.

use std::sync::Arc;

use super::{RedbStore, StoreError, look_at_shared};
use crate::config::HostConfig;

/// How a store is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// There is no file yet.
    Absent,
    /// Another process has the file open.
    InUse,
    /// The process that had the file open was cut off. The next one repairs it by itself.
    Unclean,
    /// It holds so many rows.
    Rows(u64),
}

/// Looks at the store that the configuration names; a store in memory is not looked at.
///
/// # Errors
/// If it cannot be reached or read, or the configuration is wrong.
pub async fn look(config: &HostConfig) -> anyhow::Result<Found> {
    config.check_store()?;
    if config.store.is_shared() {
        let rows = look_at_shared(&config.store, Arc::new(config.schema()?)).await?;
        return Ok(Found::Rows(rows));
    }
    let path = config.store.path.clone();
    let looked = tokio::task::spawn_blocking(move || RedbStore::look(&path)).await;
    let looked = looked.unwrap_or_else(|panicked| Err(panicked.into()));
    Ok(looked.map_err(|source| StoreError { action: "read the file of", source })?)
}
