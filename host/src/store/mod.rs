//! Training rows: joined rows that are kept to retrain with.
//!
//! Rows are immutable and their ids deterministic, so inserting a row again is success without effect:
//! the sink may be replayed at will. Rows are ordered by event time, and rows of the same time by their
//! place in Kafka.

mod look;
#[cfg(feature = "mongodb")]
mod mongodb;
mod patience;
mod redb;
mod shared;
#[cfg(test)]
mod suite;

use std::fmt::Debug;

use async_trait::async_trait;
use weir_events::{EventId, EventTime, Joined, RowPosition};
use weir_service::ConfigError;

pub use look::{Found, look};
#[cfg(feature = "mongodb")]
pub use mongodb::MongoStore;
pub(crate) use patience::until_done;
pub use redb::RedbStore;
use shared::look as look_at_shared;
pub use shared::remove;
pub(crate) use shared::{check as check_shared, open as open_shared};

/// What a store's own errors are to everyone else.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A training row: a joined row and its place in Kafka.
#[derive(Clone, PartialEq, Debug)]
pub struct TrainingRow {
    /// The row.
    pub joined: Joined,
    /// Its place in the topic of joined rows.
    pub position: RowPosition,
}

/// The order of training rows: by event time, then by place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RowOrder {
    /// The row's event time.
    pub time: EventTime,
    /// The row's place.
    pub position: RowPosition,
}

impl TrainingRow {
    /// Where the row stands.
    pub fn order(&self) -> RowOrder {
        RowOrder { time: self.joined.time, position: self.position }
    }

    /// The row's id.
    pub fn id(&self) -> EventId {
        self.joined.prediction.measurement.id
    }
}

/// Why the store did not do as asked. Unless it is fatal, trying again may help; the rows are held
/// meanwhile.
#[derive(Debug, thiserror::Error)]
#[error("{action} training rows")]
pub struct StoreError {
    /// What was asked.
    pub action: &'static str,
    /// Why it failed.
    #[source]
    pub source: Cause,
}

impl StoreError {
    /// Whether trying again is of no use: the configuration is wrong.
    pub fn is_fatal(&self) -> bool {
        self.source.is::<ConfigError>()
    }
}

/// What a process does with the store, and so needs the right to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Inserts rows and makes the index.
    Write,
    /// Reads rows.
    Read,
}

/// A store of training rows.
#[async_trait]
pub trait TrainingStore: Send + Sync + Debug {
    /// Makes the rows durable. Returns how many were new.
    async fn insert(&self, rows: Vec<TrainingRow>) -> Result<u64, StoreError>;

    /// Whether a row with this id is stored.
    async fn contains(&self, id: EventId) -> Result<bool, StoreError>;

    /// The newest `n` rows up to and including `last`, oldest first.
    async fn newest(&self, n: usize, last: RowOrder) -> Result<Vec<TrainingRow>, StoreError>;

    /// How many rows are stored.
    async fn count(&self) -> Result<u64, StoreError>;
}
