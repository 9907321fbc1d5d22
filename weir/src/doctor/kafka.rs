//! Kafka: whether it is reached, whether the topics are there as the roles need them, and what may be read.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::net::TcpStream;
use weir_events::EventTime;
use weir_host::HostConfig;
use weir_kafka::{Admin, Consumer, KafkaConfig, KafkaError, Scan, TopicState};

use super::finding::Report;
use super::settings::Settings;
use super::{chain, said, topics};
use crate::topics::wanted;

/// The setting that says whose clock stamps the records of a topic.
const STAMPED_BY: &str = "message.timestamp.type";

/// How long brokers may take to tell the settings of topics: some do not answer what they do not know.
const PATIENCE: Duration = Duration::from_secs(5);

/// What Kafka has.
#[derive(Debug, Default)]
pub(super) struct Topics {
    /// The topics of the line that are there.
    pub(super) found: BTreeSet<String>,
    /// The newest records that were read.
    pub(super) newest: Vec<Newest>,
}

/// The newest record of a topic.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    pub(super) topic: String,
    pub(super) time: EventTime,
    /// Whether the broker's clock gave the time, and not the writer's.
    pub(super) is_brokers: bool,
}

/// Checks Kafka. Returns what it has, if it was reached.
pub(super) async fn check(settings: &Settings, report: &mut Report) -> Option<Topics> {
    let host = &settings.host;
    if let Some(bridge) = &settings.bridge
        && !is_same(&bridge.kafka, &host.kafka())
    {
        reach(&bridge.kafka, &[], "as the bridge", report).await;
    }
    let specs = wanted(host, 1, 1);
    let names: Vec<&str> = specs.iter().map(|spec| &*spec.name).collect();
    let (admin, brokers, mut found) = reach(&host.kafka(), &names, "as the host", report).await?;
    let told = tokio::time::timeout(PATIENCE, admin.add_settings(&mut found)).await;
    let silent = match told {
        Ok(told) => told.err().map(|error| chain(&error)),
        Err(_) => Some(format!("no answer in {PATIENCE:?}")),
    };
    if let Some(reason) = silent {
        let next = "permit this user DescribeConfigs on the topics, or compare them as another: weir topics create --check";
        report.warning("topics", format!("their settings are not known: {reason}"), next);
    }
    topics::check(settings, &admin, brokers, &found, report).await;
    let found_names: BTreeSet<String> = found.iter().map(|topic| topic.name.clone()).collect();
    let newest = check_access(host, &found, report).await;
    Some(Topics { found: found_names, newest })
}

async fn reach(
    kafka: &KafkaConfig,
    names: &[&str],
    who: &str,
    report: &mut Report,
) -> Option<(Admin, i32, Vec<TopicState>)> {
    let reached = async {
        let admin = Admin::new(kafka)?;
        let state = admin.layout(names).await?;
        Ok::<_, KafkaError>((admin, state))
    };
    let address = &kafka.brokers;
    match reached.await {
        Ok((admin, state)) => {
            let brokers = state.brokers;
            let noun = if brokers == 1 { "broker" } else { "brokers" };
            report.ok("kafka", format!("{address}: {brokers} {noun}, reached {who}"));
            Some((admin, brokers, state.topics))
        }
        Err(error) => {
            let (found, next) = match &error {
                KafkaError::Unreachable { reason, .. } if is_listening(address).await => (
                    format!("{address}: somebody listens and does not answer {who}: {reason}"),
                    "see that it is Kafka; where it wants TLS or a user, set [kafka.security]",
                ),
                KafkaError::Unreachable { reason, .. } => (
                    format!("{address}: nobody listens, {who}: {reason}"),
                    "start Kafka, or correct kafka.brokers (--kafka)",
                ),
                KafkaError::Denied { source, .. } => (
                    format!("{address}: the connection is refused, {who}: {}", said(source)),
                    "correct the section [kafka.security], or what the broker allows this user",
                ),
                _ => (chain(&error), "correct the section [kafka]"),
            };
            report.failed("kafka", found, next);
            None
        }
    }
}

/// Whether any of these addresses takes a connection: a broker that wants TLS drops one without, and says nothing.
async fn is_listening(addresses: &str) -> bool {
    const CONNECT_MAX: Duration = Duration::from_secs(2);
    for address in addresses.split(',').map(str::trim) {
        let connected = TcpStream::connect(address);
        if let Ok(Ok(_)) = tokio::time::timeout(CONNECT_MAX, connected).await {
            return true;
        }
    }
    false
}

/// Whether both reach Kafka in the same way.
fn is_same(one: &KafkaConfig, other: &KafkaConfig) -> bool {
    one.brokers == other.brokers && one.security == other.security && one.settings == other.settings
}

/// Tries to read the newest record of what the roles read, and asks how far their groups are.
async fn check_access(host: &HostConfig, found: &[TopicState], report: &mut Report) -> Vec<Newest> {
    let (kafka, groups, models) = (host.kafka(), host.groups(), host.topics.models.clone());
    let stamped: Vec<(String, bool)> = found
        .iter()
        .map(|topic| {
            let by = topic.settings.get(STAMPED_BY).map(String::as_str);
            (topic.name.clone(), by == Some("LogAppendTime"))
        })
        .collect();
    let tried = tokio::task::spawn_blocking(move || Tried::of(&kafka, &groups, &models, &stamped));
    let Tried { newest, empty, refused, behind, failures } = match tried.await {
        Ok(tried) => tried,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    };
    if !refused.is_empty() {
        let next =
            "permit the user Read on these topics and groups; docs/security.md has the rules";
        report.failed("access", refused.join("; "), next);
    }
    for failure in &failures {
        report.failed("access", failure, "look at the broker's log");
    }
    if refused.is_empty() && failures.is_empty() {
        let all = newest.len() + empty;
        if all == 0 {
            report.skipped("access", "there is no topic to read from", None);
            return newest;
        }
        let mut found = format!("read from {} of {all} topics", newest.len());
        if empty > 0 {
            found += "; the others are empty, so it could not be tried";
        }
        if !behind.is_empty() {
            found += &format!("; not yet committed: {}", behind.join(", "));
        }
        report.ok("access", found + "; writing is not tried");
    }
    newest
}

/// What became of the attempts to read.
#[derive(Default)]
struct Tried {
    newest: Vec<Newest>,
    /// How many topics hold nothing, so that nothing can be read.
    empty: usize,
    refused: Vec<String>,
    /// How far groups are behind.
    behind: Vec<String>,
    failures: Vec<String>,
}

impl Tried {
    /// Blocks.
    fn of(
        kafka: &KafkaConfig,
        groups: &[(String, Vec<String>)],
        models: &str,
        stamped: &[(String, bool)],
    ) -> Self {
        let mut tried = Self::default();
        let mut topics: BTreeSet<&str> =
            groups.iter().flat_map(|(_, topics)| topics).map(String::as_str).collect();
        topics.insert(models);
        for (topic, is_brokers) in stamped.iter().filter(|(name, _)| topics.contains(&**name)) {
            match newest(kafka, topic) {
                Ok(None) => tried.empty += 1,
                Ok(Some(time)) => {
                    let (topic, is_brokers) = (topic.clone(), *is_brokers);
                    tried.newest.push(Newest { topic, time, is_brokers });
                }
                Err(error) => tried.refuse(&error),
            }
        }
        let is_there = |topic: &String| stamped.iter().any(|(name, _)| name == topic);
        for (group, topics) in groups {
            let (mut lag, mut known) = (0, false);
            for topic in topics.iter().filter(|topic| is_there(topic)) {
                match Consumer::lag(kafka, group, topic) {
                    Ok(behind) => {
                        known |= behind.is_some();
                        lag += behind.unwrap_or(0);
                    }
                    Err(error) => tried.refuse(&error),
                }
            }
            if known {
                tried.behind.push(format!("{group} {lag}"));
            }
        }
        tried
    }

    fn refuse(&mut self, error: &KafkaError) {
        let text = match error {
            KafkaError::TopicForbidden(topic) => format!("this user may not read {topic}"),
            KafkaError::GroupForbidden(group) => {
                format!("this user may not join the group {group}")
            }
            other => return self.failures.push(chain(other)),
        };
        if !self.refused.contains(&text) {
            self.refused.push(text);
        }
    }
}

/// When the newest record of a topic was written; none if it holds nothing.
fn newest(kafka: &KafkaConfig, topic: &str) -> Result<Option<EventTime>, KafkaError> {
    let mut scan = Scan::last(kafka, topic)?;
    let mut newest = None;
    while let Some(record) = scan.next()? {
        newest = newest.max(Some(record.timestamp));
    }
    Ok(newest)
}
