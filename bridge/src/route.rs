//! Where an MQTT topic leads: the routes of the settings, of which the first that fits counts.
//!
//! A route is a topic whose levels are literal or named (`weir/{line}/{device}/measurement`). A named level stands
//! for exactly one level that is not empty. Names and their levels are those of the topic, never of a payload: a
//! broker's access rules bind the topic's levels to a certificate or user, and nothing binds a payload. What fits no
//! route is refused and ends as a dead letter; nothing that was received is ignored.
//!
//! Invariants of [`Routes`]:
//! - Each route can be reached, and no topic fits two of which neither is the special case of the other.
//! - Every route of numbered events names the levels that the topic of confirmations needs.
//!
//! Pure: no I/O.

mod check;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_events::{EventKind, Reason, Rejection, TopicNames};

use crate::template::Template;

pub use check::RouteError;

/// What a topic announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Announced {
    /// The cheap numbers.
    Measurement,
    /// The expensive number.
    Target,
    /// That events are missing.
    Gap,
    /// Anything: it is passed on as it is.
    Raw,
}

impl Announced {
    /// The kind of event, if it is one that the schema describes.
    pub fn kind(self) -> Option<EventKind> {
        match self {
            Self::Measurement => Some(EventKind::Measurement),
            Self::Target => Some(EventKind::Target),
            Self::Gap | Self::Raw => None,
        }
    }
}

/// A route as it stands in the settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RouteConfig {
    /// The MQTT topic.
    pub topic: String,
    /// What it announces.
    pub event: Announced,
    /// The Kafka topic; none for that of `[topics]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka_topic: Option<String>,
    /// The key of what is passed on as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Further headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// Checked routes.
#[derive(Debug)]
pub struct Routes {
    rules: Vec<Rule>,
    unrouted: Arc<str>,
    /// Where confirmations go.
    answer: Template,
}

/// A route that can be used.
#[derive(Debug)]
pub(crate) struct Rule {
    segments: Vec<Segment>,
    pub(crate) announced: Announced,
    destination: Destination,
    /// Where what it refuses goes.
    pub(crate) dead_letters: Arc<str>,
    pub(crate) key: Option<Template>,
    pub(crate) headers: Vec<(String, Template)>,
    /// Whether its levels name all that the topic of confirmations needs.
    pub(crate) is_answered: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Segment {
    Literal(String),
    Named(String),
}

#[derive(Debug)]
enum Destination {
    Fixed(Arc<str>),
    Template(Template),
}

/// A topic that was understood.
#[derive(Clone, Debug)]
pub struct Route<'a> {
    pub(crate) rule: &'a Rule,
    /// Names and levels, in the order of the topic.
    pub levels: Vec<(&'a str, &'a str)>,
}

impl Routes {
    /// Checks the routes. `topics` names the Kafka topics of those that name none, `answer` the topic of
    /// confirmations.
    ///
    /// # Errors
    /// The first route, or setting of one, that cannot be used.
    pub fn new(
        routes: &[RouteConfig],
        topics: &TopicNames,
        answer: &str,
    ) -> Result<Self, RouteError> {
        check::routes(routes, topics, answer)
    }

    /// Where a topic leads.
    ///
    /// # Errors
    /// `unknown-topic`, for every topic that fits no route.
    pub fn of<'a>(&'a self, topic: &'a str) -> Result<Route<'a>, Rejection> {
        let route = self.rules.iter().find_map(|rule| {
            let levels = rule.levels(topic)?;
            Some(Route { rule, levels })
        });
        route.ok_or_else(|| {
            Rejection::new(Reason::UnknownTopic, format!("no route fits the topic {topic:?}"))
        })
    }

    /// The topic on which the device of these levels is told what is in Kafka.
    pub fn answer_topic(&self, levels: &[(&str, &str)]) -> String {
        self.answer.fill(levels)
    }

    /// Where dead letters go that belong to no route.
    pub fn unrouted(&self) -> &Arc<str> {
        &self.unrouted
    }

    /// The Kafka topics that are written, but for those that depend on the levels of a topic.
    pub fn topics_written(&self) -> Vec<String> {
        let mut topics = vec![self.unrouted.to_string()];
        for rule in &self.rules {
            if let Destination::Fixed(topic) = &rule.destination {
                topics.push(topic.to_string());
            }
            topics.push(rule.dead_letters.to_string());
        }
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}

impl Rule {
    /// The named levels of a topic; none if it does not fit.
    fn levels<'a>(&'a self, topic: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let mut levels = Vec::with_capacity(2);
        let mut rest = topic.split('/');
        for segment in &self.segments {
            let level = rest.next()?;
            match segment {
                Segment::Literal(literal) if literal != level => return None,
                Segment::Literal(_) => {}
                Segment::Named(_) if level.is_empty() => return None,
                Segment::Named(name) => levels.push((name.as_str(), level)),
            }
        }
        rest.next().is_none().then_some(levels)
    }

    fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for segment in &self.segments {
            if let Segment::Named(name) = segment {
                names.push(name.as_str());
            }
        }
        names
    }
}

impl Route<'_> {
    /// What the topic announces.
    pub fn announced(&self) -> Announced {
        self.rule.announced
    }

    /// The Kafka topic, and whether it depends on the levels of the MQTT topic.
    ///
    /// # Errors
    /// `bad-text`, if a level holds what the name of a Kafka topic cannot.
    pub(crate) fn kafka_topic(&self) -> Result<(Arc<str>, bool), Rejection> {
        match &self.rule.destination {
            Destination::Fixed(topic) => Ok((Arc::clone(topic), false)),
            Destination::Template(template) => {
                let topic = template.fill(&self.levels);
                if let Some(wrong) = check::wrong_with_kafka_topic(&topic) {
                    let detail = format!("{topic:?} is no Kafka topic: {wrong}");
                    return Err(Rejection::new(Reason::BadText, detail));
                }
                Ok((topic.into(), true))
            }
        }
    }

    /// The key and the further headers that the route gives.
    pub(crate) fn key(&self) -> Option<String> {
        let key = self.rule.key.as_ref()?.fill(&self.levels);
        (!key.is_empty()).then_some(key)
    }

    /// The further headers that the route gives.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (Cow<'static, str>, String)> {
        let filled =
            |(name, text): &(String, Template)| (Cow::from(name.clone()), text.fill(&self.levels));
        self.rule.headers.iter().map(filled)
    }
}

#[cfg(test)]
mod tests;
