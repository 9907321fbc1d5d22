//! Training rows in one redb file, or in memory.
//!
//! ```text
//! rows:  time (8) | partition (4) | offset (8)  ->  id (16) | the joined row as JSON
//! ids:   id (16)                                ->  its key in rows
//! ```
//!
//! Numbers in keys are big-endian with the sign bit flipped, so that the order of bytes is the order of
//! rows. One insertion is one transaction, which redb makes durable before it returns.
//!
//! redb does nothing more with a file once the disk has refused something. So after a failure the file is closed, and
//! opened anew for the next request: with room on the disk again the store works again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use redb::backends::InMemoryBackend;
use redb::{
    Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, TableDefinition,
};
use weir_events::{EventId, EventTime, RowPosition, Schema};

use super::{Cause, Found, RowOrder, StoreError, TrainingRow, TrainingStore};

type RowKey = [u8; 20];

const ROWS: TableDefinition<'_, &RowKey, &[u8]> = TableDefinition::new("rows");
const IDS: TableDefinition<'_, &[u8; 16], &RowKey> = TableDefinition::new("ids");

/// The embedded store. One process at a time may open its file. Cheap to clone.
#[derive(Clone)]
pub struct RedbStore {
    /// None after a failure, until the next request.
    database: Arc<RwLock<Option<Database>>>,
    /// Empty for memory.
    path: PathBuf,
    schema: Arc<Schema>,
    rows_max: u64,
}

impl std::fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbStore").field("rows_max", &self.rows_max).finish_non_exhaustive()
    }
}

impl RedbStore {
    /// Opens the file, or makes it; an empty path is memory. Beyond `rows_max` the oldest rows go.
    ///
    /// # Errors
    /// If the file cannot be opened or is no store.
    pub fn open(path: &Path, schema: Arc<Schema>, rows_max: u64) -> Result<Self, StoreError> {
        let database =
            create(path).map_err(|source| StoreError { action: "open the file of", source })?;
        let database = Arc::new(RwLock::new(Some(database)));
        Ok(Self { database, path: path.to_owned(), schema, rows_max })
    }

    /// How a file is. Blocks.
    pub(super) fn look(path: &Path) -> Result<Found, Cause> {
        if !path.try_exists()? {
            return Ok(Found::Absent);
        }
        let database = match ReadOnlyDatabase::open(path) {
            Err(DatabaseError::DatabaseAlreadyOpen) => return Ok(Found::InUse),
            Err(DatabaseError::RepairAborted) => return Ok(Found::Unclean),
            database => database?,
        };
        Ok(Found::Rows(database.begin_read()?.open_table(ROWS)?.len()?))
    }

    /// Runs blocking work where it does not hold up other tasks.
    async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Self, &Database) -> Result<T, Cause> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let result = tokio::task::spawn_blocking(move || store.with_database(work)).await;
        let result = result.unwrap_or_else(|panicked| Err(panicked.into()));
        result.map_err(|source| StoreError { action, source })
    }

    fn with_database<T>(
        &self,
        work: impl FnOnce(&Self, &Database) -> Result<T, Cause>,
    ) -> Result<T, Cause> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
            // Another request may have opened it meanwhile.
            if database.is_none() {
                // Not made anew: a file that is gone must not be replaced by an empty one.
                *database = Some(Database::open(&self.path)?);
            }
        }
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let done = work(self, database.as_ref().ok_or("the file was closed meanwhile")?);
        drop(database);
        if done.is_err() && !self.path.as_os_str().is_empty() {
            *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        done
    }

    fn insert_now(&self, database: &Database, rows: &[TrainingRow]) -> Result<u64, Cause> {
        let mut new = 0;
        let transaction = database.begin_write()?;
        {
            let mut by_order = transaction.open_table(ROWS)?;
            let mut by_id = transaction.open_table(IDS)?;
            for row in rows {
                let (id, key) = (*row.id().as_bytes(), key_of(row.order()));
                if by_id.get(&id)?.is_some() {
                    continue;
                }
                by_id.insert(&id, &key)?;
                let value = [id.as_slice(), &self.schema.encode_joined(&row.joined)].concat();
                by_order.insert(&key, value.as_slice())?;
                new += 1;
            }
            while by_order.len()? > self.rows_max {
                let Some((_, row)) = by_order.pop_first()? else { break };
                by_id.remove(&split(row.value())?.0)?;
            }
        }
        transaction.commit()?;
        Ok(new)
    }

    fn newest_now(
        &self,
        database: &Database,
        n: usize,
        last: RowOrder,
    ) -> Result<Vec<TrainingRow>, Cause> {
        let table = database.begin_read()?.open_table(ROWS)?;
        // Not with n as capacity: the configuration may ask for more rows than memory holds.
        let mut rows = Vec::new();
        for entry in table.range::<&RowKey>(..=&key_of(last))?.rev() {
            if rows.len() == n {
                break;
            }
            let (key, value) = entry?;
            match self.schema.decode_joined(split(value.value())?.1) {
                Ok(joined) => {
                    rows.push(TrainingRow { joined, position: order_of(key.value()).position });
                }
                // Stored under another schema: of no use to this one, and no reason to stand still.
                Err(rejection) => tracing::debug!(%rejection, "a stored row is passed over"),
            }
        }
        rows.reverse();
        Ok(rows)
    }
}

/// Opens a file with its tables, or makes it; an empty path is memory.
fn create(path: &Path) -> Result<Database, Cause> {
    let database = if path.as_os_str().is_empty() {
        Database::builder().create_with_backend(InMemoryBackend::new())?
    } else {
        Database::create(path)?
    };
    let transaction = database.begin_write()?;
    transaction.open_table(ROWS)?;
    transaction.open_table(IDS)?;
    transaction.commit()?;
    Ok(database)
}

/// A value of the rows' table: the row's id, then the row.
fn split(value: &[u8]) -> Result<([u8; 16], &[u8]), Cause> {
    let (id, row) = value.split_first_chunk().ok_or("a stored row is cut short")?;
    Ok((*id, row))
}

#[async_trait]
impl TrainingStore for RedbStore {
    async fn insert(&self, rows: Vec<TrainingRow>) -> Result<u64, StoreError> {
        self.blocking("insert", move |store, database| store.insert_now(database, &rows)).await
    }

    async fn contains(&self, id: EventId) -> Result<bool, StoreError> {
        let contains = move |_: &Self, database: &Database| -> Result<bool, Cause> {
            let table = database.begin_read()?.open_table(IDS)?;
            Ok(table.get(id.as_bytes())?.is_some())
        };
        self.blocking("look up", contains).await
    }

    async fn newest(&self, n: usize, last: RowOrder) -> Result<Vec<TrainingRow>, StoreError> {
        self.blocking("read", move |store, database| store.newest_now(database, n, last)).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let count = |_: &Self, database: &Database| -> Result<u64, Cause> {
            Ok(database.begin_read()?.open_table(ROWS)?.len()?)
        };
        self.blocking("count", count).await
    }
}

fn key_of(order: RowOrder) -> RowKey {
    let flip = |number: i64| number.cast_unsigned() ^ (1 << 63);
    let partition = order.position.partition.cast_unsigned() ^ (1 << 31);
    let mut key = [0; 20];
    key[..8].copy_from_slice(&flip(order.time.as_micros()).to_be_bytes());
    key[8..12].copy_from_slice(&partition.to_be_bytes());
    key[12..].copy_from_slice(&flip(order.position.offset).to_be_bytes());
    key
}

fn order_of(key: &RowKey) -> RowOrder {
    let number = |bytes: &[u8]| {
        let bytes: [u8; 8] = bytes.try_into().expect("eight of the twenty bytes");
        (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
    };
    let partition: [u8; 4] = key[8..12].try_into().expect("four of the twenty bytes");
    RowOrder {
        time: EventTime::from_micros(number(&key[..8])),
        position: RowPosition {
            partition: (u32::from_be_bytes(partition) ^ (1 << 31)).cast_signed(),
            offset: number(&key[12..]),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite::{self, row, schema};
    use super::*;

    fn open(path: &Path, rows_max: u64) -> RedbStore {
        RedbStore::open(path, schema(), rows_max).expect("opens")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_in_memory_passes_the_suite() {
        let in_memory = || open(Path::new(""), 10_000);
        suite::check(async || Arc::new(in_memory()) as Arc<dyn TrainingStore>).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_on_disk_passes_the_suite() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let opened = std::sync::atomic::AtomicU32::new(0);
        let on_disk = || {
            let number = opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            open(&folder.path().join(number.to_string()), 10_000)
        };
        suite::check(async || Arc::new(on_disk()) as Arc<dyn TrainingStore>).await;
    }

    #[tokio::test]
    async fn a_file_keeps_its_rows_and_has_one_owner() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("rows");
        let rows = vec![row(1, 10, 0, 0), row(2, 20, 0, 1)];
        let store = open(&path, 9);
        store.insert(rows.clone()).await.expect("inserted");
        assert!(RedbStore::open(&path, schema(), 9).is_err(), "a second owner is refused");
        assert_eq!(RedbStore::look(&path).expect("looked at"), Found::InUse);
        drop(store);
        assert_eq!(RedbStore::look(&path).expect("looked at"), Found::Rows(2));
        let absent = folder.path().join("absent");
        assert_eq!(RedbStore::look(&absent).expect("looked at"), Found::Absent);
        assert!(!absent.exists());
        let store = open(&path, 9);
        assert_eq!(store.insert(vec![rows[0].clone()]).await.expect("inserted"), 0);
        assert_eq!(store.newest(9, rows[1].order()).await.expect("read"), rows);
    }

    /// What makes room is the oldest by event time, and it may come again: it is not remembered.
    #[tokio::test]
    async fn beyond_the_limit_the_oldest_rows_go() {
        let store = open(Path::new(""), 3);
        let rows: Vec<_> = [3, 1, 4, 2, 5].map(|n| row(n, n.into(), 0, n.into())).into();
        store.insert(rows).await.expect("inserted");
        let kept: Vec<_> = (3..=5).map(|n| row(n, n.into(), 0, n.into())).collect();
        assert_eq!(store.newest(9, kept[2].order()).await.expect("read"), kept);
        for (id, stored) in [(2, false), (3, true)] {
            assert_eq!(store.contains(row(id, 0, 0, 0).id()).await.expect("looked up"), stored);
        }
        store.insert(vec![row(6, 6, 0, 6)]).await.expect("inserted");
        assert!(!store.contains(kept[0].id()).await.expect("looked up"));
        assert_eq!(store.count().await.expect("counted"), 3);
    }

    #[test]
    fn a_file_that_is_no_store_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), "no store").expect("written");
        let error = RedbStore::open(file.path(), schema(), 9).expect_err("refused");
        assert_eq!(error.to_string(), "open the file of training rows");
    }

    #[test]
    fn keys_keep_the_order_of_rows() {
        let order = |micros, partition, offset| RowOrder {
            time: EventTime::from_micros(micros),
            position: RowPosition { partition, offset },
        };
        let rows =
            [order(-5, 0, 9), order(0, 0, 0), order(0, 0, 1), order(0, 1, 0), order(7, 0, 0)];
        for pair in rows.windows(2) {
            assert!(pair[0] < pair[1] && key_of(pair[0]) < key_of(pair[1]));
        }
        assert!(rows.iter().all(|&row| order_of(&key_of(row)) == row));
    }
}
