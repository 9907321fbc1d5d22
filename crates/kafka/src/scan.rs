//! A bounded read: what topics hold now, each record once, and then the end.
//!
//! The ends are asked for at the beginning and never moved, so a scan of a busy topic ends too. One
//! partition is read after the other: librdkafka tells the end of a partition without its topic, and only
//! this notice ends a partition whose last offsets hold no record (the end of a transaction, a tombstone that
//! was compacted away). Nothing is committed. Everything here blocks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError as Cause, RDKafkaErrorCode as Code};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use weir_events::{EventTime, RowPosition};

use crate::config::ANSWER_TIMEOUT;
use crate::context::ConsumerCallbacks;
use crate::reach::{Inner, ask, is_forbidden, partitions, unreachable, watermarks};
use crate::{KafkaConfig, KafkaError, Record};

/// Where reading begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// At the oldest record.
    Beginning,
    /// Behind the newest record.
    Now,
    /// So many offsets before the end of each partition.
    Newest(u32),
    /// At the first record that was written at this time or later.
    Since(EventTime),
}

/// A read of topics up to their present ends.
pub struct Scan {
    consumer: Inner,
    config: KafkaConfig,
    /// What is still to be read. The first is the one that is assigned.
    spans: VecDeque<Span>,
    /// Everything that was to be read since the beginning, also where there was nothing: one for each partition.
    all: Vec<Span>,
}

/// The records of one partition from an offset to another, which is not included.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Span {
    topic: Arc<str>,
    partition: i32,
    from: i64,
    end: i64,
}

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("spans", &self.spans).finish_non_exhaustive()
    }
}

impl Scan {
    /// Reads whole topics, from `start` on.
    ///
    /// # Errors
    /// If the settings are wrong, the brokers do not answer or a topic does not exist.
    pub fn topics(config: &KafkaConfig, topics: &[&str], start: Start) -> Result<Self, KafkaError> {
        let mut scan = Self::new(config)?;
        for &topic in topics {
            let name: Arc<str> = topic.into();
            for partition in partitions(&scan.consumer, config, topic)? {
                let (from, end) = span(&scan.consumer, config, topic, partition, start)?;
                let span = Span { topic: Arc::clone(&name), partition, from, end };
                if from < end {
                    scan.spans.push_back(span.clone());
                }
                scan.all.push(span);
            }
        }
        scan.assign()?;
        Ok(scan)
    }

    /// Whether nothing that topics held before `start` is left out, and nothing was deleted before.
    pub fn is_whole(&self) -> bool {
        self.all.iter().all(|span| span.from == 0)
    }

    /// Goes on from the ends that were reached to the present ones. Does nothing before the end.
    ///
    /// # Errors
    /// If the brokers do not answer.
    pub fn go_on(&mut self) -> Result<(), KafkaError> {
        if !self.spans.is_empty() {
            return Ok(());
        }
        for span in &mut self.all {
            let (low, high) =
                watermarks(&self.consumer, &self.config, &span.topic, span.partition)?;
            let from = span.end.max(low);
            if from < high {
                span.end = high;
                self.spans.push_back(Span { from, end: high, ..span.clone() });
            }
        }
        self.assign()
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
        let (low, high) = span(&scan.consumer, config, topic, partition, Start::Beginning)?;
        if !(low..high).contains(&offset) {
            return Ok(None);
        }
        scan.spans.push_back(Span {
            topic: topic.into(),
            partition,
            from: offset,
            end: offset + 1,
        });
        scan.assign()?;
        scan.next()
    }

    /// Reads no more than the last record of each partition of a topic.
    ///
    /// # Errors
    /// If the settings are wrong, the brokers do not answer or the topic does not exist.
    pub fn last(config: &KafkaConfig, topic: &str) -> Result<Self, KafkaError> {
        let mut scan = Self::topics(config, &[topic], Start::Beginning)?;
        for span in &mut scan.spans {
            span.from = span.end - 1;
        }
        scan.assign()?;
        Ok(scan)
    }

    fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let mut settings = config.consumer("weir-scan")?;
        settings.set("enable.partition.eof", "true");
        let consumer = settings.create_with_context(ConsumerCallbacks::default())?;
        Ok(Self { consumer, config: config.clone(), spans: VecDeque::new(), all: Vec::new() })
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// If the brokers give nothing for a while, though records should be there.
    #[expect(clippy::should_implement_trait, reason = "an iterator that can fail is no Iterator")]
    pub fn next(&mut self) -> Result<Option<Record>, KafkaError> {
        const POLL: Duration = Duration::from_millis(100);
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let mut trouble = Cause::MessageConsumption(Code::OperationTimedOut);
        while let Some(span) = self.spans.front() {
            let (mut record, mut at_end) = (None, false);
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    let offset = message.offset();
                    let is_within = offset < span.end;
                    record =
                        is_within.then(|| Record::from_message(&message, Arc::clone(&span.topic)));
                    at_end = offset + 1 >= span.end;
                }
                Some(Err(Cause::PartitionEOF(partition))) => at_end = partition == span.partition,
                Some(Err(cause)) if is_forbidden(&cause) => {
                    return Err(KafkaError::TopicForbidden(span.topic.to_string()));
                }
                Some(Err(cause)) => trouble = cause,
                None => {}
            }
            if at_end {
                self.spans.pop_front();
                self.assign()?;
            }
            if record.is_some() {
                return Ok(record);
            }
            if Instant::now() >= deadline {
                return Err(unreachable(&self.consumer, &self.config, trouble));
            }
        }
        Ok(None)
    }

    /// Begins with the first span that is left. What was fetched of another one is not handed out any more.
    fn assign(&self) -> Result<(), KafkaError> {
        let mut assignment = TopicPartitionList::new();
        if let Some(Span { topic, partition, from, .. }) = self.spans.front() {
            assignment.add_partition_offset(topic, *partition, Offset::Offset(*from))?;
        }
        Ok(self.consumer.assign(&assignment)?)
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
    let (low, high) = watermarks(inner, config, topic, partition)?;
    let from = match start {
        Start::Beginning => low,
        Start::Now => high,
        Start::Newest(many) => (high - i64::from(many)).max(low),
        Start::Since(time) => {
            // Negative times mean something else to Kafka; no record is older than the epoch.
            let time = Offset::Offset(time.as_millis().max(0));
            let mut asked = TopicPartitionList::new();
            asked.add_partition_offset(topic, partition, time)?;
            let answer = ask(inner, config, ANSWER_TIMEOUT, |slice| {
                inner.offsets_for_times(asked.clone(), slice)
            })?;
            let answer = answer.find_partition(topic, partition);
            match answer.map(|found| found.error().map(|()| found.offset())) {
                Some(Ok(Offset::Offset(offset))) => offset.clamp(low, high),
                // Nothing was written since.
                Some(Ok(Offset::End)) => high,
                Some(Err(cause)) => {
                    return Err(unreachable(inner, config, cause));
                }
                _ => {
                    let cause = Cause::MetadataFetch(Code::NoOffset);
                    return Err(unreachable(inner, config, cause));
                }
            }
        }
    };
    Ok((from, high))
}
