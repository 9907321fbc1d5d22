//! What the roles ask of the numbers of partitions.

use weir_events::TopicNames;
use weir_kafka::Partitions;
use weir_service::ConfigError;

use crate::config::{HostConfig, Role};
use crate::roles;

impl HostConfig {
    /// The topics that this host's roles read and write, and so need and must be permitted.
    pub fn topics_used(&self) -> Vec<String> {
        roles::topics(&self.roles, &self.topics)
    }

    /// The consumer groups of this host's roles, each with the topics that its members read.
    pub fn groups(&self) -> Vec<(String, Vec<String>)> {
        let TopicNames { measurement, prediction, target, joined, trigger, request, .. } =
            &self.topics;
        let group = |role: &Role| {
            let topics: &[&String] = match role {
                Role::Predict => &[measurement],
                Role::Join => &[prediction, target],
                Role::Sink | Role::Drift => &[joined],
                Role::Train => &[trigger, request],
            };
            let topics = topics.iter().map(|topic| (*topic).clone()).collect();
            (self.group(role.name()), topics)
        };
        self.roles.iter().map(group).collect()
    }

    /// Checks the partitions of the topics that this host's roles use.
    ///
    /// # Errors
    /// If the roles cannot work on them.
    pub fn check_partitions(&self, partitions: &Partitions) -> Result<(), ConfigError> {
        check(self, partitions)
    }
}

/// Checks the partitions of the topics that the host's roles use.
///
/// # Errors
/// If the roles cannot work on them.
pub(crate) fn check(config: &HostConfig, partitions: &Partitions) -> Result<(), ConfigError> {
    let TopicNames { prediction, target, joined, trigger, request, .. } = &config.topics;
    let count = |topic: &str| partitions.get(topic).copied().unwrap_or(0);
    let (predictions, targets) = (count(prediction), count(target));
    if config.roles.contains(&Role::Join) && predictions != targets {
        return Err(ConfigError::value(format!(
            "topics: {prediction} has {predictions} partitions and {target} has {targets}; a key is in the same \
             partition of both only if they have equally many, so make one of them anew"
        )));
    }
    if config.roles.contains(&Role::Train) && count(request) != 1 {
        return Err(ConfigError::value(format!(
            "topics: {request} has {} partitions and must have one",
            count(request)
        )));
    }
    let leads = config.roles.contains(&Role::Drift) || config.roles.contains(&Role::Train);
    if leads && count(trigger) != 1 {
        return Err(ConfigError::value(format!(
            "topics: {trigger} has {} partitions and must have one: who holds it leads, and two would decide twice",
            count(trigger)
        )));
    }
    if config.roles.contains(&Role::Drift)
        && count(joined) > 1
        && config.window.idle_after.is_zero()
    {
        tracing::warn!(
            "window.idle-after is 0: while one of {} partitions of {joined} has no rows no window closes",
            count(joined)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_refuse_partitions_that_they_cannot_work_on() {
        let config = HostConfig::load(None).expect("the defaults are valid");
        let topics = &config.topics;
        let check = |predictions, targets, triggers| {
            let counts = [
                (&topics.prediction, predictions),
                (&topics.target, targets),
                (&topics.trigger, triggers),
                (&topics.request, 1),
            ];
            let counts = counts.into_iter().map(|(name, count)| (name.clone(), count)).collect();
            super::check(&config, &counts).map_err(|error| error.to_string())
        };
        check(4, 4, 1).expect("fine");
        assert!(check(4, 2, 1).expect_err("refused").contains("weight-prediction has 4"));
        assert!(check(4, 4, 2).expect_err("refused").contains("weight-retrain has 2"));
    }
}
