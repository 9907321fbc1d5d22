//! Where events come from.
//!
//! A sampler is an iterator over events in the order in which they are to be sent. It is lazy: a run
//! of a million events needs no more memory than one of ten.

use std::path::PathBuf;

use bytes::Bytes;
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
}

/// Yields the events of one machine, in order. Implemented by every iterator of that kind.
pub trait Sampler: Iterator<Item = Result<Event, SampleError>> + Send {}

impl<S: Iterator<Item = Result<Event, SampleError>> + Send> Sampler for S {}

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
