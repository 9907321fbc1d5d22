//! Model versions as a host handles them: trained from rows, published to Kafka, read from there, and
//! put into service.

mod candidate;
mod catalog;
mod serving;
mod training;

pub use catalog::{Catalog, Publication};
pub(crate) use serving::FOLLOWER;
pub use serving::{Active, ModelSlot, follow};
pub use training::{Row, Trained, Trainer};
