//! Waiting for topics: services start in any order, and also before somebody has made the topics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::reach::{Inner, create, partitions};
use crate::{KafkaConfig, KafkaError};

/// The pauses between two looks, doubling from the one to the other.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The same trouble is told again after this time only.
const REPEAT: Duration = Duration::from_secs(30);

/// How many partitions topics have, by name.
pub type Partitions = BTreeMap<String, usize>;

/// Waits until Kafka can be reached and all of these topics exist, and returns how many partitions they have. What it
/// waits for is told at once, and again from time to time.
///
/// # Errors
/// If the settings are wrong or the brokers refuse this client; not if they are away.
pub async fn await_topics(
    config: &KafkaConfig,
    topics: Vec<String>,
) -> Result<Partitions, KafkaError> {
    let inner = Arc::new(create(config, "weir-topics")?);
    let topics: Arc<[String]> = topics.into();
    // What was waited for when it was told: the missing topics, or none of them for the brokers.
    let mut told: Option<(Vec<String>, Instant)> = None;
    let mut pause = PAUSE_MIN;
    loop {
        let (awaited, reason) = match look(&inner, config, &topics).await {
            Ok((found, missing)) if missing.is_empty() => {
                if told.is_some() {
                    tracing::info!("all topics are there");
                }
                return Ok(found);
            }
            Ok((_, missing)) => {
                let (names, brokers) = (missing.join(", "), &config.brokers);
                let cure = format!("make them with: weir topics create --kafka {brokers}");
                (missing, format!("missing {names}; {cure}"))
            }
            Err(error @ KafkaError::Unreachable { .. }) => (Vec::new(), error.to_string()),
            Err(error) => return Err(error),
        };
        let is_repeated =
            |(before, at): &(Vec<String>, Instant)| *before == awaited && at.elapsed() < REPEAT;
        if !told.as_ref().is_some_and(is_repeated) {
            tracing::warn!(reason, "waiting for Kafka's topics");
            told = Some((awaited, Instant::now()));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// The topics that exist, and those that do not.
async fn look(
    inner: &Arc<Inner>,
    config: &KafkaConfig,
    topics: &Arc<[String]>,
) -> Result<(Partitions, Vec<String>), KafkaError> {
    let (inner, config, topics) = (Arc::clone(inner), config.clone(), Arc::clone(topics));
    let look = move || {
        let (mut found, mut missing) = (Partitions::new(), Vec::new());
        for topic in topics.iter() {
            match partitions(&inner, &config, topic) {
                Ok(numbers) => drop(found.insert(topic.clone(), numbers.len())),
                Err(KafkaError::NoSuchTopic(topic)) => missing.push(topic),
                Err(error) => return Err(error),
            }
        }
        Ok((found, missing))
    };
    match tokio::task::spawn_blocking(look).await {
        Ok(found) => found,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
