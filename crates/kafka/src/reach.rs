//! Questions to the brokers, and why they stay without an answer.
//!
//! librdkafka retries a refused connection for ever, and a request that waits for one ends with "timed
//! out". What was wrong it says as an event, to whoever polls. So questions are put in short slices, with a look at
//! the events in between: wrong credentials and certificates end the waiting at once.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError as Cause, KafkaResult, RDKafkaErrorCode};

use crate::consumer::Inner;
use crate::{KafkaConfig, KafkaError};

/// How long a question waits before the events are looked at.
const SLICE: Duration = Duration::from_secs(1);
/// The least time between two questions, should they fail at once.
const PAUSE: Duration = Duration::from_millis(50);

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
        if Instant::now() >= deadline || client.context().last_error.denial().is_some() {
            return Err(unreachable(client, config, cause));
        }
        std::thread::sleep(PAUSE.saturating_sub(began.elapsed()));
    }
}

/// What it means that a question stays without an answer.
pub(crate) fn unreachable(client: &Inner, config: &KafkaConfig, source: Cause) -> KafkaError {
    let (last, brokers) = (&client.context().last_error, config.brokers.clone());
    match last.denial() {
        Some(source) => KafkaError::Denied { brokers, source },
        None => {
            let source = source.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
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
