//! From an MQTT message to the Kafka record that stands for it: the event, or a dead letter.
//!
//! Every message becomes exactly one record. A valid payload is normalised (key as a string, time in
//! UTC) and written under the schema's key with an id that depends on nothing but the message, so
//! that a message that is delivered twice has the same id twice. Anything else becomes a dead letter
//! with the reason, the origin, and the size and digest of the whole payload, of which it keeps
//! the beginning.
//!
//! Pure: no I/O, and the time of reception is an argument.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_events::{
    EventId, EventKind, EventTime, Key, Reason, Rejection, Schema, Source, TopicNames, headers,
};

use crate::route::{Kinds, Route};

/// One record to write to Kafka.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// The Kafka topic.
    pub topic: Arc<str>,
    /// The schema's key; a dead letter has none, because its payload was not understood.
    pub key: Option<Key>,
    /// The normalised event, or the beginning of what was refused.
    pub payload: Bytes,
    /// Header names and texts.
    pub headers: Vec<(&'static str, String)>,
    /// Why this is a dead letter; none for an event.
    pub refused: Option<Reason>,
}

/// The rules by which messages become records.
#[derive(Debug)]
pub struct Transform {
    schema: Schema,
    kinds: Kinds,
    measurement: Destination,
    target: Destination,
    unrouted: Arc<str>,
    payload_bytes_max: usize,
    future_tolerance: Duration,
}

#[derive(Debug)]
struct Destination {
    topic: Arc<str>,
    dead_letter: Arc<str>,
}

impl Destination {
    fn new(topic: &str) -> Self {
        Self { topic: topic.into(), dead_letter: TopicNames::dead_letter(topic).into() }
    }
}

impl Transform {
    /// Rules for this schema. Payloads above `payload_bytes_max` are refused unread, and event times
    /// more than `future_tolerance` ahead of the time of reception are not believed.
    pub fn new(
        schema: Schema,
        kinds: Kinds,
        topics: &TopicNames,
        payload_bytes_max: usize,
        future_tolerance: Duration,
    ) -> Self {
        Self {
            schema,
            kinds,
            measurement: Destination::new(&topics.measurement),
            target: Destination::new(&topics.target),
            unrouted: topics.unrouted.as_str().into(),
            payload_bytes_max,
            future_tolerance,
        }
    }

    /// The record that stands for a message received at `now`.
    pub fn record(&self, mqtt_topic: &str, payload: &Bytes, now: EventTime) -> Record {
        self.event(mqtt_topic, payload, now)
            .unwrap_or_else(|rejection| self.dead_letter(mqtt_topic, payload, &rejection))
    }

    /// The dead letter for a message that is refused, here or by Kafka.
    pub fn dead_letter(&self, mqtt_topic: &str, payload: &Bytes, rejection: &Rejection) -> Record {
        let topic = match Route::of(mqtt_topic, &self.kinds) {
            Ok(route) => &self.destination(route.kind).dead_letter,
            Err(_) => &self.unrouted,
        };
        Record {
            topic: Arc::clone(topic),
            key: None,
            payload: beginning(payload),
            headers: rejection.headers(mqtt_topic.to_owned(), payload),
            refused: Some(rejection.reason),
        }
    }

    fn event(
        &self,
        mqtt_topic: &str,
        payload: &Bytes,
        now: EventTime,
    ) -> Result<Record, Rejection> {
        let route = Route::of(mqtt_topic, &self.kinds)?;
        if payload.len() > self.payload_bytes_max {
            return Err(too_large(payload.len(), self.payload_bytes_max));
        }
        let source = Source::machine(&route.levels, now, self.future_tolerance);
        let decoded = self.schema.decode(route.kind, payload, &source)?;
        let id = EventId::of_payload(mqtt_topic, &decoded.key, payload);
        Ok(Record {
            topic: Arc::clone(&self.destination(route.kind).topic),
            payload: decoded.to_bytes().into(),
            key: Some(decoded.key),
            headers: vec![(headers::ID, id.to_string()), (headers::SOURCE, mqtt_topic.to_owned())],
            refused: None,
        })
    }

    fn destination(&self, kind: EventKind) -> &Destination {
        match kind {
            EventKind::Measurement => &self.measurement,
            EventKind::Target => &self.target,
        }
    }
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
    use weir_events::Digest;

    const GATE: &str = "weir/l/gate/measurement";
    const SCALE: &str = "weir/l/scale/weight";

    fn transform(key: &[&str]) -> Transform {
        let key = key.iter().map(|&name| name.to_owned()).collect();
        let schema = Schema::try_from(&SchemaConfig { key, ..SchemaConfig::fish() });
        Transform::new(
            schema.expect("valid"),
            Kinds::default(),
            &TopicNames::default(),
            1024,
            Duration::from_secs(5),
        )
    }

    fn record(topic: &str, payload: &str) -> Record {
        let now = "2026-01-05T08:00:00Z".parse().expect("a time");
        transform(&["Fish_Id"]).record(topic, &Bytes::copy_from_slice(payload.as_bytes()), now)
    }

    fn header<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
        record.headers.iter().find(|(n, _)| *n == name).map(|(_, text)| text.as_str())
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
        let record = transform(&["device", "Fish_Id"]).record(SCALE, &payload, EventTime::EPOCH);
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
        let record = transform(&["Fish_Id"]).record(GATE, &payload, EventTime::EPOCH);
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
            let first = transform.record(topic, &payload, EventTime::EPOCH);
            prop_assert_eq!(&first, &transform.record(topic, &payload, EventTime::EPOCH));
            prop_assert_eq!(first.refused.is_some(), first.topic.ends_with("-dead-letter"));
            prop_assert_eq!(first.refused.is_some(), first.key.is_none());
        }
    }
}
