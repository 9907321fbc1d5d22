//! Which topics a line needs, and how they should be. Pure.

use std::collections::BTreeMap;

use weir_events::TopicNames;
use weir_host::HostConfig;
use weir_kafka::{NewTopicSpec, TopicState};

/// What a record needs beside a component: its key, its headers, Kafka's own fields.
const RECORD_BYTES: usize = 64 * 1024;
/// From this many copies on, a broker can be lost while writing goes on with two.
const REPLICATION_SAFE: i32 = 3;

/// The setting that says how a topic forgets.
pub(crate) const POLICY: &str = "cleanup.policy";
const BYTES_MAX: &str = "max.message.bytes";
const IN_SYNC: &str = "min.insync.replicas";

/// Three copies where there are three brokers; one elsewhere, since two are less available than one.
pub(crate) fn default_replication(brokers: i32) -> i32 {
    if brokers >= REPLICATION_SAFE { REPLICATION_SAFE } else { 1 }
}

/// All topics, in the order in which data flow through them.
pub(crate) fn topics(config: &HostConfig, partitions: i32, replication: i32) -> Vec<NewTopicSpec> {
    let names = &config.topics;
    let spec = |name: &str, partitions| NewTopicSpec {
        name: name.to_owned(),
        partitions,
        replication,
        settings: settings(config, name, replication),
    };
    let partitioned = names.partitioned().into_iter().map(|name| spec(name, partitions));
    let single = names.single().into_iter().map(|name| spec(name, 1));
    // What is refused is little, and is read as a whole.
    let dead_letters = names.dead_letters().into_iter().map(|name| spec(&name, 1));
    partitioned.chain(single).chain(dead_letters).collect()
}

fn settings(config: &HostConfig, name: &str, replication: i32) -> Vec<(String, String)> {
    let TopicNames { models, .. } = &config.topics;
    // Compaction keeps the newest record of a key: the newest manifest and every component, but of a fish only
    // one event. So the others say what they are, whatever the broker's default is.
    let policy = if name == models { "compact" } else { "delete" };
    let mut settings = vec![(POLICY, policy.to_owned())];
    if name == models {
        let bytes = config.limits.component_bytes_max.saturating_add(RECORD_BYTES);
        settings.push((BYTES_MAX, bytes.to_string()));
    }
    if replication >= REPLICATION_SAFE {
        settings.push((IN_SYNC, "2".to_owned()));
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// In what a topic is not as it should be; empty if it is.
pub(crate) fn differences(wanted: &NewTopicSpec, found: &TopicState) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, found: &str, wanted: &str| {
        if !is_as_good(what, found, wanted) {
            differences.push(format!("{what} {found}, wanted {wanted}"));
        }
    };
    let count = |number: i32| number.to_string();
    compare("partitions", &count(found.partitions), &count(wanted.partitions));
    compare("replication", &count(found.replication), &count(wanted.replication));
    for (name, value) in &wanted.settings {
        compare(name, setting(&found.settings, name), value);
    }
    differences
}

/// The policy by which a topic deletes, as it is shown.
pub(super) fn policy(settings: &BTreeMap<String, String>) -> &str {
    setting(settings, POLICY)
}

fn setting<'a>(settings: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    settings.get(name).map_or("unknown", String::as_str)
}

/// A larger limit is as good; all else must be equal.
fn is_as_good(what: &str, found: &str, wanted: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    match (what, number(found), number(wanted)) {
        (BYTES_MAX, Some(found), Some(wanted)) => found >= wanted,
        _ => found == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(replication: i32) -> Vec<NewTopicSpec> {
        topics(&HostConfig::load(None).expect("valid"), 4, replication)
    }

    fn find<'a>(topics: &'a [NewTopicSpec], name: &str) -> &'a NewTopicSpec {
        topics.iter().find(|topic| topic.name == name).expect(name)
    }

    fn as_wanted(wanted: &NewTopicSpec) -> TopicState {
        TopicState {
            name: wanted.name.clone(),
            partitions: wanted.partitions,
            replication: wanted.replication,
            settings: wanted.settings.iter().cloned().collect(),
        }
    }

    #[test]
    fn every_topic_is_planned_once_and_only_events_are_spread() {
        let topics = wanted(1);
        let names: std::collections::BTreeSet<_> = topics.iter().map(|topic| &topic.name).collect();
        assert_eq!((names.len(), topics.len()), (16, 16));
        for topic in &topics {
            let is_spread = TopicNames::default().partitioned().contains(&topic.name.as_str());
            assert_eq!(topic.partitions, if is_spread { 4 } else { 1 }, "{}", topic.name);
            let is_compacted = topic.settings.contains(&(POLICY.into(), "compact".into()));
            assert_eq!(is_compacted, topic.name == "models", "{}", topic.name);
            assert!(!topic.settings.iter().any(|(name, _)| name == IN_SYNC), "{}", topic.name);
        }
        assert_eq!(
            find(&topics, "models").settings[1],
            (BYTES_MAX.into(), (4 * 1024 * 1024 + 65_536).to_string())
        );
    }

    #[test]
    fn three_brokers_keep_three_copies_and_write_with_two() {
        assert_eq!([1, 2, 3, 9].map(default_replication), [1, 1, 3, 3]);
        for topic in wanted(3) {
            assert!(topic.settings.contains(&(IN_SYNC.into(), "2".into())), "{}", topic.name);
        }
        assert!(!wanted(2)[0].settings.iter().any(|(name, _)| name == IN_SYNC));
    }

    #[test]
    fn differences_say_what_is_and_what_was_wanted() {
        let topics = wanted(3);
        for topic in &topics {
            assert_eq!(differences(topic, &as_wanted(topic)), [""; 0]);
        }
        let events = find(&topics, "weight-diff");
        let mut found = as_wanted(events);
        (found.partitions, found.replication) = (1, 2);
        found.settings.remove(IN_SYNC);
        let text = differences(events, &found).join("; ");
        assert_eq!(
            text,
            "partitions 1, wanted 4; replication 2, wanted 3; min.insync.replicas unknown, wanted 2"
        );

        let models = find(&topics, "models");
        let mut found = as_wanted(models);
        found.settings.insert(BYTES_MAX.into(), "99999999".into());
        assert_eq!(differences(models, &found), [""; 0], "a larger limit is as good");
        found.settings.insert(BYTES_MAX.into(), "1048588".into());
        found.settings.insert(POLICY.into(), "delete".into());
        let text = differences(models, &found).join("; ");
        assert_eq!(
            text,
            "cleanup.policy delete, wanted compact; max.message.bytes 1048588, wanted 4259840"
        );
    }
}
