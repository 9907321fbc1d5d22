//! How far groups are behind, asked from the brokers again and again.

use std::collections::HashMap;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use crate::config::ANSWER_TIMEOUT;
use crate::reach::{Inner, ask, create, partitions, watermarks};
use crate::{KafkaConfig, KafkaError};

/// Asks about groups. Its connections stay open, one client for each group.
pub struct Lags {
    config: KafkaConfig,
    clients: HashMap<String, Inner>,
}

/// How far a group is in a topic.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Lag {
    /// Records that it has not committed; none if it has committed nothing.
    pub lag: Option<i64>,
    /// The sum of the offsets behind the last record of each partition: how many were ever written.
    pub written: i64,
}

impl std::fmt::Debug for Lags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lags").field("groups", &self.clients.keys()).finish_non_exhaustive()
    }
}

impl Lags {
    /// Nothing is asked yet.
    pub fn new(config: &KafkaConfig) -> Self {
        Self { config: config.clone(), clients: HashMap::new() }
    }

    /// How far a group is in a topic. Blocks.
    ///
    /// # Errors
    /// If the brokers do not answer, or the topic does not exist, or the group is forbidden.
    pub fn of(&mut self, group: &str, topic: &str) -> Result<Lag, KafkaError> {
        if !self.clients.contains_key(group) {
            self.clients.insert(group.to_owned(), create(&self.config, group)?);
        }
        let (inner, config) = (&self.clients[group], &self.config);
        let mut list = TopicPartitionList::new();
        for partition in partitions(inner, config, topic)? {
            list.add_partition(topic, partition);
        }
        let committed = ask(inner, config, ANSWER_TIMEOUT, |slice| {
            inner.committed_offsets(list.clone(), slice)
        });
        let committed = match committed {
            Err(KafkaError::Unreachable { source: Code::GroupAuthorizationFailed, .. }) => {
                return Err(KafkaError::GroupForbidden(group.to_owned()));
            }
            committed => committed?,
        };
        let (mut lag, mut any, mut written) = (0, false, 0);
        for entry in committed.elements() {
            let (low, high) = watermarks(inner, config, topic, entry.partition())?;
            let next = match entry.offset() {
                Offset::Offset(next) => next,
                _ => low,
            };
            any |= matches!(entry.offset(), Offset::Offset(_));
            // What was deleted by its age is not there to be done.
            lag += high - next.max(low);
            written += high;
        }
        Ok(Lag { lag: any.then_some(lag), written })
    }
}
