//! What librdkafka calls back: its log, its errors, rebalances.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use weir_service::ConfigError;

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
    Assigned(Vec<Partition>),
    Revoked(Vec<Partition>),
}

/// Context of a consumer. Rebalances are queued: the polling loop hands them on in order, between the
/// records before and after.
#[derive(Default)]
pub(crate) struct ConsumerCallbacks {
    pub(crate) last_error: LastError,
    pub(crate) rebalances: Mutex<VecDeque<Rebalanced>>,
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
    fn commit_callback(&self, result: KafkaResult<()>, _: &rdkafka::TopicPartitionList) {
        if let Err(error) = result {
            // Harmless by itself: records come again after a restart, and repetitions are recognised.
            tracing::warn!(%error, "offsets were not committed");
        }
    }

    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            self.push(Rebalanced::Revoked(names(partitions)));
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => self.push(Rebalanced::Assigned(names(partitions))),
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance failed"),
        }
    }
}

impl ConsumerCallbacks {
    fn push(&self, rebalanced: Rebalanced) {
        // Bounded by the number of rebalances between two polls, which is one or two.
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).push_back(rebalanced);
    }

    pub(crate) fn take_rebalance(&self) -> Option<Rebalanced> {
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

fn names(partitions: &rdkafka::TopicPartitionList) -> Vec<Partition> {
    let name = |entry: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| Partition {
        topic: entry.topic().into(),
        partition: entry.partition(),
    };
    partitions.elements().iter().map(name).collect()
}
