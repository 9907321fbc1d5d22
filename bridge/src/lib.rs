//! The bridge from MQTT to Kafka.
//!
//! ```text
//!  MQTT broker ──► subscriber ──► transform ──► ledger ──► relay ──► outlet ──► Kafka
//!       ▲                                         │         │  ▲                  │
//!       ├───────────── confirmation ──────────────┘         │  └─ delivery report ┘
//!       └───────────── acknowledgement ─────────────────────┘
//! ```
//!
//! [`transform`] says which record a message becomes, [`ledger`] whether it is new and whom to tell what is in Kafka,
//! [`relay`] when it may be acknowledged; all are pure. [`run`] is the shell around them.
//!
//! Invariants:
//! - Every message becomes exactly one record, the event or a dead letter that says why, unless its sender has
//!   numbered it and the same number came before, or one before it did not.
//! - A message is acknowledged to the MQTT broker only when Kafka has its record.
//! - The device of an event is the one in the MQTT topic, never one that a payload names.
//! - Nothing waits in an unbounded queue; what Kafka does not take stays with the MQTT broker.
//!
//! Not here: repeated messages that nobody has numbered are handed down with the same id and told apart behind Kafka;
//! models, windows and joins are the host's.

pub mod cli;
pub mod config;
mod counters;
mod kafka;
pub mod ledger;
pub mod relay;
pub mod route;
mod service;
mod session;
pub mod standby;
pub mod template;
pub mod transform;
mod vitals;
mod watch;

pub use config::BridgeConfig;
pub use counters::{BridgeCounters, Snapshot};
pub use service::run;
pub use vitals::BridgeVitals;
