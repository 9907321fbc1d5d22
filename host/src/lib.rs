//! The host: everything between the measurements in Kafka and the next model version.
//!
//! ```text
//! measurements ─► predict ─► predictions ─┐
//!                    ▲                    ├─► join ─► joined rows ─┬─► sink ─► training rows ─┐
//!                    │          targets ──┘                        └─► drift ─► triggers ─────┴─► train
//!                    └──────────────────────────── models ◄─────────────────────────────────────────┘
//! ```
//!
//! Each box is a role; a process has one or several of them and they meet only in Kafka topics (sink and
//! train also in the store of training rows). A role is a thin shell around a pure state machine.
//!
//! Invariants:
//! - An offset is committed only after everything that follows from the records before it is durable.
//! - Every output carries the id of the event it is computed from, so repeating work is harmless.
//! - A prediction names the one model version that made it.

pub mod cli;
mod config;
mod control;
mod counters;
pub mod http;
mod lag;
mod layout;
pub mod model;
mod outputs;
mod roles;
mod run;
mod serve;
pub mod store;
pub mod training_csv;
mod trust;
mod vitals;

pub use config::{
    DEFAULTS, HostConfig, JoinSection, KafkaSection, LimitsSection, ModelsSection,
    PromotionSection, Role, StoreSection, TrainSection, TrustSection, UnseenLevelSection,
    WindowSection,
};
pub use control::Control;
pub use counters::{Counts, HostCounters};
pub use roles::id_of;
pub use run::{open_training_rows, run};
pub use serve::serve;
pub use vitals::HostVitals;
