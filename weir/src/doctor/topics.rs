//! The topics of a line: whether they are there, and as the roles need them.

use std::collections::BTreeSet;

use weir_host::HostConfig;
use weir_kafka::{Admin, Partitions, TopicState};

use super::finding::Report;
use super::said;
use super::settings::Settings;
use crate::topics::{POLICY, default_replication, differences, wanted};

/// Checks the topics that were found.
pub(super) async fn check(
    settings: &Settings,
    admin: &Admin,
    brokers: i32,
    found: &[TopicState],
    report: &mut Report,
) {
    let host = &settings.host;
    let mut compared = Compared::new(host, brokers, found);
    let mut forbidden = Vec::new();
    for name in &compared.missing {
        // What the brokers do not tell is missing all the same.
        if admin.is_forbidden(name).await.unwrap_or(false) {
            forbidden.push(name.clone());
        }
    }
    compared.missing.retain(|name| !forbidden.contains(name));
    if !forbidden.is_empty() {
        let next = "permit the user Describe, and Read or Write as its roles need; docs/security.md has the rules";
        report.failed("topics", format!("forbidden to this user: {}", forbidden.join(", ")), next);
    }
    compared.tell(&settings.line, report);
    if forbidden.is_empty() && compared.missing.is_empty() {
        check_partitions(host, &compared, found, report);
    }
}

/// What is not as it should be.
#[derive(Default, Debug)]
struct Compared {
    /// How many partitions events have: that was chosen when the topics were made.
    partitions: i32,
    /// How many topics a line has.
    all: usize,
    /// Those that this host needs.
    missing: Vec<String>,
    /// Those that only the rest of the line needs.
    unused: Vec<String>,
    /// The topic of models, if it forgets with time.
    forgets: Option<String>,
    /// What else differs, in words.
    differing: Vec<String>,
}

impl Compared {
    fn new(host: &HostConfig, brokers: i32, found: &[TopicState]) -> Self {
        let find = |name: &str| found.iter().find(|topic| topic.name == name);
        let partitions = find(&host.topics.measurement).map_or(1, |topic| topic.partitions);
        let used: BTreeSet<String> = host.topics_used().into_iter().collect();
        let mut compared = Self { partitions, ..Self::default() };
        for mut spec in wanted(host, partitions, default_replication(brokers)) {
            compared.all += 1;
            let Some(topic) = find(&spec.name) else {
                let is_used = used.contains(&spec.name);
                let names = if is_used { &mut compared.missing } else { &mut compared.unused };
                names.push(spec.name);
                continue;
            };
            if topic.settings.is_empty() {
                // Not told, which is a finding of its own.
                spec.settings.clear();
            }
            let (forgets, others): (Vec<String>, Vec<String>) = differences(&spec, topic)
                .into_iter()
                .partition(|text| spec.name == host.topics.models && text.starts_with(POLICY));
            if !forgets.is_empty() {
                compared.forgets = Some(spec.name.clone());
            }
            if !others.is_empty() {
                compared.differing.push(format!("{}: {}", spec.name, others.join(", ")));
            }
        }
        compared
    }

    fn tell(&self, line: &str, report: &mut Report) {
        if !self.missing.is_empty() {
            let next = format!("weir topics create{line}");
            report.failed("topics", format!("missing: {}", self.missing.join(", ")), next);
        }
        if let Some(models) = &self.forgets {
            let found = format!("{models} is not compacted, so versions are deleted with time");
            let next =
                format!("kafka-configs.sh --alter --topic {models} --add-config {POLICY}=compact");
            report.failed("topics", found, next);
        }
        if !self.unused.is_empty() {
            let found = format!("not there, or kept from this user: {}", self.unused.join(", "));
            let next = "this host does not use them; the rest of the line does";
            report.warning("topics", found, next);
        }
        if !self.differing.is_empty() {
            let next =
                format!("nothing, if it is meant so; weir topics create --check{line} compares");
            report.warning("topics", self.differing.join("; "), next);
        }
    }
}

fn check_partitions(
    host: &HostConfig,
    compared: &Compared,
    found: &[TopicState],
    report: &mut Report,
) {
    let count = |topic: &TopicState| {
        (topic.name.clone(), usize::try_from(topic.partitions).unwrap_or_default())
    };
    let counts: Partitions = found.iter().map(count).collect();
    if let Err(error) = host.check_partitions(&counts) {
        let next = "a host does not start on them; docs/operations.md says which must be equal";
        report.failed("topics", said(&error), next);
        return;
    }
    let Compared { partitions, all, unused, .. } = compared;
    let noun = if *partitions == 1 { "partition" } else { "partitions" };
    let there = all - unused.len();
    report.ok("topics", format!("{there} of {all} are there; events have {partitions} {noun}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_wanted(host: &HostConfig) -> Vec<TopicState> {
        let state = |spec: weir_kafka::NewTopicSpec| TopicState {
            name: spec.name,
            partitions: spec.partitions,
            replication: spec.replication,
            settings: spec.settings.into_iter().collect(),
        };
        wanted(host, 4, 1).into_iter().map(state).collect()
    }

    #[test]
    fn a_topic_of_models_must_be_compacted_and_the_rest_may_differ() {
        let host = HostConfig::load(None).expect("the defaults are valid");
        let mut found = as_wanted(&host);
        let compared = Compared::new(&host, 1, &found);
        assert_eq!((compared.partitions, compared.all), (4, 16));
        assert!(compared.missing.is_empty() && compared.differing.is_empty(), "{compared:?}");
        for topic in &mut found {
            topic.settings.insert(POLICY.into(), "compact,delete".into());
        }
        let compared = Compared::new(&host, 1, &found);
        assert_eq!(compared.forgets.as_deref(), Some("models"));
        assert_eq!(compared.differing.len(), 15, "{compared:?}");
        // A user who may not ask for settings hears nothing wrong about them.
        found.iter_mut().for_each(|topic| topic.settings.clear());
        let compared = Compared::new(&host, 1, &found);
        assert!(compared.forgets.is_none() && compared.differing.is_empty(), "{compared:?}");
    }

    #[test]
    fn what_is_missing_fails_where_a_role_needs_it() {
        let mut host = HostConfig::load(None).expect("the defaults are valid");
        let found: Vec<TopicState> =
            as_wanted(&host).into_iter().filter(|topic| topic.name != "weight-window").collect();
        assert_eq!(Compared::new(&host, 1, &found).missing, ["weight-window"]);
        host.roles = [weir_host::Role::Predict].into();
        let compared = Compared::new(&host, 1, &found);
        assert_eq!(
            (compared.missing.len(), compared.unused),
            (0, vec!["weight-window".to_owned()])
        );
        // Joins need equally many partitions of both sides.
        host.roles = [weir_host::Role::Join].into();
        let mut found = as_wanted(&host);
        let prediction = host.topics.prediction.clone();
        let topic = found.iter_mut().find(|topic| topic.name == prediction).expect("wanted");
        topic.partitions = 2;
        let mut report = Report::new(true);
        check_partitions(&host, &Compared::new(&host, 1, &found), &found, &mut report);
        assert!(report.has_failed() && report.only().found.contains("4"), "{report:?}");
    }
}
