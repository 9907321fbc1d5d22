//! From the bytes of a payload to a valid event, or to a reason for refusing it.
//!
//! The same rules hold at the bridge, where a payload comes from a machine, and behind Kafka, where it
//! may come from a foreign producer. Numbers must be JSON numbers; the key may be a string or an
//! integer and is carried as a string; fields that the schema does not name are kept and ignored.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::id::{EventId, Key};
use crate::records::{Measurement, Target};
use crate::rejection::{Reason, Rejection};
use crate::schema::Schema;
use crate::time::EventTime;

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 256;
/// The longest level of a factor, in bytes: what a model component can hold.
const LEVEL_BYTES_MAX: usize = 64;

/// What an MQTT topic or Kafka topic announces its payloads to be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EventKind {
    /// The cheap numbers.
    Measurement,
    /// The expensive number.
    Target,
}

/// What is known about a payload besides its bytes.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// Named levels of the MQTT topic (`line`, `device`), which a key may be composed of. Empty
    /// behind Kafka, where the bridge has written them into the payload.
    pub levels: &'a [(&'a str, &'a str)],
    /// The event time of a payload that brings none.
    pub received: EventTime,
    /// The latest event time that is believed; none where that was checked before.
    pub latest: Option<EventTime>,
}

impl<'a> Source<'a> {
    /// A payload received from a machine at `now`, which may run ahead by `tolerance`.
    pub fn machine(levels: &'a [(&'a str, &'a str)], now: EventTime, tolerance: Duration) -> Self {
        Self { levels, received: now, latest: Some(now.plus(tolerance)) }
    }

    /// A record of a Kafka topic, with Kafka's timestamp for a payload that brings none.
    pub fn record(timestamp: EventTime) -> Self {
        Self { levels: &[], received: timestamp, latest: None }
    }
}

/// A valid payload.
#[derive(Clone, PartialEq, Debug)]
pub struct Decoded {
    /// Its key.
    pub key: Key,
    /// Its event time.
    pub time: EventTime,
    /// The payload as it is passed on: key fields as strings, the timestamp in UTC, all else as it came.
    pub json: Map<String, Value>,
    numbers: Vec<f64>,
    level: Option<Arc<str>>,
}

impl Decoded {
    /// The payload's bytes as they are passed on.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.json).expect("a map of strings to JSON values can be written")
    }

    /// As a measurement. Only for what was decoded as [`EventKind::Measurement`].
    pub fn into_measurement(self, id: EventId) -> Measurement {
        Measurement {
            id,
            key: self.key,
            time: self.time,
            features: self.numbers,
            level: self.level,
        }
    }

    /// As a target. Only for what was decoded as [`EventKind::Target`].
    pub fn into_target(self, id: EventId) -> Target {
        let value = self.numbers.first().copied().expect("decoding a target reads its value");
        Target { id, key: self.key, time: self.time, value }
    }
}

impl Schema {
    /// Reads a payload.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn decode(
        &self,
        kind: EventKind,
        payload: &[u8],
        source: &Source<'_>,
    ) -> Result<Decoded, Rejection> {
        let mut json = object(payload)?;
        let key = self.take_key(&mut json, source)?;
        let time = self.take_time(&mut json, source)?;
        let (numbers, level) = match kind {
            EventKind::Measurement => (self.features(&json)?, self.level(&json)?),
            EventKind::Target => (vec![self.positive_target(&json)?], None),
        };
        Ok(Decoded { key, time, json, numbers, level })
    }

    /// Composes the key, and writes its parts into the payload as strings.
    fn take_key(
        &self,
        json: &mut Map<String, Value>,
        source: &Source<'_>,
    ) -> Result<Key, Rejection> {
        let mut parts = Vec::with_capacity(self.key.len());
        for name in &self.key {
            let level = source.levels.iter().find(|(level, _)| level == name);
            let part = match (level, json.get(name)) {
                // The topic wins over the payload: a broker's access rules bind the topic alone.
                (Some((_, level)), _) => (*level).to_owned(),
                (None, Some(Value::String(text))) => text.clone(),
                (None, Some(Value::Number(n))) if n.is_i64() || n.is_u64() => n.to_string(),
                (None, None | Some(Value::Null)) => return Err(missing(name)),
                (None, Some(other)) => {
                    return Err(wrong_type(name, "a string or an integer", other));
                }
            };
            check_text(name, &part, KEY_BYTES_MAX)?;
            if self.key.len() > 1 && part.contains('/') {
                let detail = format!("{name}: part of a composed key must not contain '/'");
                return Err(Rejection::new(Reason::BadText, detail));
            }
            json.insert(name.clone(), Value::String(part.clone()));
            parts.push(part);
        }
        Ok(Key::new(&parts.join("/")).expect("no part is empty"))
    }

    fn take_time(
        &self,
        json: &mut Map<String, Value>,
        source: &Source<'_>,
    ) -> Result<EventTime, Rejection> {
        let name = &self.timestamp;
        let time = match json.get(name) {
            None | Some(Value::Null) => source.received,
            Some(Value::String(text)) => text.parse::<EventTime>().map_err(|error| {
                Rejection::new(Reason::BadTimestamp, format!("{name}: {error}"))
            })?,
            Some(other) => return Err(wrong_type(name, "a string", other)),
        };
        if let Some(latest) = source.latest
            && time > latest
        {
            let detail =
                format!("{name}: {time} is later than {latest}, the latest that is believed");
            return Err(Rejection::new(Reason::FutureTimestamp, detail));
        }
        json.insert(name.clone(), Value::String(time.to_string()));
        Ok(time)
    }

    fn features(&self, json: &Map<String, Value>) -> Result<Vec<f64>, Rejection> {
        self.features.iter().map(|name| self.number(json, name)).collect()
    }

    fn level(&self, json: &Map<String, Value>) -> Result<Option<Arc<str>>, Rejection> {
        let Some(name) = &self.factor else {
            return Ok(None);
        };
        match json.get(name) {
            None | Some(Value::Null) => Err(missing(name)),
            Some(Value::String(text)) => {
                check_text(name, text, LEVEL_BYTES_MAX)?;
                Ok(Some(text.as_str().into()))
            }
            Some(other) => Err(wrong_type(name, "a string", other)),
        }
    }

    fn positive_target(&self, json: &Map<String, Value>) -> Result<f64, Rejection> {
        let value = self.number(json, &self.target)?;
        if value > 0.0 {
            return Ok(value);
        }
        let detail = format!("{}: {value} is not above zero", self.target);
        Err(Rejection::new(Reason::TargetNotPositive, detail))
    }

    fn number(&self, json: &Map<String, Value>, name: &str) -> Result<f64, Rejection> {
        let value = match json.get(name) {
            None | Some(Value::Null) => return Err(missing(name)),
            Some(Value::Number(number)) => number.as_f64().filter(|value| value.is_finite()),
            Some(other) => return Err(wrong_type(name, "a number", other)),
        };
        let value = value.ok_or_else(|| {
            Rejection::new(Reason::NotFinite, format!("{name}: is not a finite number"))
        })?;
        let range = self.range(name);
        if range.contains(value) {
            return Ok(value);
        }
        let end = |end: Option<f64>| end.map_or("open".to_owned(), |end| end.to_string());
        let detail =
            format!("{name}: {value} is not between {} and {}", end(range.min), end(range.max));
        Err(Rejection::new(Reason::OutOfRange, detail))
    }
}

fn object(payload: &[u8]) -> Result<Map<String, Value>, Rejection> {
    if payload.is_empty() {
        return Err(Rejection::new(Reason::EmptyPayload, "the payload has no bytes"));
    }
    match serde_json::from_slice(payload) {
        Ok(Value::Object(json)) => Ok(json),
        Ok(other) => Err(Rejection::new(
            Reason::NotAnObject,
            format!("the payload is {}", type_name(&other)),
        )),
        // serde_json has no error code for this, only its text.
        Err(error) if error.to_string().starts_with("number out of range") => {
            Err(Rejection::new(Reason::NotFinite, error.to_string()))
        }
        Err(error) => Err(Rejection::new(Reason::MalformedJson, error.to_string())),
    }
}

fn check_text(name: &str, text: &str, bytes_max: usize) -> Result<(), Rejection> {
    let wrong = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > bytes_max {
        format!("has {} bytes, more than {bytes_max}", text.len())
    } else if text.chars().any(char::is_control) {
        "holds control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(Rejection::new(Reason::BadText, format!("{name}: {wrong}")))
}

fn missing(name: &str) -> Rejection {
    Rejection::new(Reason::MissingField, format!("{name}: is missing or null"))
}

fn wrong_type(name: &str, expected: &str, found: &Value) -> Rejection {
    Rejection::new(Reason::WrongType, format!("{name}: is {}, not {expected}", type_name(found)))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::SchemaConfig;
    use proptest::prelude::*;

    fn fish() -> Schema {
        Schema::try_from(&SchemaConfig::fish()).expect("valid")
    }

    fn now() -> EventTime {
        "2026-01-05T08:00:00Z".parse().expect("a time")
    }

    fn decode(kind: EventKind, payload: &str) -> Result<Decoded, Rejection> {
        fish().decode(
            kind,
            payload.as_bytes(),
            &Source::machine(&[], now(), Duration::from_secs(5)),
        )
    }

    fn measured(payload: &str) -> Result<Decoded, Rejection> {
        decode(EventKind::Measurement, payload)
    }

    #[test]
    fn the_originals_payloads_are_read() {
        let decoded =
            measured(r#"{"Species":"salmon","Fish_Id":7,"Length":88.125,"Height":19,"x":1}"#)
                .expect("valid");
        assert_eq!((decoded.key.as_str(), decoded.time), ("7", now()));
        let text = String::from_utf8(decoded.to_bytes()).expect("UTF-8");
        assert_eq!(
            text,
            r#"{"Species":"salmon","Fish_Id":"7","Length":88.125,"Height":19,"x":1,"Timestamp":"2026-01-05T08:00:00Z"}"#
        );
        let measurement = decoded.into_measurement(EventId::from_bytes([1; 16]));
        assert_eq!(measurement.features, [88.125, 19.0]);
        assert_eq!(measurement.level.as_deref(), Some("salmon"));

        let weight = decode(
            EventKind::Target,
            r#"{"Fish_Id":"7","Weight":4.5,"Timestamp":"2026-01-05 07:59:00"}"#,
        )
        .expect("valid");
        assert_eq!(weight.time.to_string(), "2026-01-05T07:59:00Z");
        assert_eq!(weight.into_target(EventId::from_bytes([1; 16])).value, 4.5);
    }

    #[test]
    fn each_fault_has_its_reason() {
        use EventKind::{Measurement, Target};
        let check = |kind, payload: &str, reason| {
            assert_eq!(decode(kind, payload).expect_err(payload).reason, reason, "{payload}");
        };
        check(Measurement, "", Reason::EmptyPayload);
        check(Measurement, "{", Reason::MalformedJson);
        check(Measurement, "[1]", Reason::NotAnObject);
        check(Measurement, r#"{"Species":"s","Length":1,"Height":1}"#, Reason::MissingField);
        check(
            Measurement,
            r#"{"Species":"s","Fish_Id":1,"Length":null,"Height":1}"#,
            Reason::MissingField,
        );
        check(
            Measurement,
            r#"{"Species":"s","Fish_Id":1,"Length":"1","Height":1}"#,
            Reason::WrongType,
        );
        check(
            Measurement,
            r#"{"Species":"s","Fish_Id":1.5,"Length":1,"Height":1}"#,
            Reason::WrongType,
        );
        check(
            Measurement,
            r#"{"Species":"s","Fish_Id":1,"Length":NaN,"Height":1}"#,
            Reason::MalformedJson,
        );
        check(
            Measurement,
            r#"{"Species":"s","Fish_Id":1,"Length":1e999,"Height":1}"#,
            Reason::NotFinite,
        );
        check(
            Measurement,
            r#"{"Species":"s","Fish_Id":1,"Length":-1,"Height":1}"#,
            Reason::OutOfRange,
        );
        check(Measurement, r#"{"Species":"","Fish_Id":1,"Length":1,"Height":1}"#, Reason::BadText);
        check(
            Measurement,
            r#"{"Species":"a\u0007","Fish_Id":1,"Length":1,"Height":1}"#,
            Reason::BadText,
        );
        check(Target, r#"{"Fish_Id":1,"Weight":0}"#, Reason::TargetNotPositive);
        check(Target, r#"{"Fish_Id":1,"Weight":-0.0}"#, Reason::TargetNotPositive);
        check(Target, r#"{"Fish_Id":1,"Weight":1,"Timestamp":"soon"}"#, Reason::BadTimestamp);
        check(Target, r#"{"Fish_Id":1,"Weight":1,"Timestamp":17}"#, Reason::WrongType);
        check(
            Target,
            r#"{"Fish_Id":1,"Weight":1,"Timestamp":"2026-01-05T08:00:05.1Z"}"#,
            Reason::FutureTimestamp,
        );
        assert!(
            decode(Target, r#"{"Fish_Id":1,"Weight":1,"Timestamp":"2026-01-05T08:00:05Z"}"#)
                .is_ok()
        );
    }

    #[test]
    fn a_level_of_the_topic_wins_over_the_payload() {
        let config =
            SchemaConfig { key: vec!["line".into(), "Fish_Id".into()], ..SchemaConfig::fish() };
        let schema = Schema::try_from(&config).expect("valid");
        let payload = br#"{"line":"forged","Fish_Id":1,"Weight":2}"#;
        let source = Source::machine(&[("line", "north")], now(), Duration::ZERO);
        let decoded = schema.decode(EventKind::Target, payload, &source).expect("valid");
        assert_eq!(decoded.key.as_str(), "north/1");
        // Behind Kafka the same key comes from the payload that the bridge passed on.
        let again = schema.decode(EventKind::Target, &decoded.to_bytes(), &Source::record(now()));
        assert_eq!(again.expect("valid").key, decoded.key);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let source = Source::record(now());
            // Random bytes hold no key: refused, whatever they are.
            prop_assert!(fish().decode(EventKind::Measurement, &payload, &source).is_err());
        }

        #[test]
        fn what_is_passed_on_reads_back_the_same(
            id in any::<i64>(), length in 0.0..1e12f64, height in 0.0..1e-12f64, level in "[a-z]{1,8}",
        ) {
            let payload = serde_json::json!({"Fish_Id": id, "Length": length, "Height": height, "Species": level});
            let first = measured(&payload.to_string()).expect("valid");
            let second = fish()
                .decode(EventKind::Measurement, &first.to_bytes(), &Source::record(EventTime::EPOCH))
                .expect("valid");
            prop_assert_eq!(&first.json, &second.json);
            prop_assert_eq!(&second.numbers, &[length, height]);
            prop_assert_eq!(first, second);
        }
    }
}
