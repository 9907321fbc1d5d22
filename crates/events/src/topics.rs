//! The names of Kafka topics and record headers.

use serde::{Deserialize, Serialize};

/// Names of Kafka record headers.
pub mod headers {
    /// The event's id, 32 hexadecimal digits.
    pub const ID: &str = "weir-id";
    /// Why a dead letter is one.
    pub const REASON: &str = "weir-reason";
    /// What exactly was wrong with a dead letter.
    pub const DETAIL: &str = "weir-detail";
    /// The MQTT topic, or Kafka topic, partition and offset, that a record came from.
    pub const SOURCE: &str = "weir-source";
    /// The length of a dead letter's payload in bytes, before it was cut.
    pub const SIZE: &str = "weir-size";
    /// The digest of a dead letter's payload, before it was cut.
    pub const DIGEST: &str = "weir-digest";
    /// The trace that the event belongs to, as [`crate::TraceContext`] writes it; also a user property of MQTT messages.
    pub const TRACE: &str = "traceparent";
}

/// The Kafka topics. The defaults are the original pipeline's names and, for what it did not have,
/// names in its manner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TopicNames {
    /// Measurements from the machines.
    pub measurement: String,
    /// Targets from the machines.
    pub target: String,
    /// Measurements with what a model predicts.
    pub prediction: String,
    /// Predictions joined with targets.
    pub joined: String,
    /// Events that leave the join without a partner.
    pub unjoined: String,
    /// Closed windows with their mean error. Always one partition.
    pub window: String,
    /// Requests to retrain. Always one partition.
    pub trigger: String,
    /// What is asked of the trainer about versions. Always one partition.
    pub request: String,
    /// Model manifests and components. Always one partition, compacted.
    pub models: String,
    /// Dead letters that belong to none of the above.
    pub unrouted: String,
}

impl Default for TopicNames {
    fn default() -> Self {
        Self {
            measurement: "machine-measurement".into(),
            target: "machine-weight".into(),
            prediction: "weight-prediction".into(),
            joined: "weight-diff".into(),
            unjoined: "weight-unjoined".into(),
            window: "weight-window".into(),
            trigger: "weight-retrain".into(),
            request: "model-request".into(),
            models: "models".into(),
            unrouted: "unrouted-dead-letter".into(),
        }
    }
}

impl TopicNames {
    /// The same names behind a prefix, for runs that must not meet.
    #[must_use]
    pub fn prefixed(&self, prefix: &str) -> Self {
        let name = |topic: &str| format!("{prefix}{topic}");
        Self {
            measurement: name(&self.measurement),
            target: name(&self.target),
            prediction: name(&self.prediction),
            joined: name(&self.joined),
            unjoined: name(&self.unjoined),
            window: name(&self.window),
            trigger: name(&self.trigger),
            request: name(&self.request),
            models: name(&self.models),
            unrouted: name(&self.unrouted),
        }
    }

    /// Where the dead letters of a topic go.
    pub fn dead_letter(topic: &str) -> String {
        format!("{topic}-dead-letter")
    }

    /// The topics that are read in parallel, by key.
    pub fn partitioned(&self) -> [&str; 5] {
        [&self.measurement, &self.target, &self.prediction, &self.joined, &self.unjoined]
    }

    /// The topics that always have one partition.
    pub fn single(&self) -> [&str; 4] {
        [&self.window, &self.trigger, &self.request, &self.models]
    }

    /// The topics of dead letters.
    pub fn dead_letters(&self) -> Vec<String> {
        let topics = [
            &self.measurement,
            &self.target,
            &self.prediction,
            &self.joined,
            &self.trigger,
            &self.request,
        ];
        let named = topics.into_iter().map(|topic| Self::dead_letter(topic));
        named.chain([self.unrouted.clone()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        let topics = TopicNames::default().prefixed("a.");
        let mut names: Vec<String> = topics.dead_letters();
        names.extend(topics.partitioned().into_iter().chain(topics.single()).map(str::to_owned));
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(names.iter().all(|name| name.starts_with("a.")));
    }
}
