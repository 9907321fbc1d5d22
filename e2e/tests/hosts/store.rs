//! Training rows in a server of MongoDB's protocol, in a database of one group's own.

use std::collections::BTreeSet;

use weir_e2e::hosts::Outcome;
use weir_e2e::servers::{MONGODB, address, unique};
use weir_events::{EventTime, RowPosition, Schema, SchemaConfig};
use weir_host::HostConfig;
use weir_host::store::{MongoStore, RowOrder, TrainingStore as _};

/// A database.
pub(crate) struct Database {
    uri: String,
    name: String,
}

impl Database {
    pub(crate) fn new() -> Self {
        Self { uri: address(MONGODB), name: unique("hosts-") }
    }

    /// The settings of hosts that use it.
    pub(crate) fn section(&self) -> String {
        self.section_at(&self.uri)
    }

    /// The same by another way.
    pub(crate) fn section_at(&self, uri: &str) -> String {
        format!("[store]\nuri = {uri:?}\ndatabase = {:?}\n", self.name)
    }

    /// The keys of all documents.
    fn keys(&self) -> Vec<String> {
        let mut config = HostConfig::load(None).expect("defaults");
        config.store.uri.clone_from(&self.uri);
        config.store.database.clone_from(&self.name);
        let schema = Schema::try_from(&SchemaConfig::fish()).expect("a schema");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let rows = runtime.expect("a runtime").block_on(async {
            let store = MongoStore::connect(&config.store, schema.into()).await.expect("valid");
            let position = RowPosition { partition: i32::MAX, offset: i64::MAX };
            store.newest(usize::MAX, RowOrder { time: EventTime::MAX, position }).await
        });
        let key =
            |row: weir_host::store::TrainingRow| row.joined.prediction.measurement.key.to_string();
        rows.expect("read").into_iter().map(key).collect()
    }
}

/// Checks that every row is stored, and none twice.
pub(crate) fn stored(database: &Database, outcome: &Outcome) {
    let keys: Vec<_> =
        database.keys().into_iter().filter(|key| !key.starts_with("tail-")).collect();
    let distinct: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "a row is stored twice");
    assert!(distinct.into_iter().eq(outcome.found.rows.keys()), "not all rows are stored");
}
