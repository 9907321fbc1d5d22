//! From an MQTT message to the Kafka record that stands for it: the event, or a dead letter.
//!
//! Every message becomes exactly one record, unless the ledger knows it. A valid payload is normalised (key as a
//! string, time in UTC) and written under the schema's key. The id of an event that an agent has numbered is that of
//! its number; another one's depends on nothing but the message. So a message that is delivered twice
//! has the same id twice. Anything else becomes a dead letter with the reason, the origin, and the size and digest
//! of the whole payload, of which it keeps the beginning. What tells that events are missing becomes a dead
//! letter too, since it is no event.
//!
//! Pure: no I/O, and the time of reception is an argument.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_events::{
    EventId, EventTime, Gap, Key, Reason, Rejection, Schema, Source, Stamp, headers,
};

use crate::ledger::Arrival;
use crate::route::{Announced, Route, Routes};

/// One record to write to Kafka.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// The Kafka topic.
    pub topic: Arc<str>,
    /// The schema's key, or the route's; a dead letter has none, because its payload was not understood.
    pub key: Option<Key>,
    /// The normalised event, or the beginning of what was refused.
    pub payload: Bytes,
    /// Header names and texts.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// Why this is a dead letter; none for an event.
    pub refused: Option<Reason>,
    /// Whether the Kafka topic depends on the MQTT topic: a device may name one that nobody has made.
    pub is_topic_templated: bool,
}

impl Record {
    /// The id of its event, if it has one.
    pub fn id(&self) -> Option<EventId> {
        let (_, id) = self.headers.iter().find(|(name, _)| name == headers::ID)?;
        id.parse().ok()
    }

    /// The memory that it takes, roughly.
    pub fn bytes(&self) -> usize {
        self.payload.len() + self.headers.iter().map(|(_, text)| text.len()).sum::<usize>()
    }
}

/// A message as it is received.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The MQTT topic.
    pub topic: &'a str,
    /// The payload.
    pub payload: &'a Bytes,
    /// The text of the user property [`Stamp::PROPERTY`], if there is one.
    pub stamp: Option<&'a str>,
    /// When it was received.
    pub at: EventTime,
}

/// What a message says about itself: where it leads, and which of its device's records it is.
#[derive(Debug)]
pub struct Reading<'a> {
    message: Message<'a>,
    route: Result<Route<'a>, Rejection>,
    arrival: Result<Option<Arrival>, Rejection>,
    id: Option<EventId>,
}

impl Reading<'_> {
    /// The numbers that it stands for; none if its sender has not numbered it, or not in a form that can be read.
    pub fn arrival(&self) -> Option<Arrival> {
        self.arrival.as_ref().ok().copied().flatten()
    }

    /// The named levels of its topic.
    pub fn levels(&self) -> &[(&str, &str)] {
        self.route.as_ref().map_or(&[], |route| route.levels.as_slice())
    }

    /// The device that has sent it: the named levels of its topic, separated by `/`.
    pub fn device(&self) -> String {
        self.levels().iter().map(|(_, level)| *level).collect::<Vec<_>>().join("/")
    }

    /// The id of a numbered event.
    pub fn id(&self) -> Option<EventId> {
        self.id
    }
}

/// The rules by which messages become records.
#[derive(Debug)]
pub struct Transform {
    schema: Schema,
    routes: Routes,
    payload_bytes_max: usize,
    future_tolerance: Duration,
}

impl Transform {
    /// Rules for this schema. Payloads above `payload_bytes_max` are refused unread, and event times
    /// more than `future_tolerance` ahead of the time of reception are not believed.
    pub fn new(
        schema: Schema,
        routes: Routes,
        payload_bytes_max: usize,
        future_tolerance: Duration,
    ) -> Self {
        Self { schema, routes, payload_bytes_max, future_tolerance }
    }

    /// Where topics lead.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// What a message says about itself.
    pub fn read<'a>(&'a self, message: Message<'a>) -> Reading<'a> {
        let route = self.routes.of(message.topic);
        let arrival = match (&route, message.stamp) {
            (Ok(route), Some(stamp)) if route.rule.is_answered => {
                arrival(&message, route, stamp).map(Some)
            }
            _ => Ok(None),
        };
        let id = match (&route, &arrival) {
            (Ok(route), Ok(Some(Arrival { stamp, .. }))) => {
                let device: Vec<&str> = route.levels.iter().map(|(_, level)| *level).collect();
                Some(EventId::of_record(&device, stamp.epoch, stamp.seq))
            }
            _ => None,
        };
        Reading { message, route, arrival, id }
    }

    /// The record that stands for a message that is new.
    pub fn record(&self, reading: &Reading<'_>) -> Record {
        self.event(reading).unwrap_or_else(|rejection| {
            let Message { topic, payload, .. } = reading.message;
            self.dead_letter(topic, payload, reading.id(), &rejection)
        })
    }

    /// The dead letter for a message whose number another one has. It bears no id, since it is another event.
    pub fn conflict(&self, reading: &Reading<'_>) -> Record {
        let Message { topic, payload, stamp, .. } = reading.message;
        let detail = format!(
            "another payload came under {:?} of this device: do two machines run with one spool?",
            stamp.unwrap_or_default()
        );
        self.dead_letter(topic, payload, None, &Rejection::new(Reason::IdConflict, detail))
    }

    /// The dead letter for a message that is refused, here or by Kafka, with the id of the event if it has one of
    /// its own.
    pub fn dead_letter(
        &self,
        mqtt_topic: &str,
        payload: &Bytes,
        id: Option<EventId>,
        rejection: &Rejection,
    ) -> Record {
        let topic = match self.routes.of(mqtt_topic) {
            Ok(route) => Arc::clone(&route.rule.dead_letters),
            Err(_) => Arc::clone(self.routes.unrouted()),
        };
        let of_rejection = rejection.headers(mqtt_topic.to_owned(), payload).into_iter();
        let mut named: Vec<_> = of_rejection.map(|(name, text)| (Cow::from(name), text)).collect();
        named.extend(id.map(|id| (headers::ID.into(), id.to_string())));
        Record {
            topic,
            key: None,
            payload: beginning(payload),
            headers: named,
            refused: Some(rejection.reason),
            is_topic_templated: false,
        }
    }

    fn event(&self, reading: &Reading<'_>) -> Result<Record, Rejection> {
        let Message { topic: mqtt_topic, payload, at, .. } = reading.message;
        let route = reading.route.as_ref().map_err(Clone::clone)?;
        let arrival = reading.arrival.as_ref().map_err(Clone::clone)?;
        if payload.len() > self.payload_bytes_max {
            return Err(too_large(payload.len(), self.payload_bytes_max));
        }
        if route.announced() == Announced::Gap {
            return self.gap(reading, route, arrival.as_ref());
        }
        let (key, payload_written, id) = match route.announced().kind() {
            Some(kind) => {
                let source = Source::machine(&route.levels, at, self.future_tolerance);
                let decoded = self.schema.decode(kind, payload, &source)?;
                let id = reading
                    .id
                    .unwrap_or_else(|| EventId::of_payload(mqtt_topic, &decoded.key, payload));
                let written = decoded.to_bytes().into();
                (Some(decoded.key), written, id)
            }
            None => {
                let id = reading.id.unwrap_or_else(|| raw_id(mqtt_topic, payload));
                (route.key().as_deref().and_then(Key::new), payload.clone(), id)
            }
        };
        let (topic, is_topic_templated) = route.kafka_topic()?;
        let mut named = vec![
            (headers::ID.into(), id.to_string()),
            (headers::SOURCE.into(), mqtt_topic.to_owned()),
        ];
        named.extend(route.headers());
        Ok(Record {
            topic,
            payload: payload_written,
            key,
            headers: named,
            refused: None,
            is_topic_templated,
        })
    }

    /// What tells that events are missing is no event, and counts as a dead letter. It goes where its route says.
    fn gap(
        &self,
        reading: &Reading<'_>,
        route: &Route<'_>,
        arrival: Option<&Arrival>,
    ) -> Result<Record, Rejection> {
        let Message { topic, payload, .. } = reading.message;
        let rejection = missing(&reading.device(), arrival, payload);
        let letter = self.dead_letter(topic, payload, reading.id, &rejection);
        if rejection.reason != Reason::Gap {
            return Ok(letter);
        }
        let (topic, is_topic_templated) = route.kafka_topic()?;
        Ok(Record { topic, is_topic_templated, ..letter })
    }
}

/// The numbers of a message with a stamp.
fn arrival(message: &Message<'_>, route: &Route<'_>, stamp: &str) -> Result<Arrival, Rejection> {
    let bad =
        |error: weir_events::DeliveryError| Rejection::new(Reason::BadStamp, error.to_string());
    let stamp: Stamp = stamp.parse().map_err(bad)?;
    if route.announced() == Announced::Gap {
        // One that cannot be read takes its number all the same: the sender would wait for ever.
        let count = Gap::parse(message.payload).map_or(1, |gap| gap.count);
        return Ok(Arrival { stamp, count, digest: None });
    }
    let mut hash = DefaultHasher::new();
    (message.topic, &message.payload[..]).hash(&mut hash);
    Ok(Arrival { stamp, count: 1, digest: Some(hash.finish()) })
}

/// The id of what no schema describes, and nobody has numbered: of topic and payload.
fn raw_id(mqtt_topic: &str, payload: &[u8]) -> EventId {
    let key = Key::new(mqtt_topic).expect("a topic that fits a route is not empty");
    EventId::of_payload(mqtt_topic, &key, payload)
}

/// What a gap becomes.
fn missing(device: &str, arrival: Option<&Arrival>, payload: &[u8]) -> Rejection {
    let (arrival, gap) = match (arrival, Gap::parse(payload)) {
        (_, Err(error)) => return Rejection::new(Reason::BadStamp, error.to_string()),
        (None, _) => {
            let detail = format!("a gap needs the user property {}", Stamp::PROPERTY);
            return Rejection::new(Reason::BadStamp, detail);
        }
        (Some(arrival), Ok(gap)) => (arrival, gap),
    };
    let Stamp { epoch, seq: first, .. } = arrival.stamp;
    let last = first.saturating_add(gap.count - 1);
    let detail = format!(
        "the events {first} to {last} of {device:?}, epoch {epoch}, are lost at the device: {}",
        gap.reason
    );
    Rejection::new(Reason::Gap, detail)
}

/// A copy where something is cut off, so that the large whole is not kept alive.
fn beginning(payload: &Bytes) -> Bytes {
    match payload.get(..Rejection::PAYLOAD_BYTES_MAX) {
        Some(beginning) if payload.len() > Rejection::PAYLOAD_BYTES_MAX => {
            Bytes::copy_from_slice(beginning)
        }
        _ => payload.clone(),
    }
}

fn too_large(size: usize, max: usize) -> Rejection {
    Rejection {
        reason: Reason::PayloadTooLarge,
        detail: format!("the payload has {size} bytes, more than {max}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_events::SchemaConfig;

    use super::*;
    use crate::BridgeConfig;
    use weir_events::Digest;

    const GATE: &str = "weir/l/gate/measurement";
    const SCALE: &str = "weir/l/scale/weight";

    fn transform(key: &[&str]) -> Transform {
        let key = key.iter().map(|&name| name.to_owned()).collect();
        let schema = Schema::try_from(&SchemaConfig { key, ..SchemaConfig::fish() });
        let config = BridgeConfig::default();
        let routes = Routes::new(&config.routes, &config.topics, &config.acks.topic);
        Transform::new(schema.expect("valid"), routes.expect("valid"), 1024, Duration::from_secs(5))
    }

    fn record(topic: &str, payload: &str) -> Record {
        let now = "2026-01-05T08:00:00Z".parse().expect("a time");
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        plain(&transform(&["Fish_Id"]), topic, &payload, now)
    }

    fn plain(transform: &Transform, topic: &str, payload: &Bytes, at: EventTime) -> Record {
        transform.record(&transform.read(Message { topic, payload, stamp: None, at }))
    }

    fn header<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
        record.headers.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str())
    }

    #[test]
    fn a_valid_event_is_normalised_under_its_key() {
        let payload = r#"{"Fish_Id":7,"Weight":4.5,"Timestamp":"2026-01-05 08:00:05"}"#;
        let record = record(SCALE, payload);
        assert_eq!(&*record.topic, "machine-weight");
        assert_eq!(record.key.as_ref().map(Key::as_str), Some("7"));
        assert_eq!(
            record.payload,
            r#"{"Fish_Id":"7","Weight":4.5,"Timestamp":"2026-01-05T08:00:05Z"}"#
        );
        let id = EventId::of_payload(SCALE, &Key::new("7").expect("text"), payload.as_bytes());
        assert_eq!(header(&record, headers::ID), Some(id.to_string().as_str()));
        assert_eq!(header(&record, headers::SOURCE), Some(SCALE));
        assert_eq!((record.refused, record.headers.len()), (None, 2));
    }

    #[test]
    fn the_device_of_a_key_is_that_of_the_topic() {
        let payload = Bytes::from_static(br#"{"device":"forged","Fish_Id":"7","Weight":4.5}"#);
        let record = plain(&transform(&["device", "Fish_Id"]), SCALE, &payload, EventTime::EPOCH);
        assert_eq!(record.key.as_ref().map(Key::as_str), Some("scale/7"));
        assert!(record.payload.starts_with(br#"{"device":"scale""#));
    }

    #[test]
    fn what_is_refused_becomes_a_dead_letter_that_says_why() {
        let large = "x".repeat(1025);
        let cases = [
            (GATE, "", Reason::EmptyPayload, "machine-measurement-dead-letter"),
            (GATE, "{", Reason::MalformedJson, "machine-measurement-dead-letter"),
            (GATE, &large, Reason::PayloadTooLarge, "machine-measurement-dead-letter"),
            (SCALE, "{}", Reason::MissingField, "machine-weight-dead-letter"),
            ("weir/l/gate/colour", "{}", Reason::UnknownTopic, "unrouted-dead-letter"),
            (
                SCALE,
                r#"{"Fish_Id":"1","Weight":4.5,"Timestamp":"2026-01-05T08:00:05.001Z"}"#,
                Reason::FutureTimestamp,
                "machine-weight-dead-letter",
            ),
        ];
        for (mqtt_topic, payload, reason, kafka_topic) in cases {
            let record = record(mqtt_topic, payload);
            assert_eq!((&*record.topic, record.refused), (kafka_topic, Some(reason)));
            assert_eq!(header(&record, headers::REASON), Some(reason.as_str()));
            assert_eq!(header(&record, headers::SOURCE), Some(mqtt_topic));
            assert_eq!(header(&record, headers::SIZE), Some(payload.len().to_string().as_str()));
            let digest = Digest::of(payload.as_bytes()).to_string();
            assert_eq!(header(&record, headers::DIGEST), Some(digest.as_str()));
            assert!(header(&record, headers::DETAIL).is_some_and(|text| !text.is_empty()));
            assert_eq!((record.key, record.payload), (None, Bytes::from(payload.to_owned())));
        }
    }

    #[test]
    fn a_dead_letter_keeps_the_beginning_but_measures_the_whole() {
        let payload = Bytes::from(vec![b'x'; 1_000_000]);
        let record = plain(&transform(&["Fish_Id"]), GATE, &payload, EventTime::EPOCH);
        assert_eq!(record.payload.len(), Rejection::PAYLOAD_BYTES_MAX);
        assert_eq!(header(&record, headers::SIZE), Some("1000000"));
        let digest = Digest::of(&payload).to_string();
        assert_eq!(header(&record, headers::DIGEST), Some(digest.as_str()));
    }

    proptest! {
        /// Twice the same message has twice the same id: that makes redelivery harmless.
        #[test]
        fn any_message_becomes_one_record_and_always_the_same(
            topic in prop_oneof![Just(GATE), Just(SCALE), Just("weir/l/d/x")],
            payload in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..64),
                r#"\{"Fish_Id":"[a-b]?","Weight":-?[0-9]\}"#.prop_map(String::into_bytes),
            ],
        ) {
            let transform = transform(&["Fish_Id"]);
            let payload = Bytes::from(payload);
            let first = plain(&transform, topic, &payload, EventTime::EPOCH);
            prop_assert_eq!(&first, &plain(&transform, topic, &payload, EventTime::EPOCH));
            prop_assert_eq!(first.refused.is_some(), first.topic.ends_with("-dead-letter"));
            prop_assert_eq!(first.refused.is_some(), first.key.is_none());
        }
    }
}
