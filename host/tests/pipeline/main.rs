//! The whole host against an embedded Kafka broker, reached by the real client.
//!
//! One test binary: linking one takes longer than most of the tests. Each test has its own broker.

mod fish;
mod flow;
mod foreign;
/// Written as text, and made components here: the runtime's tests have them too.
#[expect(dead_code, reason = "the host never asks such a guest to fit")]
#[path = "../../../crates/runtime/tests/it/guest.rs"]
mod guest;
mod hostile;
mod lifecycle;
mod line;
mod models;
mod restarts;
#[cfg(feature = "servers")]
mod shared_store;
mod trust;
mod vitals;
