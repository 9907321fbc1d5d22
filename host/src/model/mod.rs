//! Model versions as a host handles them: trained from rows, published to Kafka, read from there, kept on disk, and put into
//! service.

mod ask;
mod candidate;
mod catalog;
mod disk;
mod hold_out;
mod selection;
mod serving;
mod training;

pub use ask::{Answered, Asking, ask};
pub use candidate::{Unfit, check};
pub use catalog::{Catalog, Publication};
pub use hold_out::compare;
pub use selection::{Division, Rows};
pub(crate) use serving::FOLLOWER;
pub use serving::{Active, Follower, ModelSlot};
pub use training::{Row, Trained, Trainer};
