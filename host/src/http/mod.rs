//! What people and programs see of a line over HTTP: an interface for programs, and a page.
//!
//! ```text
//! topics ─► watch ─► picture ─┬─► page, charts, lists        readers: whoever reaches the port
//!                             └─► events (server-sent)
//! model slot ─► predict                                      the same component that predicts events
//! operators ─► guard (origin, token) ─► model::ask ─► trainer    writers: who has a token
//! ```
//!
//! The server shows what is in Kafka, as any consumer could, so each host shows the whole line, whatever its own
//! roles. It decides nothing: what an operator asks for goes to the trainer as a request, like that of `weir model`.
//!
//! **Invariants.** Memory and time for strangers are bounded: connections, bodies, requests in a second, listeners to
//! events. Nothing is written without a token. The page takes nothing from anywhere else.

mod charts;
mod config;
mod events;
mod fault;
mod guard;
mod limits;
mod models;
mod openapi;
mod page;
mod predict;
mod server;
mod status;
mod watch;

use std::sync::{Arc, Mutex};

use weir_events::Schema;
use weir_runtime::Worker;
use weir_service::Clock;

use crate::config::HostConfig;
use crate::model::{Active, ModelSlot};

pub use config::HttpSection;
pub use server::HttpServer;
pub(crate) use watch::Watch;
pub use watch::seen;

/// What a server shows.
pub(crate) struct Served {
    pub(crate) config: Arc<HostConfig>,
    pub(crate) schema: Arc<Schema>,
    /// The model in service.
    pub(crate) slot: ModelSlot,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) watch: Watch,
}

/// What every handler has at hand.
struct App {
    config: Arc<HostConfig>,
    schema: Arc<Schema>,
    slot: ModelSlot,
    /// One instance answers all requests, one after the other.
    worker: Mutex<Worker<Active>>,
    clock: Arc<dyn Clock>,
    watch: Watch,
    charts: charts::Charts,
    tokens: guard::Tokens,
    limits: limits::Limits,
    /// Held while the trainer is asked for something.
    asking: tokio::sync::Mutex<()>,
}

type Shared = axum::extract::State<Arc<App>>;

impl App {
    fn new(served: Served, tokens: guard::Tokens) -> Self {
        let Served { config, schema, slot, clock, watch } = served;
        let limits = limits::Limits::new(config.http.requests_per_second);
        let worker = Mutex::new(Worker::new(Arc::clone(slot.slot())));
        let (asking, charts) = (tokio::sync::Mutex::new(()), charts::Charts::default());
        Self { config, schema, slot, worker, clock, watch, charts, tokens, limits, asking }
    }
}
