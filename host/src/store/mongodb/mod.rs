//! Training rows in a collection of MongoDB, which processes can share and other programs can read.
//!
//! A row is one document (`document` has its form), and its `_id` is the event's id. So a row that comes
//! again meets a duplicate key, which means that it is stored; every other error is one. An insertion counts
//! when a majority of the servers has it in its journal: the sink commits its offset on the strength of it.
//! The server waits for that also when it refuses a duplicate.
//!
//! One index, in the order of rows, answers [`TrainingStore::newest`]; `_id`'s answers `contains`. Rows are
//! only ever inserted and read (a run that has a database of its own removes it whole): how long they are
//! kept is decided by whoever looks after the database.
//!
//! Every call is bounded in time and may be repeated. Nothing here retries: that is up to the caller.

mod connection;
mod document;
#[cfg(all(test, feature = "servers"))]
mod tests;

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::event::EventHandler;
use mongodb::event::sdam::{SdamEvent, ServerHeartbeatFailedEvent};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection, IndexModel};
use weir_events::{EventId, Schema};
use weir_service::ConfigError;

use self::document::WEIR;
use super::{Access, Cause, RowOrder, StoreError, TrainingRow, TrainingStore};
use crate::config::StoreSection;

/// Documents in one insertion: what a busy second brings, in a message far below the server's limit.
const BATCH_MAX: usize = 1_000;
/// How long the driver may take over one call. It has no limit of its own for a silent connection.
const CALL_MAX: Duration = Duration::from_secs(30);
/// Documents that one answer to [`TrainingStore::newest`] carries at most.
const ANSWER_MAX: u32 = 1_000;
/// The server's code for a key that exists.
const DUPLICATE_KEY: i32 = 11_000;

/// The store in MongoDB. Cheap to clone.
#[derive(Clone)]
pub struct MongoStore {
    rows: Collection<Document>,
    schema: Arc<Schema>,
    unreached: Unreached,
}

impl std::fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MongoStore").field("rows", &self.rows.namespace()).finish_non_exhaustive()
    }
}

/// Checks what does not need the server: the URI, the files, and that the schema leaves MongoDB its names.
///
/// # Errors
/// The setting that is wrong.
pub(crate) fn check(section: &StoreSection, schema: &Schema) -> Result<(), ConfigError> {
    connection::connection(section)?;
    let names = schema.features.iter().chain(&schema.factor).chain(&schema.key);
    for name in names.chain([&schema.target, &schema.timestamp]) {
        if document::RESERVED.contains(&name.as_str()) {
            let message = format!("schema: {name:?} is a name of its own in the MongoDB store");
            return Err(ConfigError::value(message));
        }
    }
    Ok(())
}

impl MongoStore {
    /// A store that connects in the background. [`MongoStore::prepare`] tells whether it can.
    ///
    /// # Errors
    /// If a setting is wrong.
    pub async fn connect(section: &StoreSection, schema: Arc<Schema>) -> Result<Self, ConfigError> {
        let connection = connection::connection(section)?;
        let refused = |error: Error| {
            let message = format!("store.uri: the driver cannot use it: {}", error.kind);
            connection::misconfigured(&error).unwrap_or_else(|| ConfigError::value(message))
        };
        let mut options = ClientOptions::parse(connection).await.map_err(refused)?;
        let unreached = Unreached::default();
        let observer = unreached.clone();
        options.sdam_event_handler = Some(EventHandler::callback(move |event| observer.see(event)));
        let client = Client::with_options(options).map_err(refused)?;
        let rows = client.database(&section.database).collection(&section.collection);
        Ok(Self { rows, schema, unreached })
    }

    /// The first contact: shows that the server lets this process do what it is to do, and makes the index.
    ///
    /// # Errors
    /// If the server is away, which may pass; or if it refuses this configuration, which is fatal.
    pub async fn prepare(&self, access: Access) -> Result<(), StoreError> {
        let contact = async {
            match access {
                Access::Write => {
                    let index = IndexModel::builder().keys(order(1)).build();
                    self.rows.create_index(index).await.map(drop)
                }
                Access::Read => self.rows.find_one(doc! {}).await.map(drop),
            }
        };
        let Err(error) = bounded(contact).await else { return Ok(()) };
        let unreached = self.unreached.behind(&error);
        let reason = unreached.as_ref().map_or(&error, |event| &event.failure);
        let source = match connection::misconfigured(reason) {
            Some(setting) => setting.into(),
            None => self.cause(&error),
        };
        Err(StoreError { action: "reach the collection of", source })
    }

    /// Removes the database, with everything in it.
    ///
    /// # Errors
    /// If the server is away or refuses.
    pub async fn remove(&self) -> Result<(), StoreError> {
        let database = self.rows.client().database(&self.rows.namespace().db);
        bounded(database.drop().into_future()).await.map_err(self.failed("remove"))
    }

    /// Inserts one batch of different rows. Returns how many were new.
    async fn insert_batch(&self, batch: &[Document]) -> Result<u64, Error> {
        match bounded(self.rows.insert_many(batch).ordered(false).into_future()).await {
            Ok(_) => Ok(batch.len() as u64),
            Err(error) => match repeated(&error) {
                Some(repeated) => Ok((batch.len() - repeated) as u64),
                None => Err(error),
            },
        }
    }

    async fn read_newest(&self, n: usize, last: RowOrder) -> Result<Vec<TrainingRow>, Error> {
        // Not a limit: documents of another schema do not count.
        let answer = u32::try_from(n).unwrap_or(ANSWER_MAX).clamp(1, ANSWER_MAX);
        let found = self.rows.find(upto(last)).sort(order(-1)).batch_size(answer);
        let mut cursor = found.await?;
        let mut rows = Vec::new();
        while rows.len() < n && cursor.advance().await? {
            match document::decode(&self.schema, &cursor.deserialize_current()?) {
                Ok(row) => rows.push(row),
                // Stored under another schema: of no use to this one, and no reason to stand still.
                Err(error) => tracing::debug!(error, "a stored row is passed over"),
            }
        }
        rows.reverse();
        Ok(rows)
    }

    fn failed(&self, action: &'static str) -> impl Fn(Error) -> StoreError {
        move |error| StoreError { action, source: self.cause(&error) }
    }

    fn cause(&self, error: &Error) -> Cause {
        match self.unreached.behind(error) {
            Some(event) => format!(
                "no server answers; {} was tried last: {}; is it running, and is store.uri right?",
                event.server_address, event.failure.kind
            )
            .into(),
            None => in_words(error),
        }
    }
}

#[async_trait]
impl TrainingStore for MongoStore {
    async fn insert(&self, rows: Vec<TrainingRow>) -> Result<u64, StoreError> {
        // Of two rows with one id in one insertion the server need not take the first.
        let mut ids = HashSet::new();
        let documents: Vec<Document> = rows
            .iter()
            .filter(|row| ids.insert(row.id()))
            .map(|row| document::encode(&self.schema, row))
            .collect();
        let mut new = 0;
        for batch in documents.chunks(BATCH_MAX) {
            new += self.insert_batch(batch).await.map_err(self.failed("insert"))?;
        }
        Ok(new)
    }

    async fn contains(&self, id: EventId) -> Result<bool, StoreError> {
        let only_id =
            self.rows.find_one(doc! { "_id": id.to_string() }).projection(doc! { "_id": 1 });
        let found = bounded(only_id.into_future()).await.map_err(self.failed("look up"))?;
        Ok(found.is_some())
    }

    async fn newest(&self, n: usize, last: RowOrder) -> Result<Vec<TrainingRow>, StoreError> {
        bounded(self.read_newest(n, last)).await.map_err(self.failed("read"))
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let counted = self.rows.count_documents(doc! {}).into_future();
        bounded(counted).await.map_err(self.failed("count"))
    }
}

/// How many rows an insertion found stored, if that is all that went wrong.
fn repeated(error: &Error) -> Option<usize> {
    let ErrorKind::InsertMany(partial) = &*error.kind else { return None };
    let errors = partial.write_errors.as_deref().unwrap_or_default();
    let stored = !errors.is_empty() && errors.iter().all(|error| error.code == DUPLICATE_KEY);
    (stored && partial.write_concern_error.is_none()).then_some(errors.len())
}

/// An error in words that a log can take: the driver's own list every row of an insertion.
fn in_words(error: &Error) -> Cause {
    let ErrorKind::InsertMany(partial) = &*error.kind else { return error.kind.to_string().into() };
    let errors = partial.write_errors.as_deref().unwrap_or_default();
    let refused: Vec<_> = errors.iter().filter(|error| error.code != DUPLICATE_KEY).collect();
    match (refused.first(), &partial.write_concern_error) {
        (Some(first), _) => {
            let (n, code, message) = (refused.len(), first.code, &first.message);
            format!("{n} rows are refused, the first with error {code}: {message}").into()
        }
        (None, Some(unconfirmed)) => {
            let (code, message) = (unconfirmed.code, &unconfirmed.message);
            format!("not confirmed by a majority of the servers, error {code}: {message}").into()
        }
        (None, None) => error.kind.to_string().into(),
    }
}

/// The order of rows, as index and as sort.
fn order(direction: i32) -> Document {
    let field = |name| format!("{WEIR}.{name}");
    doc! {
        field("Timestamp"): direction, field("Partition"): direction, field("Offset"): direction,
    }
}

/// Rows up to and including this place. One range of the index, from which the rows of the same time that
/// come after are taken away: with alternatives in its place the server might choose to sort.
fn upto(last: RowOrder) -> Document {
    let field = |name| format!("{WEIR}.{name}");
    let (time, place) = (last.time.as_micros(), last.position);
    doc! {
        field("Timestamp"): { "$lte": time },
        "$nor": [
            { field("Timestamp"): time, field("Partition"): { "$gt": place.partition } },
            {
                field("Timestamp"): time,
                field("Partition"): place.partition,
                field("Offset"): { "$gt": place.offset },
            },
        ],
    }
}

async fn bounded<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(CALL_MAX, call).await.unwrap_or_else(|_| {
        let silence = format!("no answer within {CALL_MAX:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, silence).into())
    })
}

/// The last failure to reach a server, until one is reached. When the driver finds no server it tells the
/// reason only as text, in the middle of all that it knows about all of them.
#[derive(Clone, Default)]
struct Unreached(Arc<Mutex<Option<ServerHeartbeatFailedEvent>>>);

impl Unreached {
    fn see(&self, event: SdamEvent) {
        let now = match event {
            SdamEvent::ServerHeartbeatFailed(event) => Some(event),
            SdamEvent::ServerHeartbeatSucceeded(_) => None,
            _ => return,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// What is behind an error, if it is that no server was found.
    fn behind(&self, error: &Error) -> Option<ServerHeartbeatFailedEvent> {
        let none_found = matches!(*error.kind, ErrorKind::ServerSelection { .. });
        none_found.then(|| self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).flatten()
    }
}

#[cfg(test)]
mod partial_results {
    use super::*;

    /// What a server answers to an insertion, as the driver hands it on.
    fn partial(codes: &[i32], confirmed: bool) -> Error {
        let write_errors: Vec<_> = (0..)
            .zip(codes)
            .map(|(index, code)| doc! { "index": index, "code": code, "errmsg": "refused" })
            .collect();
        let mut answer = doc! { "writeErrors": write_errors };
        if !confirmed {
            answer
                .insert("writeConcernError", doc! { "code": 64, "codeName": "", "errmsg": "late" });
        }
        let partial = mongodb::bson::deserialize_from_document(answer).expect("an answer");
        ErrorKind::InsertMany(partial).into()
    }

    #[test]
    fn only_duplicates_that_a_majority_has_are_success() {
        let check = |codes: &[i32], confirmed, expected, words: &str| {
            let error = partial(codes, confirmed);
            assert_eq!(repeated(&error), expected, "{codes:?} {confirmed}");
            assert!(in_words(&error).to_string().contains(words), "{error}");
        };
        check(&[11_000, 11_000], true, Some(2), "");
        check(
            &[11_000, 121, 121],
            true,
            None,
            "2 rows are refused, the first with error 121: refused",
        );
        check(&[11_000], false, None, "not confirmed by a majority of the servers, error 64: late");
        check(&[], false, None, "error 64");
        check(&[], true, None, "");
        assert_eq!(repeated(&io::Error::other("lost").into()), None);
    }
}
