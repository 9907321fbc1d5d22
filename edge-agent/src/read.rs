//! Live sources: what a machine says while it says it.
//!
//! Three places where lines come from, and one way to read them:
//!
//! ```text
//! stdin  ─► cutter ─► form ─► event          cutter: bytes to lines, bounded
//! file   ─► (one for each source,            form:   a line to kind, payload and time
//! tcp    ─►  or client)
//! ```
//! A file also says where it goes on behind each event ([`Position`]); the other two cannot be read
//! again, and say zero. Reading never paces and never judges: what cannot be read as an event is passed on as it is, for
//! the bridge to set aside. The only thing that is not passed on is the part of a line that lies behind the size limit;
//! what is left of such a line is one byte above the limit, so whoever takes the events counts it as too large.
//!
//! **Invariants.** Each source holds at most one line up to the limit, one chunk and 64 events (TCP: a line and a
//! chunk for each client). When events are not taken, nothing is read. Dropping the future that waits for the next event
//! loses none; dropping the stream loses only what it never yielded. No `await` waits for a disk.

mod cutter;
mod file;
mod follow;
mod form;
mod options;
mod rotation;
mod stdin;
mod tcp;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::stream;
use tokio::sync::mpsc;
use weir_events::{EventKind, Schema};
use weir_service::Clock;

use crate::sampler::{AnySampler, Event, Position, SampleError};
use form::Form;

pub use options::{EventChoice, FileSource, Format, From, Options, Source, TcpSource};

/// How many events a source may be ahead of whoever takes them.
const AHEAD: usize = 64;

/// Why a source cannot be read from the start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file cannot be opened.
    #[error("read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Places are kept for files only.
    #[error("read {path}: it is not a file; pass it in with: read stdin < {path}")]
    NotAFile {
        /// What it is called.
        path: PathBuf,
    },
    /// The address cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Columns make no sense without a table.
    #[error("read with --columns: they name the cells of --format csv")]
    ColumnsOfJson,
    /// No row can be an event.
    #[error("read with --columns: none is named {column:?} (case does not matter)")]
    Column {
        /// The field.
        column: String,
    },
}

/// Starts to read a source.
///
/// `resume` is the position of the last event that was kept, and zero if there is none. `bytes_max` is the size limit of
/// a payload. Must be called within a Tokio runtime.
///
/// # Errors
/// If the options contradict each other, or the source cannot be read.
pub fn open(
    source: Source,
    options: &Options,
    resume: Position,
    schema: &Schema,
    clock: Arc<dyn Clock>,
    bytes_max: usize,
) -> Result<AnySampler, OpenError> {
    let form = Form::new(options, schema, clock, bytes_max)?;
    match source {
        Source::Stdin => Ok(stdin::open(form)),
        Source::File(source) => file::open(&source, form, resume),
        Source::Tcp(source) => tcp::open(&source, &form),
    }
}

type Yielded = Result<Event, SampleError>;

/// The stream of what a source sends. `owned` lives as long as the stream.
fn received(mut events: mpsc::Receiver<Yielded>, owned: impl Send + 'static) -> AnySampler {
    Box::pin(stream::poll_fn(move |context| {
        let _ = &owned;
        events.poll_recv(context)
    }))
}

/// The kind that a choice fixes.
fn fixed(choice: EventChoice) -> Option<EventKind> {
    match choice {
        EventChoice::Measurement => Some(EventKind::Measurement),
        EventChoice::Target => Some(EventKind::Target),
        EventChoice::Auto => None,
    }
}
