//! Hosts with consumer groups and result topics of their own.

use std::fmt::Write as _;
use std::time::Duration;

use weir_events::TopicNames;

use super::line::{Fish, Line, catch, delete};
use crate::keys;
use crate::process::{Process, complete};

/// How soon a group gives up a member that is silent. The least that Kafka allows by default.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// Hosts that do a line together.
#[derive(Debug)]
pub struct Group<'a> {
    pub(super) line: &'a Line,
    /// Of its consumer groups.
    pub(super) name: String,
    /// Those of the line, and of its own results.
    pub(super) topics: TopicNames,
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
        let keys = keys::original(line.folder.path());
        let text = format!(
            "{more}\n{keys}{names}[kafka]\nbrokers = {brokers:?}\ngroup-prefix = {name:?}\n\
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
        let TopicNames { prediction, joined, unjoined, window, trigger, request, .. } =
            &self.topics;
        delete(&self.line.kafka, &[prediction, joined, unjoined, window, trigger, request]);
    }
}

impl Line {
    /// So many fish, topics for their events, and a model in the topic of models.
    ///
    /// # Panics
    /// If Kafka refuses.
    pub fn new(kafka: &str, partitions: u32, fish: usize, seed: u64) -> Self {
        let mut line = Self::untrained(kafka, partitions, fish, seed);
        let mut csv = "Length,Height,Species,Weight\n".to_owned();
        for fish in catch(60, 0, 1_000) {
            let Fish { length, height, species, weight, .. } = fish;
            writeln!(csv, "{length},{height},{species},{weight}").expect("a text takes everything");
        }
        let csv = line.write("train.csv", &csv);
        let group = Group::new(&line, "train", "");
        complete("weir", &["model", "train", "--csv", &csv, "--config", &group.config]);
        drop(group);
        line.coefficients = line.published();
        line
    }
}
