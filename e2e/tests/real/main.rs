//! Weir against Apache Kafka, Mosquitto and a MongoDB-protocol server. See the crate for where they are.
//! One program holds all tests, so that it is linked once.

mod commands;
mod demo;
mod foreign;
mod groups;
mod lifecycle;
mod links;
mod metrics;
mod plant;
mod servers;
mod site;
mod standby;
mod traces;
