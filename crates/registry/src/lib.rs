//! Model versions: what a manifest says, who may say it, and in which order versions are accepted.
//!
//! Versions travel through one compacted Kafka topic with one partition. A component's bytes are written under
//! `blob/<digest>`, and then its manifest, signed, under `manifest/<model>/<version>`, so whoever sees a manifest has seen
//! the bytes. [`Log`] is the pure state machine that reads that topic, [`Rules`] are what a trainer decides by, and
//! [`Layout`] keeps versions on disk in the form of the Open Container Initiative. Nothing here compiles a component: the
//! caller loads and tests what it is given.
//!
//! Invariants:
//! - Versions are numbered from 1 and only ever rise. Of two manifests with one number the first counts.
//! - Nothing that no pinned key has signed is read further than its signature.
//! - A component is handed out only if its bytes have the digest that its manifest names.
//! - What a reader ends with does not depend on when it started.

mod card;
mod envelope;
mod key;
mod layout;
mod lifecycle;
mod log;
mod manifest;
mod request;
#[cfg(test)]
mod tests;
mod trust;

pub use envelope::{Envelope, PAYLOAD_TYPE};
pub use key::{KeyError, KeyId, PublicKey, SecretKey};
pub use layout::{COMPONENT_TYPE, CONFIG_TYPE, Image, Layout, LayoutError, Stored};
pub use lifecycle::{Decision, Policy, Rules};
pub use log::{Accepted, Floor, Log, RecordKey, Refusal};
pub use manifest::{
    Cause, CauseKind, Coefficient, Golden, HoldOut, Manifest, Metrics, Selection, Stage,
    TrainingRows,
};
pub use request::{Action, Answer, Request};
pub use trust::{ENVELOPE_BYTES_MAX, Trust, TrustError};
