//! What librdkafka calls back: its log, its errors, rebalances.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use weir_service::ConfigError;

use crate::config::ANSWER_TIMEOUT;
use crate::record::Partition;

/// The same trouble is told again after this time only: librdkafka reports it several times a second.
const REPEAT: Duration = Duration::from_secs(30);

/// The last error that librdkafka reported by callback: the only place where it says why a broker
/// cannot be reached or refuses the credentials.
#[derive(Clone, Default, Debug)]
pub(crate) struct LastError(Arc<Mutex<Option<Trouble>>>);

#[derive(Clone, Debug)]
struct Trouble {
    reason: String,
    code: Option<Code>,
    at: Instant,
}

impl LastError {
    /// Keeps the reason. Returns whether to tell it.
    fn set(&self, code: Option<Code>, reason: &str) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last {
            // That all brokers are down follows what is wrong with each of them, and says less.
            let vague = code == Some(Code::AllBrokersDown);
            if vague || last.reason == reason && last.at.elapsed() < REPEAT {
                return false;
            }
        }
        *last = Some(Trouble { reason: reason.to_owned(), code, at: Instant::now() });
        true
    }

    /// The reason, or that there was none.
    pub(crate) fn get(&self) -> String {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.map_or_else(|| "no reason given".to_owned(), |trouble| trouble.reason)
    }

    /// Whether the brokers told that the client may not use its group. A request that needs it only times out.
    pub(crate) fn is_group_forbidden(&self) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|trouble| trouble.code == Some(Code::GroupAuthorizationFailed))
    }

    /// That one side does not accept the other, and the settings to look at; none if the trouble is of
    /// another kind.
    pub(crate) fn denial(&self) -> Option<ConfigError> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let settings = match last.code? {
            Code::Authentication | Code::SaslAuthenticationFailed => {
                "kafka.security.username and kafka.security.password-file"
            }
            Code::SSL => {
                "kafka.security.ca-file, kafka.security.cert-file and that the brokers speak TLS there"
            }
            _ => return None,
        };
        Some(ConfigError::value(format!("{}; check {settings}", last.reason)))
    }
}

fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel as Level;
    match level {
        Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning => {
            tracing::warn!(facility, error = message, "librdkafka warns");
        }
        Level::Notice | Level::Info => tracing::debug!(facility, message, "librdkafka says"),
        Level::Debug => tracing::trace!(facility, message, "librdkafka says"),
    }
}

fn error(last: &LastError, error: &KafkaError, reason: &str) {
    if last.set(error.rdkafka_error_code(), reason) {
        tracing::warn!(%error, reason, "Kafka client has trouble");
    }
}

/// Context of a producer; the delivery part is in `producer`.
#[derive(Default)]
pub(crate) struct ProducerCallbacks {
    pub(crate) last_error: LastError,
    pub(crate) progress: crate::Progress,
}

impl ClientContext for ProducerCallbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, cause: KafkaError, reason: &str) {
        error(&self.last_error, &cause, reason);
    }

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Err("OAUTHBEARER is not supported".into())
    }
}

/// A rebalance as the callback sees it.
pub(crate) enum Rebalanced {
    /// These are given to this member.
    Assigned(Vec<Partition>),
    /// These go to another member as soon as this one gives them back.
    Revoked(Vec<Partition>),
    /// The group has gone on without this member: another may have them already.
    Lost(Vec<Partition>),
    /// It could not be done.
    Failed(String),
}

/// Context of a consumer. Rebalances are queued: the polling loop hands them on in order, between the
/// records before and after.
///
/// Partitions that are asked back are not given back here: librdkafka waits until [`BaseConsumer::unassign`] is
/// called, and the polling loop calls it when the owner has finished what it was handed.
#[derive(Default)]
pub(crate) struct ConsumerCallbacks {
    pub(crate) last_error: LastError,
    pub(crate) rebalances: Mutex<VecDeque<Rebalanced>>,
    /// What to read in place of the topics that were subscribed to, by whoever is given any of these.
    pub(crate) instead: Vec<String>,
    /// Nobody will finish anything any more: partitions are given back at once.
    pub(crate) leaving: AtomicBool,
    /// The group did not take the last commit.
    pub(crate) uncommitted: AtomicBool,
}

impl ClientContext for ConsumerCallbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, cause: KafkaError, reason: &str) {
        error(&self.last_error, &cause, reason);
    }
}

impl ConsumerContext for ConsumerCallbacks {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            // Harmless by itself: records come again after a restart, and repetitions are recognised.
            tracing::warn!(%error, "offsets were not committed");
            self.uncommitted.store(true, Ordering::Release);
        }
    }

    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let is_given = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let done = if is_given { self.assign(consumer, partitions) } else { self.revoke(consumer) };
        if let Err(error) = done {
            // librdkafka waits for an answer, and cannot be closed before it has one.
            let answered = if is_given {
                consumer.assign(&TopicPartitionList::new())
            } else {
                consumer.unassign()
            };
            if let Err(error) = answered {
                tracing::warn!(%error, "a rebalance cannot be answered");
            }
            self.push(Rebalanced::Failed(format!("rebalance: {error}")));
        }
    }
}

impl ConsumerCallbacks {
    fn assign(&self, consumer: &BaseConsumer<Self>, given: &TopicPartitionList) -> KafkaResult<()> {
        let mut taken = given.clone();
        if self.leaving.load(Ordering::Acquire) {
            taken = TopicPartitionList::new();
        } else if !self.instead.is_empty() && given.count() > 0 {
            taken = TopicPartitionList::new();
            for topic in &self.instead {
                for partition in numbers(consumer, topic)? {
                    // Without an offset: from where the group committed.
                    taken.add_partition(topic, partition);
                }
            }
        }
        consumer.assign(&taken)?;
        self.push(Rebalanced::Assigned(names(&taken)));
        Ok(())
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>) -> KafkaResult<()> {
        // Not what the event names: another list may have been taken in its place.
        let held = names(&consumer.assignment()?);
        if consumer.assignment_lost() || self.leaving.load(Ordering::Acquire) {
            consumer.unassign()?;
            self.push(Rebalanced::Lost(held));
        } else {
            self.push(Rebalanced::Revoked(held));
        }
        Ok(())
    }

    fn push(&self, rebalanced: Rebalanced) {
        // Bounded by the number of rebalances between two polls, which is one or two.
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).push_back(rebalanced);
    }

    pub(crate) fn take_rebalance(&self) -> Option<Rebalanced> {
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// The numbers of a topic's partitions.
fn numbers(consumer: &BaseConsumer<ConsumerCallbacks>, topic: &str) -> KafkaResult<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    if let Some(error) = found.and_then(|found| found.error()) {
        return Err(KafkaError::MetadataFetch(error.into()));
    }
    let numbers: Vec<i32> = found
        .map(|found| found.partitions().iter().map(|partition| partition.id()).collect())
        .unwrap_or_default();
    if numbers.is_empty() {
        return Err(KafkaError::MetadataFetch(Code::UnknownTopicOrPartition));
    }
    Ok(numbers)
}

fn names(partitions: &TopicPartitionList) -> Vec<Partition> {
    let name = |entry: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| Partition {
        topic: entry.topic().into(),
        partition: entry.partition(),
    };
    partitions.elements().iter().map(name).collect()
}
