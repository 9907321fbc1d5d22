//! What travels between Weir's services: event types, the schema that names their fields, their
//! JSON form, topic names and the reasons for which an event is refused.
//!
//! This crate is the contract that every service shares. It performs no I/O and reads no clock:
//! the time of reception is an argument. Nothing in it knows a fish: the names of key, timestamp,
//! target, features and factor come from a [`Schema`].
//!
//! Invariants:
//! - A [`Measurement`] or [`Target`] that exists is valid: finite numbers, in range, a target
//!   above zero, a non-empty key.
//! - Decoding never panics; every refusal is a [`Rejection`] with a reason of a closed set.
//! - Encoding and decoding again gives the same value, to the last bit of every number.

mod codec;
mod decode;
mod delivery;
mod formula;
mod id;
mod model;
mod records;
mod rejection;
mod round;
mod schema;
mod time;
mod topics;
mod trace;

pub use decode::{Decoded, EventKind, Source};
pub use delivery::{Confirmation, DeliveryError, Epoch, Gap, GapReason, Stamp};
pub use formula::{Formula, FormulaError};
pub use id::{EventId, EventIdError, Key};
pub use model::{Digest, DigestError, ModelRef, ModelVersion};
pub use records::{
    Compared, Joined, Measurement, Missing, Outcome, Prediction, RowPosition, Shadow, Side, Target,
    Trigger, Unjoined, UnjoinedReason, WindowClosed,
};
pub use rejection::{Reason, Rejection};
pub use round::{relative_error, round_half_even};
pub use schema::{Range, Schema, SchemaConfig, SchemaError};
pub use time::{EventTime, TimeError};
pub use topics::{TopicNames, headers};
pub use trace::{TraceContext, TraceContextError};
