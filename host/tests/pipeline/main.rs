//! The whole host against an embedded Kafka broker, reached by the real client.
//!
//! One test binary: linking one takes longer than most of the tests. Each test has its own broker.

mod fish;
mod flow;
mod foreign;
mod lifecycle;
mod line;
mod models;
mod restarts;
#[cfg(feature = "servers")]
mod shared_store;
mod trust;
mod vitals;
