//! The roles of a host. Each reads topics, writes topics, and may fail: it is then started again, and
//! goes on from what it committed.

pub(crate) mod drift;
pub(crate) mod join;
pub(crate) mod predict;
pub(crate) mod sink;
pub(crate) mod train;

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::bail;
use weir_events::{EventId, Schema, TopicNames, TraceContext, headers};
use weir_kafka::{
    Assignment, Consumer, ConsumerEvent, KafkaConfig, Partition, Producer, Progress, Record, Resume,
};
use weir_service::traces::Tracer;
use weir_service::{Clock, Shutdown};

use crate::config::{HostConfig, Role};
use crate::counters::HostCounters;

/// What every role is given.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) config: Arc<HostConfig>,
    pub(crate) schema: Arc<Schema>,
    pub(crate) producer: Producer,
    pub(crate) progress: Progress,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Arc<HostCounters>,
    pub(crate) tracer: Tracer,
    pub(crate) shutdown: Shutdown,
}

impl Context {
    pub(crate) fn kafka(&self) -> KafkaConfig {
        self.config.kafka()
    }

    pub(crate) fn topics(&self) -> &TopicNames {
        &self.config.topics
    }

    /// Joins the role's group.
    pub(crate) fn consume(&self, role: Role, topics: &[&str]) -> anyhow::Result<Input> {
        let group = self.config.group(role.name());
        let consumer = Consumer::group(&self.kafka(), &group, topics, self.progress.clone())?;
        Ok(Input { consumer, shutdown: self.shutdown.clone() })
    }

    /// Joins the role's group, of which one member reads the topics whole and the others stand by.
    pub(crate) fn lead(&self, role: Role, lease: &str, topics: &[&str]) -> anyhow::Result<Input> {
        let (group, progress) = (self.config.group(role.name()), self.progress.clone());
        let consumer = Consumer::leader(&self.kafka(), &group, lease, topics, progress)?;
        Ok(Input { consumer, shutdown: self.shutdown.clone() })
    }
}

/// The topics that these roles read and write. Whoever has the role must be permitted to use them.
pub(crate) fn topics(roles: &BTreeSet<Role>, names: &TopicNames) -> Vec<String> {
    let mut topics = BTreeSet::new();
    let mut uses = |used: &[&String], judged: &[&String]| {
        topics.extend(used.iter().chain(judged).map(|topic| (*topic).clone()));
        topics.extend(judged.iter().map(|topic| TopicNames::dead_letter(topic)));
    };
    for role in roles {
        // What it uses, and what it reads and may have to set aside.
        match role {
            Role::Predict => uses(&[&names.prediction, &names.models], &[&names.measurement]),
            Role::Join => {
                uses(&[&names.joined, &names.unjoined], &[&names.prediction, &names.target])
            }
            Role::Sink => uses(&[], &[&names.joined]),
            Role::Drift => {
                uses(&[&names.joined, &names.window, &names.trigger, &names.request], &[])
            }
            Role::Train => uses(&[&names.models], &[&names.trigger, &names.request]),
        }
    }
    topics.into_iter().collect()
}

/// A topic that this host reads.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// For people: the role's name, or that models are followed.
    pub(crate) name: &'static str,
    pub(crate) role: Option<Role>,
    /// The name in the ledger of the process.
    pub(crate) reader: String,
    pub(crate) topic: String,
    /// Whether what cannot be read is set aside.
    pub(crate) sets_aside: bool,
}

/// Everything that a host with these settings reads.
pub(crate) fn reads(config: &HostConfig) -> Vec<Reading> {
    let names = &config.topics;
    let of = |role| match role {
        Role::Predict => vec![&names.measurement],
        Role::Join => vec![&names.prediction, &names.target],
        Role::Sink | Role::Drift => vec![&names.joined],
        Role::Train => vec![&names.trigger, &names.request],
    };
    let mut reads = Vec::new();
    for &role in &config.roles {
        let (name, reader) = (role.name(), config.group(role.name()));
        reads.extend(of(role).into_iter().map(|topic| Reading {
            name,
            role: Some(role),
            reader: reader.clone(),
            topic: topic.clone(),
            // A row that the watcher cannot read is the sink's dead letter.
            sets_aside: role != Role::Drift,
        }));
    }
    if config.roles.contains(&Role::Predict) {
        let (reader, topic) = (crate::model::FOLLOWER.to_owned(), names.models.clone());
        reads.push(Reading { name: "models", role: None, reader, topic, sets_aside: false });
    }
    reads
}

/// Tells that another member of the group does the work, and whether that is so.
pub(crate) fn stands_by(role: Role, assigned: &[(Partition, Option<Resume>)]) -> bool {
    if assigned.is_empty() {
        tracing::info!(
            role = role.name(),
            "another process has the work of this role; standing by"
        );
    }
    assigned.is_empty()
}

/// The records of a role, until the host shuts down.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) consumer: Consumer,
    shutdown: Shutdown,
}

/// What a role is to do next.
#[derive(Debug)]
pub(crate) enum Work {
    Records(Vec<Record>),
    Assignment(Assignment),
}

impl Input {
    /// The next piece of work; none when the host shuts down.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Work>> {
        let event = tokio::select! {
            event = self.consumer.next() => event,
            () = self.shutdown.cancelled() => return Ok(None),
        };
        match event {
            Some(ConsumerEvent::Records(records)) => Ok(Some(Work::Records(records))),
            Some(ConsumerEvent::Assignment(assignment)) => Ok(Some(Work::Assignment(assignment))),
            Some(ConsumerEvent::Failed(reason)) => bail!("read from Kafka: {reason}"),
            None => bail!("read from Kafka: the consumer has ended"),
        }
    }

    /// Whether what is not done yet is better left to another process.
    pub(crate) fn is_asked_back(&self) -> bool {
        self.consumer.is_asked_back()
    }

    /// Marks a batch as done, and its partitions to be resumed after it.
    pub(crate) fn done(&self, records: &[Record]) {
        // Within a batch the records of a partition are in order: the last call for each counts.
        for record in records {
            let next = record.position.offset + 1;
            self.consumer.done(&record.topic, record.position.partition, next, Some(next.into()));
        }
    }
}

/// The id of the event in a record: its header, or its place if a foreign producer wrote it.
pub fn id_of(record: &Record) -> EventId {
    let header = record.header(headers::ID).and_then(|id| id.parse().ok());
    let place = record.position;
    header.unwrap_or_else(|| EventId::of_position(&record.topic, place.partition, place.offset))
}

/// What a record says about the trace of its event.
pub(crate) fn trace_of(record: &Record) -> Option<TraceContext> {
    record.header(headers::TRACE)?.parse().ok()
}
