//! Where partitions begin and end, asked from the brokers again and again.

use crate::reach::{Inner, create, partitions, watermarks};
use crate::{KafkaConfig, KafkaError};

/// The offsets that a partition holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The number of the partition.
    pub partition: i32,
    /// The offset of the oldest record.
    pub begin: i64,
    /// The offset after the newest one.
    pub end: i64,
}

impl Span {
    /// How many records there are from this offset on. What was deleted by its age is not there to be read.
    pub fn behind(&self, next: i64) -> u64 {
        u64::try_from(self.end - next.max(self.begin)).unwrap_or(0)
    }
}

/// Asks about topics. Its connections stay open.
pub struct Watermarks {
    config: KafkaConfig,
    inner: Inner,
}

impl std::fmt::Debug for Watermarks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watermarks").field("brokers", &self.config.brokers).finish_non_exhaustive()
    }
}

impl Watermarks {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// If the settings are wrong.
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        Ok(Self { inner: create(config, "weir-ends")?, config: config.clone() })
    }

    /// The partitions of a topic. Blocks.
    ///
    /// # Errors
    /// If the brokers do not answer or the topic does not exist.
    pub fn of(&self, topic: &str) -> Result<Vec<Span>, KafkaError> {
        let span = |partition| {
            let (begin, end) = watermarks(&self.inner, &self.config, topic, partition)?;
            Ok(Span { partition, begin, end })
        };
        partitions(&self.inner, &self.config, topic)?.into_iter().map(span).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_is_not_waited_for() {
        let span = Span { partition: 0, begin: 10, end: 15 };
        assert_eq!([0, 10, 12, 15, 20].map(|next| span.behind(next)), [5, 5, 3, 0, 0]);
    }
}
