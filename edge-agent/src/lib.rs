//! The edge agent: takes samples at a machine and publishes them over MQTT, losing none and keeping their
//! order.
//!
//! ```text
//! sampler ─► gate ─► outbox ─► publisher ─► broker
//! (simulate,  (pace,  (bounded,   (one connection,
//!  replay,     lockstep) resends)  QoS 1)
//!  read)
//! ```
//! The [`Sampler`]s yield [`Event`]s in the order in which they are to be sent. A [`Gate`] holds each of
//! them back until its time has come. The [`Outbox`] keeps them until the broker's PUBACK. [`run`]
//! composes them and owns all waiting.
//!
//! The outbox is in memory: what it holds is lost with the process, and a PUBACK proves only that the broker
//! holds a message in its memory. A spool on disk, epochs and acknowledgements from behind Kafka will
//! take the outbox's place behind the same interface.
//!
//! This crate links neither Kafka nor wasmtime nor a database. Only [`simulate`] knows what a fish is.

pub mod cli;
mod config;
mod feed;
mod gate;
mod outbox;
mod payload;
mod progress;
pub mod read;
pub mod replay;
mod run;
mod sampler;
mod schedule;
pub mod simulate;

pub use config::{AgentConfig, DEFAULTS, Limits, ScheduleConfig, TopicWords};
pub use gate::{Gate, Open, Pace, Speed};
pub use outbox::{Full, Outbox, Record, Settled};
pub use progress::{Counts, Progress};
pub use run::{AgentError, Parts, Report, run};
pub use sampler::{AnySampler, Event, Position, SampleError, Sampler, at_hand};
pub use schedule::{Schedule, Timed, Timing};
