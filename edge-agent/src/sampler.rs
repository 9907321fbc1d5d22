//! Where events come from.
//!
//! A sampler is a stream of events in the order in which they are to be sent. It is lazy: nothing is read ahead of what
//! the spool takes, so a run of a million events needs no more memory than one of ten, and a full spool holds the source
//! back. Dropping the future that waits for the next event loses none (as for every [`Stream`]).

use std::path::PathBuf;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, stream};
use weir_events::{EventKind, EventTime};

/// What is sent as one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Decides the MQTT topic.
    pub kind: EventKind,
    /// The message's payload, unchanged up to Kafka's doorstep.
    pub payload: Bytes,
    /// When it is due, in event time. The payload usually says the same.
    pub at: EventTime,
    /// Where the source goes on behind it.
    pub position: Position,
}

/// Where a source stands, in its own terms. It is stored with each event, so that a source that can be read again is
/// read on from exactly where the spool ends, whatever happened to the process. Zero for sources that cannot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Position {
    /// What is read, for example the number of a file's inode.
    pub source: u64,
    /// How far, for example in bytes.
    pub offset: u64,
}

/// Yields the events of one machine, in order. Implemented by every stream of that kind.
pub trait Sampler: Stream<Item = Result<Event, SampleError>> + Send + Unpin {}

impl<S: Stream<Item = Result<Event, SampleError>> + Send + Unpin> Sampler for S {}

/// Any sampler.
pub type AnySampler = Pin<Box<dyn Stream<Item = Result<Event, SampleError>> + Send>>;

/// A sampler of what never has to be waited for.
pub fn at_hand<I>(events: I) -> AnySampler
where
    I: IntoIterator<Item = Result<Event, SampleError>>,
    I::IntoIter: Send + 'static,
{
    Box::pin(stream::iter(events))
}

/// Why no more events come.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A file cannot be opened or read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A table cannot be read.
    #[error("read {path}")]
    Table {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: csv::Error,
    },
    /// A table has no column for a field of the schema.
    #[error("read {path}: no column is named {column:?} (case does not matter)")]
    Column {
        /// The file.
        path: PathBuf,
        /// The field.
        column: String,
    },
}
