//! Brokers inside the process, for the demo and for fast tests: nothing to install, nothing kept.
//!
//! Both are real: other processes can connect to them. Both listen on loopback only, on free ports, and
//! forget everything at the end. The servers that production uses are Mosquitto or EMQX and Apache Kafka.

pub mod kafka;
pub mod mqtt;
pub mod proxy;
