//! Hosts that share the work of one line, as processes; the line's events, written straight into Kafka; and what must come
//! of them, computed in the plainest way.
//!
//! A [`Line`] is fish with their events and a model that stays as it is, so that a prediction does not depend on when it was
//! made. A [`Group`] is hosts with consumer groups and result topics of their own: several groups may do the same line,
//! and must come to the same rows, errors and windows.

mod expected;
mod line;
mod outcome;

use std::process::Command;
use std::time::Duration;

use weir_events::TopicNames;
use weir_kafka::{Admin, KafkaConfig};

use crate::process::{Process, complete};

pub use expected::{Expected, Row, Window};
pub use line::{Fish, Line};
pub use outcome::{Outcome, Rows};

/// How soon a group gives up a member that is silent. The least that Kafka allows by default.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// Hosts that do a line together.
#[derive(Debug)]
pub struct Group<'a> {
    line: &'a Line,
    /// Of its consumer groups.
    name: String,
    /// Those of the line, and of its own results.
    topics: TopicNames,
    /// A file with the settings of its hosts.
    config: String,
}

impl<'a> Group<'a> {
    /// A group with topics for its results. `more` are further settings of its hosts.
    ///
    /// # Panics
    /// If the topics cannot be made.
    pub fn new(line: &'a Line, label: &str, more: &str) -> Self {
        let name = format!("{}-{label}", line.name);
        let TopicNames { measurement, target, models, .. } = line.topics.clone();
        let topics = TopicNames {
            measurement,
            target,
            models,
            ..TopicNames::default().prefixed(&format!("{name}-"))
        };
        let (brokers, timeout) = (&line.kafka, SESSION_TIMEOUT.as_millis());
        let names = std::collections::HashMap::from([("topics", &topics)]);
        let names = toml::to_string(&names).expect("names are TOML");
        let text = format!(
            "{more}\n{names}[kafka]\nbrokers = {brokers:?}\ngroup-prefix = {name:?}\n\
             [kafka.settings]\n\"session.timeout.ms\" = \"{timeout}\"\n"
        );
        let config = line.write(&format!("{name}.toml"), &text);
        let partitions = line.partitions.to_string();
        complete("weir", &["topics", "create", "--partitions", &partitions, "--config", &config]);
        Self { line, name, topics, config }
    }

    /// The arguments of its hosts.
    pub fn arguments(&self) -> [&str; 2] {
        ["--config", &self.config]
    }

    /// Starts a host that its groups know by this name also after a restart; "" for one that they do not know.
    pub fn host(&self, instance: &str, environment: &[(&str, String)]) -> Process {
        let own = [("WEIR__KAFKA__INSTANCE", instance.to_owned())];
        let all = [&own[..], environment].concat();
        Process::start_with("weir-host", &self.arguments(), &all)
    }

    /// Starts so many hosts, and waits until each serves a model.
    pub fn hosts(&self, count: usize) -> Vec<Process> {
        let mut hosts: Vec<_> = (0..count).map(|n| self.host(&instance(n), &[])).collect();
        hosts.iter_mut().for_each(|host| host.await_line("model serves"));
        hosts
    }
}

/// The name of a group's host.
pub fn instance(number: usize) -> String {
    format!("host-{number}")
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        let TopicNames { prediction, joined, unjoined, window, trigger, .. } = &self.topics;
        delete(&self.line.kafka, &[prediction, joined, unjoined, window, trigger]);
    }
}

/// Removes topics and those of their dead letters. What cannot be removed stays until the servers go.
fn delete(kafka: &str, topics: &[&String]) {
    let dead_letters = topics.iter().map(|topic| TopicNames::dead_letter(topic));
    let all: Vec<String> =
        topics.iter().map(|topic| (*topic).clone()).chain(dead_letters).collect();
    let names: Vec<&str> = all.iter().map(String::as_str).collect();
    if let Ok(admin) = Admin::new(&KafkaConfig::new(kafka, "hosts")) {
        drop(crate::fleet::runtime().block_on(admin.delete(&names)));
    }
}

/// Asks for a change of a server that `cargo xtask services` has started.
///
/// # Panics
/// If it cannot be done.
pub fn services(arguments: &[&str]) {
    let status =
        Command::new(crate::process::built("xtask")).arg("services").args(arguments).status();
    assert!(status.expect("xtask runs").success(), "xtask services {arguments:?}");
}
