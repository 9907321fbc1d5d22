//! The admin client: makes topics, removes them, and tells how they are.
//!
//! It asks; it never decides what a topic should be like. Every request ends in finite time, and none
//! makes a topic as a side effect.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError as Cause, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;

use crate::context::ProducerCallbacks;
use crate::reach::{Inner, REACH_TIMEOUT, ask, create, listen, partitions, unreachable};
use crate::{KafkaConfig, KafkaError};

/// How long the brokers may take to make or remove topics, or to describe them.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a new topic may be unknown to the broker that is asked, and how often it is asked.
const SPREAD_TIMEOUT: Duration = Duration::from_secs(5);
const SPREAD_PAUSE: Duration = Duration::from_millis(50);

/// A topic to make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewTopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions it gets.
    pub partitions: i32,
    /// How many brokers keep each of them.
    pub replication: i32,
    /// Its settings, where they are not the broker's defaults.
    pub settings: Vec<(String, String)>,
}

/// What became of a topic that was to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Creation {
    /// It is there now.
    Created,
    /// It was there before, and was left as it is.
    Exists,
    /// The broker refused.
    Refused(String),
}

/// A topic as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicState {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many brokers keep the partition that the fewest keep.
    pub replication: i32,
    /// All its settings, also those that are the broker's defaults.
    pub settings: BTreeMap<String, String>,
}

/// What a cluster has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterState {
    /// How many brokers there are.
    pub brokers: i32,
    /// Those of the topics asked for that exist, in the order asked.
    pub topics: Vec<TopicState>,
}

/// Asks the brokers about topics.
pub struct Admin {
    client: AdminClient<ProducerCallbacks>,
    /// Asks which topics there are: an admin client is not told why it reaches no broker.
    asking: Arc<Inner>,
    config: KafkaConfig,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("brokers", &self.config.brokers).finish_non_exhaustive()
    }
}

impl Admin {
    /// Makes a client. It connects in the background.
    ///
    /// # Errors
    /// If the settings are wrong.
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let client = config.admin()?.create_with_context(ProducerCallbacks::default())?;
        let asking = Arc::new(create(config, "weir-admin")?);
        Ok(Self { client, asking, config: config.clone() })
    }

    /// How the cluster and those of these topics are that exist.
    ///
    /// # Errors
    /// If the brokers do not answer, or do not tell.
    pub async fn describe(&self, names: &[&str]) -> Result<ClusterState, KafkaError> {
        let mut state = self.layout(names).await?;
        self.add_settings(&mut state.topics).await?;
        Ok(state)
    }

    /// Adds their settings to topics, which the user must have the right to ask for.
    ///
    /// # Errors
    /// If the brokers do not answer, or do not tell.
    pub async fn add_settings(&self, topics: &mut [TopicState]) -> Result<(), KafkaError> {
        let specifiers: Vec<_> =
            topics.iter().map(|topic| ResourceSpecifier::Topic(&topic.name)).collect();
        let described = if specifiers.is_empty() {
            Vec::new()
        } else {
            let request = self.client.describe_configs(&specifiers, &options());
            request.await.map_err(|cause| self.failed("describe topics", cause))?
        };
        for resource in described {
            let resource =
                resource.map_err(|code| self.failed("describe a topic", Cause::AdminOp(code)))?;
            let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { continue };
            if let Some(topic) = topics.iter_mut().find(|topic| topic.name == *name) {
                topic.settings = settings(&resource);
            }
        }
        Ok(())
    }

    /// Whether the brokers keep a topic, there or not, from this user. Does not make it.
    ///
    /// # Errors
    /// If the brokers do not answer.
    pub async fn is_forbidden(&self, name: &str) -> Result<bool, KafkaError> {
        let (config, name) = (self.config.clone(), name.to_owned());
        match self.asking(move |asking| partitions(asking, &config, &name)).await {
            Ok(_) | Err(KafkaError::NoSuchTopic(_)) => Ok(false),
            Err(KafkaError::TopicForbidden(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Makes topics. Those that exist are left as they are. The controller answers before its brokers know
    /// of a topic: this returns when one of them does.
    ///
    /// # Errors
    /// If the brokers do not answer. What a broker says about a single topic is in the result.
    pub async fn create(&self, specs: &[NewTopicSpec]) -> Result<Vec<Creation>, KafkaError> {
        let new: Vec<NewTopic<'_>> = specs.iter().map(new_topic).collect();
        let request = self.client.create_topics(&new, &options());
        let results = request.await.map_err(|cause| self.failed("create topics", cause))?;
        let creation = |spec: &NewTopicSpec| {
            let answer = results.iter().find_map(|result| match result {
                Ok(name) if *name == spec.name => Some(Creation::Created),
                Err((name, Code::TopicAlreadyExists)) if *name == spec.name => {
                    Some(Creation::Exists)
                }
                Err((name, code)) if *name == spec.name => {
                    Some(Creation::Refused(code.to_string()))
                }
                _ => None,
            });
            answer.unwrap_or_else(|| Creation::Refused("the broker did not answer".to_owned()))
        };
        let creations: Vec<_> = specs.iter().map(creation).collect();
        let created = specs.iter().zip(&creations).filter(|(_, new)| **new == Creation::Created);
        self.await_known(&created.map(|(spec, _)| &*spec.name).collect::<Vec<_>>()).await?;
        Ok(creations)
    }

    async fn await_known(&self, names: &[&str]) -> Result<(), KafkaError> {
        let deadline = Instant::now() + SPREAD_TIMEOUT;
        while self.layout(names).await?.topics.len() < names.len() && Instant::now() < deadline {
            tokio::time::sleep(SPREAD_PAUSE).await;
        }
        Ok(())
    }

    /// Removes topics with everything in them. Those that do not exist are passed over.
    ///
    /// # Errors
    /// If the brokers do not answer or refuse.
    pub async fn delete(&self, names: &[&str]) -> Result<(), KafkaError> {
        let request = self.client.delete_topics(names, &options());
        for result in request.await.map_err(|cause| self.failed("delete topics", cause))? {
            match result {
                Ok(_) | Err((_, Code::UnknownTopicOrPartition | Code::UnknownTopic)) => {}
                Err((_, code)) => return Err(self.failed("delete a topic", Cause::AdminOp(code))),
            }
        }
        Ok(())
    }

    /// How the cluster and those of these topics are that exist and this user may know of, without their settings.
    ///
    /// # Errors
    /// If the brokers do not answer.
    pub async fn layout(&self, names: &[&str]) -> Result<ClusterState, KafkaError> {
        let config = self.config.clone();
        // All topics: a question for one would make it, where the broker makes topics by itself.
        let question = move |asking: &Inner| {
            ask(asking, &config, REACH_TIMEOUT, |slice| asking.fetch_metadata(None, slice))
        };
        let metadata = self.asking(question).await?;
        let topics = names.iter().filter_map(|name| layout(&metadata, name)).collect();
        Ok(ClusterState { brokers: count(metadata.brokers().len()), topics })
    }

    /// Has the client that asks put a question, on a thread that may block.
    async fn asking<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Inner) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, KafkaError> {
        let asking = Arc::clone(&self.asking);
        match tokio::task::spawn_blocking(move || question(&asking)).await {
            Ok(answer) => answer,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    fn failed(&self, operation: &'static str, source: Cause) -> KafkaError {
        match source.rdkafka_error_code() {
            Some(
                Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::RequestTimedOut,
            ) => {
                listen(&self.asking);
                unreachable(&self.asking, &self.config, source)
            }
            _ => KafkaError::Admin { operation, source: Box::new(source) },
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(REQUEST_TIMEOUT))
        .operation_timeout(Some(REQUEST_TIMEOUT))
}

fn new_topic(spec: &NewTopicSpec) -> NewTopic<'_> {
    let replication = TopicReplication::Fixed(spec.replication);
    let new = NewTopic::new(&spec.name, spec.partitions, replication);
    spec.settings.iter().fold(new, |new, (name, value)| new.set(name, value))
}

fn layout(metadata: &Metadata, name: &str) -> Option<TopicState> {
    let topic = metadata.topics().iter().find(|topic| topic.name() == name)?;
    let partitions = topic.partitions();
    let fewest = partitions.iter().map(|partition| partition.replicas().len()).min()?;
    Some(TopicState {
        name: name.to_owned(),
        partitions: count(partitions.len()),
        replication: count(fewest),
        settings: BTreeMap::new(),
    })
}

fn settings(resource: &ConfigResource) -> BTreeMap<String, String> {
    let value = |value: &Option<String>| value.clone().unwrap_or_default();
    resource.entries.iter().map(|entry| (entry.name.clone(), value(&entry.value))).collect()
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
