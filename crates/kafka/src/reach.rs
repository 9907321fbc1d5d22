//! Questions to the brokers, and why they stay without an answer.
//!
//! librdkafka retries a refused connection for ever, and a request that waits for one ends with "timed
//! out". What was wrong it says as an event, to whoever polls. So questions are put in short slices, with a look at
//! the events in between: wrong credentials and certificates end the waiting at once.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as Cause, KafkaResult, RDKafkaErrorCode};

use crate::config::ANSWER_TIMEOUT;
use crate::context::ConsumerCallbacks;
use crate::{KafkaConfig, KafkaError};

pub(crate) type Inner = BaseConsumer<ConsumerCallbacks>;

/// How long the first question may take: a person who gave a wrong address hears of it within 10 s.
pub(crate) const REACH_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a question waits before the events are looked at.
const SLICE: Duration = Duration::from_secs(1);
/// The least time between two questions, should they fail at once.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) fn create(config: &KafkaConfig, group: &str) -> Result<Inner, KafkaError> {
    let callbacks = ConsumerCallbacks::default();
    Ok(config.consumer(group)?.create_with_context(callbacks)?)
}

/// A member of a group. Who is given anything reads the topics `instead`, if there are any.
pub(crate) fn member(
    config: &KafkaConfig,
    group: &str,
    instead: Vec<String>,
) -> Result<Inner, KafkaError> {
    let callbacks = ConsumerCallbacks { instead, ..ConsumerCallbacks::default() };
    let mut client = config.consumer(group)?;
    if !config.instance.is_empty() {
        client.set("group.instance.id", &config.instance);
    }
    Ok(client.create_with_context(callbacks)?)
}

pub(crate) fn partitions(
    inner: &Inner,
    config: &KafkaConfig,
    topic: &str,
) -> Result<Vec<i32>, KafkaError> {
    let metadata =
        ask(inner, config, REACH_TIMEOUT, |slice| inner.fetch_metadata(Some(topic), slice))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let error = found.and_then(|found| found.error()).map(RDKafkaErrorCode::from);
    if error == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
        return Err(KafkaError::TopicForbidden(topic.to_owned()));
    }
    let ids =
        found.map(|found| found.partitions().iter().map(|partition| partition.id()).collect());
    match ids {
        Some(ids) if !Vec::is_empty(&ids) => Ok(ids),
        _ => Err(KafkaError::NoSuchTopic(topic.to_owned())),
    }
}

/// The offset of the oldest record of a partition, and the one behind the newest.
pub(crate) fn watermarks(
    inner: &Inner,
    config: &KafkaConfig,
    topic: &str,
    partition: i32,
) -> Result<(i64, i64), KafkaError> {
    ask(inner, config, ANSWER_TIMEOUT, |slice| inner.fetch_watermarks(topic, partition, slice))
}

/// Has a client that has not begun to read put a question, until it is answered, `patience` is over, or the
/// client is refused. Blocks.
pub(crate) fn ask<T>(
    client: &Inner,
    config: &KafkaConfig,
    patience: Duration,
    mut question: impl FnMut(Duration) -> KafkaResult<T>,
) -> Result<T, KafkaError> {
    let deadline = Instant::now() + patience;
    loop {
        let began = Instant::now();
        let left = deadline.saturating_duration_since(began);
        let cause = match question(left.min(SLICE)) {
            Ok(answer) => return Ok(answer),
            Err(cause) => cause,
        };
        listen(client);
        let last = &client.context().last_error;
        let is_final = is_forbidden(&cause) || last.is_group_forbidden() || last.denial().is_some();
        if is_final || Instant::now() >= deadline {
            return Err(unreachable(client, config, cause));
        }
        std::thread::sleep(PAUSE.saturating_sub(began.elapsed()));
    }
}

/// Whether the brokers do not permit this to the user: asking again does not help.
pub(crate) fn is_forbidden(cause: &Cause) -> bool {
    matches!(
        cause.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
        )
    )
}

/// What it means that a question stays without an answer.
pub(crate) fn unreachable(client: &Inner, config: &KafkaConfig, source: Cause) -> KafkaError {
    let (last, brokers) = (&client.context().last_error, config.brokers.clone());
    match last.denial() {
        Some(source) => KafkaError::Denied { brokers, source },
        None => {
            let source = match last.is_group_forbidden() {
                true => RDKafkaErrorCode::GroupAuthorizationFailed,
                false => source.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
            };
            KafkaError::Unreachable { brokers, reason: last.get(), source }
        }
    }
}

/// Hands the events that are there to the client's callbacks.
pub(crate) fn listen(client: &Inner) {
    /// More events than a client has between two looks.
    const EVENTS_MAX: usize = 100;
    for _ in 0..EVENTS_MAX {
        // It reads nothing yet: what comes are errors and logs, which the callbacks note. None does not mean
        // that there are no more: an event that only a callback sees gives none too.
        drop(client.poll(Duration::ZERO));
    }
}
