//! From a dead letter to the event that it becomes when it is sent again. Pure.
//!
//! A dead letter of the bridge names an MQTT topic as its source. It goes through the bridge's own rules, with
//! the time at which it was refused as the time of reception, so it becomes what it would have become then:
//! same id, same event time. If its sender had numbered it, the dead letter has its id. A dead letter of a role names a place in Kafka. It goes back to that topic under
//! its key and its id, with the time at which it was refused as Kafka's timestamp, which is the event time
//! of a payload that brings none.
//!
//! Invariant: the same dead letter under the same settings becomes the same event, however often.

use std::borrow::Cow;

use bytes::Bytes;
use weir_bridge::transform::{Message, Transform};
use weir_events::{EventId, EventKind, EventTime, Rejection, Schema, Source, TopicNames, headers};

use super::super::letter::{Letter, Place};

/// What to send.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Event {
    pub(super) topic: String,
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Bytes,
    pub(super) id: String,
    pub(super) headers: Vec<(Cow<'static, str>, String)>,
    pub(super) timestamp: Option<EventTime>,
}

/// The present settings of a line.
#[derive(Debug)]
pub(super) struct Judge {
    bridge: Transform,
    schema: Schema,
    topics: TopicNames,
}

impl Judge {
    pub(super) fn new(bridge: Transform, schema: Schema, topics: TopicNames) -> Self {
        Self { bridge, schema, topics }
    }

    /// The event of a letter from one of the line's topics of dead letters, or why it cannot be sent again.
    pub(super) fn event(&self, letter: Letter) -> Result<Event, String> {
        let Some(source) = letter.source.clone() else {
            return Err("it names no source: Weir did not write it".to_owned());
        };
        if let Some(reason) = letter.incomplete() {
            return Err(reason);
        }
        match role_source(&source, &letter.place.topic) {
            Some(place) => self.of_role(place.topic, letter),
            None => self.of_bridge(&source, letter),
        }
    }

    fn of_bridge(&self, mqtt_topic: &str, letter: Letter) -> Result<Event, String> {
        let payload = letter.payload.into();
        let message =
            Message { topic: mqtt_topic, payload: &payload, stamp: None, at: letter.time };
        let mut record = self.bridge.record(&self.bridge.read(message));
        if let Some(id) = letter.id {
            let header = record.headers.iter_mut().find(|(name, _)| name == headers::ID);
            header.into_iter().for_each(|(_, text)| *text = id.to_string());
        }
        let header = |name: &str| record.headers.iter().find(|(header, _)| header == name);
        if let Some(reason) = record.refused {
            let detail = header(headers::DETAIL).map_or("", |(_, detail)| detail);
            return Err(format!("it is refused again: {reason}: {detail}"));
        }
        let (_, id) = header(headers::ID).expect("the bridge gives every event an id");
        Ok(Event {
            topic: record.topic.to_string(),
            key: record.key.as_ref().map(|key| key.as_str().as_bytes().to_vec()),
            id: id.clone(),
            payload: record.payload,
            headers: record.headers,
            timestamp: None,
        })
    }

    fn of_role(&self, topic: String, letter: Letter) -> Result<Event, String> {
        let Some(id) = letter.id else {
            return Err("it has no id, so a repetition could not be told".to_owned());
        };
        self.read(&topic, &letter, id)
            .map_err(|rejection| format!("it is refused again: {rejection}"))?;
        let (id, source) = (id.to_string(), letter.place.to_string());
        Ok(Event {
            topic,
            key: letter.key,
            payload: letter.payload.into(),
            headers: vec![(headers::ID.into(), id.clone()), (headers::SOURCE.into(), source)],
            id,
            timestamp: Some(letter.time),
        })
    }

    /// Reads the payload as the role does that reads the topic.
    fn read(&self, topic: &str, letter: &Letter, id: EventId) -> Result<(), Rejection> {
        let (schema, payload) = (&self.schema, letter.payload.as_slice());
        let decode = |kind| schema.decode(kind, payload, &Source::record(letter.time)).map(drop);
        let TopicNames { measurement, target, prediction, joined, .. } = &self.topics;
        match topic {
            _ if topic == measurement => decode(EventKind::Measurement),
            _ if topic == target => decode(EventKind::Target),
            _ if topic == prediction => schema.decode_prediction(payload, id).map(drop),
            _ if topic == joined => schema.decode_joined(payload).map(drop),
            // The only other topic that roles refuse records of.
            _ => schema.decode_trigger(payload).map(drop),
        }
    }
}

/// The place from which a role read the letter; none if it is the bridge's. A role's dead letters lie in the
/// topic named after their source's, where an MQTT topic that reads like a place never leads.
fn role_source(source: &str, topic: &str) -> Option<Place> {
    let place: Place = source.parse().ok()?;
    (TopicNames::dead_letter(&place.topic) == topic).then_some(place)
}

#[cfg(test)]
mod tests {
    use weir_bridge::BridgeConfig;
    use weir_events::{Key, SchemaConfig};

    use super::super::super::letter::samples;
    use super::*;

    const SCALE: &str = "weir/l/scale/weight";
    const WEIGHT: &[u8] = br#"{"Fish_Id":7,"Weight":4.5}"#;

    fn judge() -> Judge {
        let schema = Schema::try_from(&SchemaConfig::fish()).expect("valid");
        let bridge = BridgeConfig::default().transform().expect("valid");
        Judge::new(bridge, schema, TopicNames::default())
    }

    fn refused(letter: Letter) -> String {
        judge().event(letter).expect_err("refused")
    }

    /// As the bridge would have written it when it refused it.
    #[test]
    fn a_letter_of_the_bridge_becomes_the_bridges_event() {
        let letter = samples::letter(SCALE, WEIGHT);
        let event = judge().event(letter.clone()).expect("an event");
        assert_eq!(
            (event.topic.as_str(), event.key.as_deref()),
            ("machine-weight", Some(&b"7"[..]))
        );
        assert_eq!(
            event.payload,
            r#"{"Fish_Id":"7","Weight":4.5,"Timestamp":"2026-01-05T08:00:00Z"}"#
        );
        let id = EventId::of_payload(SCALE, &Key::new("7").expect("text"), WEIGHT).to_string();
        let headers =
            [(headers::ID.into(), id.clone()), (headers::SOURCE.into(), SCALE.to_owned())];
        assert_eq!((&event.id, &event.headers[..]), (&id, &headers[..]));
        assert_eq!(judge().event(letter), Ok(event));
    }

    /// The number that its sender gave it is not in the letter, but the id that follows from it is.
    #[test]
    fn a_letter_of_a_numbered_event_keeps_its_id() {
        let id = EventId::from_bytes([9; 16]);
        let letter = Letter { id: Some(id), ..samples::letter(SCALE, WEIGHT) };
        let event = judge().event(letter).expect("an event");
        assert_eq!((&event.id, &event.headers[0].1), (&id.to_string(), &id.to_string()));
    }

    #[test]
    fn a_letter_of_a_role_goes_back_as_it_was() {
        let id = EventId::from_bytes([9; 16]);
        let letter = Letter {
            id: Some(id),
            key: Some(b"\xff\xfe".to_vec()),
            ..samples::letter("machine-weight/3/17", WEIGHT)
        };
        let event = judge().event(letter.clone()).expect("an event");
        assert_eq!((event.topic.as_str(), &event.payload[..]), ("machine-weight", WEIGHT));
        assert_eq!((event.key.as_deref(), event.id), (Some(&b"\xff\xfe"[..]), id.to_string()));
        assert_eq!(event.headers[0], (headers::ID.into(), id.to_string()));
        assert_eq!(event.headers[1], (headers::SOURCE.into(), letter.place.to_string()));
        assert_eq!(event.timestamp, Some(letter.time));
        assert!(refused(Letter { id: None, ..letter }).contains("no id"));
    }

    #[test]
    fn what_would_be_refused_again_is_told() {
        let reason = refused(samples::letter(SCALE, br#"{"Fish_Id":7,"Weight":0}"#));
        assert_eq!(reason, "it is refused again: target-not-positive: Weight: 0 is not above zero");
        let reason = refused(samples::letter("weir/l/scale/colour", WEIGHT));
        assert!(reason.starts_with("it is refused again: unknown-topic: "), "{reason}");
        let letter = samples::letter("machine-weight/0/1", b"{}");
        let reason = refused(Letter { id: Some(EventId::from_bytes([9; 16])), ..letter });
        assert!(reason.starts_with("it is refused again: missing-field: Fish_Id"), "{reason}");
    }

    #[test]
    fn what_is_not_whole_or_not_ours_is_left() {
        let letter = || samples::letter(SCALE, WEIGHT);
        let cut = Letter { size: Some(70_000), ..letter() };
        assert!(refused(cut).contains("of its 70000 bytes"));
        assert!(refused(Letter { source: None, ..letter() }).contains("no source"));
    }

    /// An MQTT topic may read like a place.
    #[test]
    fn a_source_is_a_place_only_beside_its_dead_letters() {
        let letters = "machine-weight-dead-letter";
        let place = role_source("machine-weight/0/17", letters).expect("a place");
        assert_eq!(place.to_string(), "machine-weight/0/17");
        for source in ["weir/0/17", "machine-measurement/0/17", SCALE, ""] {
            assert_eq!(role_source(source, letters), None, "{source}");
        }
        assert_eq!(role_source("unrouted/0/17", "machine-weight-dead-letter"), None);
    }
}
