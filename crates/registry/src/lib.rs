//! Model versions: what a manifest says, and in which order versions are accepted.
//!
//! Versions travel through one compacted Kafka topic with one partition. A component's bytes are
//! written under `blob/<digest>`, and then its manifest under `manifest/<model>`, so whoever sees a
//! manifest has seen the bytes. [`Log`] is the pure state machine that reads that topic. It neither
//! compiles nor trusts a component: the caller loads and tests what it is given.
//!
//! Signatures and versions on disk are not here yet.
//!
//! Invariants:
//! - Versions are numbered from 1 and only ever rise. Of two manifests with one number the first counts.
//! - A component is handed out only if its bytes have the digest that its manifest names.
//! - What a reader ends with does not depend on when it started.

mod log;
mod manifest;

pub use log::{Candidate, Log, RecordKey, Refusal};
pub use manifest::{Coefficient, Golden, Manifest, Metrics, TrainingRows};
