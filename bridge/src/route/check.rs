//! From the routes of the settings to those that can be used, or to what is wrong with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_events::TopicNames;
use weir_events::headers::TRACE;

use super::{Announced, Destination, RouteConfig, Routes, Rule, Segment};
use crate::template::{Template, TemplateError};

/// The longest name of a Kafka topic.
const KAFKA_TOPIC_CHARS_MAX: usize = 249;
/// Headers that Weir itself writes begin so.
const RESERVED: &str = "weir-";

/// A route that cannot be used. Routes are counted from 1.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RouteError {
    /// There is none.
    #[error("routes: there is none")]
    None,
    /// A setting of a route is wrong.
    #[error("routes: {setting} of route {route}: {reason}")]
    Setting {
        /// Which route.
        route: usize,
        /// Which setting.
        setting: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Everything that would fit a route fits one before it.
    #[error("routes: route {route} is never reached: route {before} fits every topic of its")]
    Unreachable {
        /// Which route.
        route: usize,
        /// The one before it.
        before: usize,
    },
    /// Two routes fit one topic, and neither is the special case of the other.
    #[error("routes: routes {before} and {route} both fit {topic:?}, and neither is more special")]
    Ambiguous {
        /// Which route.
        route: usize,
        /// The one before it.
        before: usize,
        /// A topic that fits both.
        topic: String,
    },
    /// The topic of confirmations is wrong.
    #[error("acks.topic: {0}")]
    Answer(String),
}

pub(super) fn routes(
    configs: &[RouteConfig],
    topics: &TopicNames,
    answer: &str,
) -> Result<Routes, RouteError> {
    let answer = self::answer(answer)?;
    let unrouted: Arc<str> = topics.unrouted.as_str().into();
    let mut rules: Vec<Rule> = Vec::with_capacity(configs.len());
    for (number, config) in (1..).zip(configs) {
        let wrong = |setting, reason| RouteError::Setting { route: number, setting, reason };
        let rule = rule(config, topics, &answer).map_err(|(setting, why)| wrong(setting, why))?;
        if rule.announced != Announced::Raw
            && let Err(error) = answer.check(&rule.names())
        {
            return Err(RouteError::Answer(format!("{error} of route {number}")));
        }
        for (before, other) in (1..).zip(&rules) {
            compare(&rule, number, other, before)?;
        }
        rules.push(rule);
    }
    if rules.is_empty() {
        return Err(RouteError::None);
    }
    Ok(Routes { rules, unrouted, answer })
}

type Wrong = (&'static str, String);

fn rule(config: &RouteConfig, topics: &TopicNames, answer: &Template) -> Result<Rule, Wrong> {
    let segments = segments(&config.topic).map_err(|reason| ("topic", reason))?;
    let kafka_topic = match (&config.kafka_topic, config.event) {
        (Some(topic), _) => topic,
        (None, Announced::Measurement) => &topics.measurement,
        (None, Announced::Target) => &topics.target,
        (None, Announced::Gap) => &topics.unrouted,
        (None, Announced::Raw) => {
            return Err(("kafka-topic", "what is raw has no topic of its own; name one".into()));
        }
    };
    // Only these have dead letters of their own, which whoever makes the topics knows of.
    let dead_letters = if [&topics.measurement, &topics.target].contains(&kafka_topic) {
        TopicNames::dead_letter(kafka_topic).into()
    } else {
        topics.unrouted.as_str().into()
    };
    if config.key.is_some() && config.event != Announced::Raw {
        return Err((
            "key",
            "the schema names the key of an event; only what is raw has one".into(),
        ));
    }
    let mut rule = Rule {
        segments,
        announced: config.event,
        destination: Destination::Fixed(kafka_topic.as_str().into()),
        dead_letters,
        key: None,
        headers: Vec::new(),
        is_answered: false,
    };
    let names = rule.names();
    let template = |setting, text: &str| filled_by(text, &names).map_err(|why| (setting, why));
    let destination = template("kafka-topic", kafka_topic)?;
    let key = config.key.as_deref().map(|key| template("key", key)).transpose()?;
    let headers = headers(&config.headers, &names).map_err(|reason| ("headers", reason))?;
    let is_answered = answer.check(&names).is_ok();
    if destination.names().next().is_some() {
        rule.destination = Destination::Template(destination);
    } else if let Some(reason) = wrong_with_kafka_topic(kafka_topic) {
        return Err(("kafka-topic", format!("{kafka_topic:?}: {reason}")));
    }
    Ok(Rule { key, headers, is_answered, ..rule })
}

/// The levels of a route's topic.
fn segments(topic: &str) -> Result<Vec<Segment>, String> {
    if topic.is_empty() || topic.contains(['+', '#', '\0']) {
        return Err(format!("{topic:?}: must not be empty, and '+' and '#' are {{names}} here"));
    }
    let mut segments: Vec<Segment> = Vec::new();
    for level in topic.split('/') {
        let template = Template::parse(level).map_err(|error| error.to_string())?;
        let mut names = template.names();
        let segment = match (names.next(), names.next()) {
            (None, _) => Segment::Literal(level.to_owned()),
            (Some(name), None) if level == format!("{{{name}}}") => Segment::Named(name.to_owned()),
            _ => return Err(format!("{level:?}: a level is a name or a word, not both")),
        };
        if matches!(&segment, Segment::Named(_)) && segments.contains(&segment) {
            return Err(format!("{level}: two levels have this name"));
        }
        segments.push(segment);
    }
    Ok(segments)
}

fn headers(
    headers: &BTreeMap<String, String>,
    names: &[&str],
) -> Result<Vec<(String, Template)>, String> {
    let header = |(name, text): (&String, &String)| {
        if name.is_empty() || name.starts_with(RESERVED) || name == TRACE {
            let own = format!("begins with {RESERVED}, as Weir's own do");
            return Err(format!("{name:?}: is empty, is {TRACE}, or {own}"));
        }
        Ok((name.clone(), filled_by(text, names)?))
    };
    headers.iter().map(header).collect()
}

fn filled_by(text: &str, names: &[&str]) -> Result<Template, String> {
    let read = || -> Result<Template, TemplateError> {
        let template = Template::parse(text)?;
        template.check(names)?;
        Ok(template)
    };
    read().map_err(|error| error.to_string())
}

fn answer(text: &str) -> Result<Template, RouteError> {
    let template = Template::parse(text).map_err(|error| RouteError::Answer(error.to_string()))?;
    if text.is_empty() || text.contains(['+', '#', '\0']) {
        let reason = format!("{text:?}: must not be empty, nor hold '+' or '#'");
        return Err(RouteError::Answer(reason));
    }
    Ok(template)
}

/// Why Kafka would not take the name of a topic.
pub(super) fn wrong_with_kafka_topic(topic: &str) -> Option<&'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if topic.is_empty() || topic == "." || topic == ".." {
        Some("it is empty, or consists of dots")
    } else if !topic.chars().all(fits) {
        Some("it holds more than letters, digits, '.', '_' and '-'")
    } else if topic.len() > KAFKA_TOPIC_CHARS_MAX {
        Some("it is longer than 249 characters")
    } else {
        None
    }
}

/// A route is never reached behind one that is as general, and may follow only one that is more special or
/// fits other topics.
fn compare(rule: &Rule, route: usize, other: &Rule, before: usize) -> Result<(), RouteError> {
    if rule.segments.len() != other.segments.len() {
        return Ok(());
    }
    let (mut here_special, mut there_special) = (false, false);
    let mut topic = Vec::new();
    for pair in rule.segments.iter().zip(&other.segments) {
        topic.push(match pair {
            (Segment::Literal(here), Segment::Literal(there)) if here != there => return Ok(()),
            (Segment::Literal(literal), Segment::Literal(_)) => literal.as_str(),
            (Segment::Named(_), Segment::Named(_)) => "x",
            (Segment::Literal(literal), Segment::Named(_)) if literal.is_empty() => return Ok(()),
            (Segment::Named(_), Segment::Literal(literal)) if literal.is_empty() => return Ok(()),
            (Segment::Literal(literal), Segment::Named(_)) => {
                here_special = true;
                literal
            }
            (Segment::Named(_), Segment::Literal(literal)) => {
                there_special = true;
                literal
            }
        });
    }
    match (here_special, there_special) {
        (_, false) => Err(RouteError::Unreachable { route, before }),
        (true, true) => Err(RouteError::Ambiguous { route, before, topic: topic.join("/") }),
        (false, true) => Ok(()),
    }
}
