//! The store that processes share, MongoDB, as far as this program was built with it: the first build of
//! the demo goes without, because the driver takes a minute.

use std::sync::Arc;

use weir_events::Schema;
use weir_service::{ConfigError, Shutdown};

use super::{Access, StoreError, TrainingStore};
use crate::config::StoreSection;

#[cfg(feature = "mongodb")]
mod present {
    use super::*;
    use crate::store::{MongoStore, mongodb, until_done};

    /// Checks what does not need the server.
    pub(crate) fn check(section: &StoreSection, schema: &Schema) -> Result<(), ConfigError> {
        mongodb::check(section, schema)
    }

    /// Opens the store as soon as it can be reached. None if the host shuts down first.
    pub(crate) async fn open(
        section: &StoreSection,
        schema: Arc<Schema>,
        access: Access,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Option<Arc<dyn TrainingStore>>> {
        let store = MongoStore::connect(section, schema).await?;
        let prepared = until_done(shutdown, || store.prepare(access)).await?;
        Ok(prepared.map(|()| Arc::new(store) as Arc<dyn TrainingStore>))
    }

    /// The number of rows, for those who may read: asked once.
    ///
    /// # Errors
    /// If the server is away or refuses.
    pub(crate) async fn look(section: &StoreSection, schema: Arc<Schema>) -> anyhow::Result<u64> {
        let store = MongoStore::connect(section, schema).await?;
        store.prepare(Access::Read).await?;
        Ok(store.count().await?)
    }

    /// Removes the database of a store, with everything in it: for runs that have one of their own.
    ///
    /// # Errors
    /// If the server is away or refuses.
    pub async fn remove(section: &StoreSection, schema: Arc<Schema>) -> Result<(), StoreError> {
        let fatal = |error: ConfigError| StoreError { action: "remove", source: error.into() };
        MongoStore::connect(section, schema).await.map_err(fatal)?.remove().await
    }
}

#[cfg(not(feature = "mongodb"))]
mod absent {
    use super::*;

    fn absent() -> ConfigError {
        ConfigError::value(
            "store.uri: this program was built without MongoDB; build it with `--features mongodb`, or \
             leave store.uri empty",
        )
    }

    pub(crate) fn check(_: &StoreSection, _: &Schema) -> Result<(), ConfigError> {
        Err(absent())
    }

    pub(crate) async fn open(
        _: &StoreSection,
        _: Arc<Schema>,
        _: Access,
        _: &Shutdown,
    ) -> anyhow::Result<Option<Arc<dyn TrainingStore>>> {
        Err(absent().into())
    }

    pub(crate) async fn look(_: &StoreSection, _: Arc<Schema>) -> anyhow::Result<u64> {
        Err(absent().into())
    }

    /// Removes the database of a store.
    ///
    /// # Errors
    /// Always: this program was built without.
    pub async fn remove(_: &StoreSection, _: Arc<Schema>) -> Result<(), StoreError> {
        Err(StoreError { action: "remove", source: absent().into() })
    }
}

#[cfg(not(feature = "mongodb"))]
pub use absent::*;
#[cfg(feature = "mongodb")]
pub use present::*;
