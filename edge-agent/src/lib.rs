//! The edge agent: takes samples at a machine and publishes them over MQTT, losing none and keeping their
//! order.
//!
//! ```text
//! sampler ─► gate ─► backlog ─► link ─► broker ─► bridge ─► Kafka
//! (simulate,  (pace,   (spool on  (one connection,              │
//!  replay,     lockstep) disk)      a new one after any error)   │
//!  read)                   ▲                                     │
//!                          └──────── confirmations ◄─────────────┘
//! ```
//! The [`Sampler`]s yield [`Event`]s in the order in which they are to be sent. A [`Gate`] holds each of
//! them back until its time has come. The [`Backlog`] has each on disk before it counts as taken, and keeps it until
//! the bridge has confirmed that Kafka has it. The [`Courier`], a pure state machine, says what is sent when,
//! and what may be deleted. [`run`] composes them and owns all waiting.
//!
//! This crate links neither Kafka nor wasmtime nor a database. Only [`simulate`] knows what a fish is.

mod backlog;
pub mod cli;
mod config;
mod courier;
mod feed;
mod gate;
mod link;
mod payload;
mod progress;
pub mod read;
pub mod replay;
mod run;
mod sampler;
mod schedule;
pub mod simulate;
mod state;
mod traced;
mod vitals;

pub use backlog::{Backlog, BacklogError};
pub use config::{
    AgentConfig, DEFAULTS, DeliveryConfig, Limits, ScheduleConfig, SpoolConfig, TopicWords,
    WhenFull,
};
pub use courier::{Courier, CourierSettings, Span, Until};
pub use gate::{Gate, Open, Pace, Speed};
pub use progress::{Counts, Progress};
pub use run::{AgentError, Parts, Report, run};
pub use sampler::{AnySampler, Event, Position, SampleError, Sampler, at_hand};
pub use schedule::{Schedule, Timed, Timing};
pub use vitals::AgentVitals;
