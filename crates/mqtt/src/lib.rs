//! MQTT 5 as Weir needs it: the only place that names rumqttc.
//!
//! [`Subscriber`] receives for good and never ends; [`Publisher`] is one connection and ends with its
//! first error. They are separate clients on purpose: in rumqttc a full window of published messages
//! holds back acknowledgements too.
//!
//! Facts that shape this crate, found by experiment with rumqttc 0.25.1: after a reconnect it silently
//! loses published messages, so its reconnecting is never used; a late acknowledgement acknowledges another
//! message, so tokens carry the generation of their connection; a message above the size limit ends
//! the connection, so the broker is told the limit.
//!
//! Not here: what a topic or payload means, and the queue that survives a lost connection (the agent's
//! spool).

mod acks;
mod backoff;
pub mod bare;
mod config;
mod connection;
mod connector;
mod denial;
mod error;
mod in_flight;
mod presence;
mod publisher;
mod subscriber;
mod visit;

pub use acks::{AckToken, Acks};
pub use backoff::Backoff;
pub use config::{MqttConfig, MqttConfigError, is_filter};
pub use connector::Connector;
pub use denial::Denial;
pub use error::LinkError;
pub use presence::Presence;
pub use publisher::{Message, Opening, PublishError, Publisher, PublisherEvent, Refusal};
pub use subscriber::{Incoming, Subscriber, SubscriberEvent};
pub use visit::{Granted, visit};
