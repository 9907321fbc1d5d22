//! A bounded read: what topics hold now, each record once, and then the end.
//!
//! The ends are asked for at the beginning and never moved, so a scan of a busy topic ends too. Nothing
//! is committed. Everything here blocks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use weir_events::{EventTime, RowPosition};

use crate::consumer::{ANSWER_TIMEOUT, Inner, create, partitions, unreachable};
use crate::{KafkaConfig, KafkaError, Record};

/// Where reading begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// At the oldest record.
    Beginning,
    /// Behind the newest record.
    Now,
    /// At the first record that was written at this time or later.
    Since(EventTime),
}

/// A read of topics up to their present ends.
pub struct Scan {
    consumer: Inner,
    config: KafkaConfig,
    /// By topic and partition: the offset at which the scan ends. Only those that are not there yet.
    open: HashMap<(Arc<str>, i32), i64>,
}

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Scan {
    /// Reads whole topics, from `start` on.
    ///
    /// # Errors
    /// If the settings are wrong, the brokers do not answer or a topic does not exist.
    pub fn topics(config: &KafkaConfig, topics: &[&str], start: Start) -> Result<Self, KafkaError> {
        let mut scan = Self::new(config)?;
        let mut assignment = TopicPartitionList::new();
        for topic in topics {
            for partition in partitions(&scan.consumer, config, topic)? {
                let (from, end) = scan.span(topic, partition, start)?;
                if from < end {
                    assignment.add_partition_offset(topic, partition, Offset::Offset(from))?;
                    scan.open.insert(((*topic).into(), partition), end);
                }
            }
        }
        scan.consumer.assign(&assignment)?;
        Ok(scan)
    }

    /// Reads one record; none if it is not, or no longer, there.
    ///
    /// # Errors
    /// If the settings are wrong, the brokers do not answer or the topic does not exist.
    pub fn record(
        config: &KafkaConfig,
        topic: &str,
        place: RowPosition,
    ) -> Result<Option<Record>, KafkaError> {
        let mut scan = Self::new(config)?;
        let RowPosition { partition, offset } = place;
        if !partitions(&scan.consumer, config, topic)?.contains(&partition) {
            return Ok(None);
        }
        let (low, high) = scan.span(topic, partition, Start::Beginning)?;
        if !(low..high).contains(&offset) {
            return Ok(None);
        }
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        scan.open.insert((topic.into(), partition), offset + 1);
        scan.consumer.assign(&assignment)?;
        scan.next()
    }

    fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let consumer = create(config, "weir-scan")?;
        Ok(Self { consumer, config: config.clone(), open: HashMap::new() })
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// If the brokers give nothing for a while, though records should be there.
    #[expect(clippy::should_implement_trait, reason = "an iterator that can fail is no Iterator")]
    pub fn next(&mut self) -> Result<Option<Record>, KafkaError> {
        const POLL: Duration = Duration::from_millis(100);
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let mut trouble = None;
        while !self.open.is_empty() {
            if Instant::now() >= deadline {
                return Err(self.stuck(trouble));
            }
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    let (name, partition) = (message.topic(), message.partition());
                    let found = self
                        .open
                        .iter()
                        .find(|((topic, number), _)| **topic == *name && *number == partition);
                    // Records behind the end, or of a partition whose end was reached before.
                    let Some((place, &end)) = found else { continue };
                    let place = place.clone();
                    let offset = message.offset();
                    let record = (offset < end)
                        .then(|| Record::from_message(&message, Arc::clone(&place.0)));
                    if offset + 1 >= end {
                        self.open.remove(&place);
                    }
                    if record.is_some() {
                        return Ok(record);
                    }
                }
                Some(Err(cause)) => trouble = Some(cause),
                None => {}
            }
        }
        Ok(None)
    }

    fn stuck(&self, trouble: Option<rdkafka::error::KafkaError>) -> KafkaError {
        use rdkafka::error::{KafkaError as Cause, RDKafkaErrorCode as Code};
        let cause = trouble.unwrap_or(Cause::MessageConsumption(Code::OperationTimedOut));
        unreachable(&self.consumer, &self.config, cause)
    }

    /// From where to where to read one partition.
    fn span(&self, topic: &str, partition: i32, start: Start) -> Result<(i64, i64), KafkaError> {
        span(&self.consumer, &self.config, topic, partition, start)
    }
}

/// The offset at which reading begins, and the one behind the newest record.
pub(crate) fn span(
    inner: &Inner,
    config: &KafkaConfig,
    topic: &str,
    partition: i32,
    start: Start,
) -> Result<(i64, i64), KafkaError> {
    let (low, high) = inner
        .fetch_watermarks(topic, partition, ANSWER_TIMEOUT)
        .map_err(|cause| unreachable(inner, config, cause))?;
    let from = match start {
        Start::Beginning => low,
        Start::Now => high,
        Start::Since(time) => {
            let mut asked = TopicPartitionList::new();
            asked.add_partition_offset(topic, partition, Offset::Offset(time.as_millis()))?;
            let answer = inner
                .offsets_for_times(asked, ANSWER_TIMEOUT)
                .map_err(|cause| unreachable(inner, config, cause))?;
            match answer.find_partition(topic, partition).map(|found| found.offset()) {
                Some(Offset::Offset(offset)) => offset.clamp(low, high),
                // Nothing was written since.
                _ => high,
            }
        }
    };
    Ok((from, high))
}
