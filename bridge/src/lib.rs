//! The bridge from MQTT to Kafka.
//!
//! ```text
//!  MQTT broker ──► subscriber ──► transform ──► relay ──► outlet ──► Kafka
//!       ▲                                        │  ▲                  │
//!       └───────────── acknowledgement ──────────┘  └─ delivery report ┘
//! ```
//!
//! [`transform`] says which record a message becomes, [`relay`] when it may be acknowledged; both are
//! pure. [`run`] is the shell around them.
//!
//! Invariants:
//! - Every message becomes exactly one record: the event, or a dead letter that says why.
//! - A message is acknowledged to the MQTT broker only when Kafka has its record.
//! - The device of an event is the one in the MQTT topic, never one that a payload names.
//! - Nothing waits in an unbounded queue; what Kafka does not take stays with the MQTT broker.
//!
//! Not here: repeated messages are handed down with the same id and told apart behind Kafka;
//! models, windows and joins are the host's.

pub mod config;
mod counters;
mod kafka;
pub mod relay;
pub mod route;
mod service;
pub mod transform;

pub use config::BridgeConfig;
pub use counters::BridgeCounters;
pub use service::run;
