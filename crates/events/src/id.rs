//! Keys, which events are joined by, and ids, which make every output repeatable.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::delivery::Epoch;

/// The key by which a measurement and its target belong together, also the Kafka record key.
///
/// Never empty. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Arc<str>);

impl Key {
    /// A key of this text, or none if it is empty.
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of one event: 128 bits derived from what the event is, never drawn at random.
///
/// The same event that arrives twice has the same id, so every consumer can tell a repetition.
/// What is computed from one event (its prediction, its joined row) carries the event's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

/// A text that is no event id.
#[derive(Debug, thiserror::Error)]
#[error("read {0:?} as an event id: not 32 hexadecimal digits")]
pub struct EventIdError(String);

impl EventId {
    /// From its bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id of an event that brings none: MQTT topic, key and the digest of its payload.
    pub fn of_payload(mqtt_topic: &str, key: &Key, payload: &[u8]) -> Self {
        let payload = Sha256::digest(payload);
        Self::of_parts(&[b"payload", mqtt_topic.as_bytes(), key.as_str().as_bytes(), &payload])
    }

    /// The id of an event that an agent has numbered: the levels of the MQTT topic that name the device, the epoch and
    /// the number. It does not depend on the payload, nor on what the event became.
    pub fn of_record(device: &[&str], epoch: Epoch, seq: u64) -> Self {
        let seq = seq.to_be_bytes();
        let levels = device.iter().map(|level| level.as_bytes());
        let parts: Vec<&[u8]> =
            [b"record".as_slice(), epoch.as_bytes(), &seq].into_iter().chain(levels).collect();
        Self::of_parts(&parts)
    }

    /// The id of a record that a foreign producer wrote to Kafka without one: its position.
    pub fn of_position(topic: &str, partition: i32, offset: i64) -> Self {
        let (partition, offset) = (partition.to_be_bytes(), offset.to_be_bytes());
        Self::of_parts(&[b"position", topic.as_bytes(), &partition, &offset])
    }

    /// Each part is preceded by its length, so that no two lists of parts share their bytes.
    fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Self(bytes)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| EventIdError(text.chars().take(64).collect()))?;
        Ok(Self(bytes))
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_depends_on_every_part() {
        let key = |text| Key::new(text).expect("not empty");
        let id = EventId::of_payload("weir/l/d/measurement", &key("1"), b"{}");
        assert_eq!(id, EventId::of_payload("weir/l/d/measurement", &key("1"), b"{}"));
        for other in [
            EventId::of_payload("weir/l/d/weight", &key("1"), b"{}"),
            EventId::of_payload("weir/l/d/measurement", &key("2"), b"{}"),
            EventId::of_payload("weir/l/d/measurement", &key("1"), b"{ }"),
            EventId::of_position("weir/l/d/measurement", 0, 0),
            EventId::of_record(&["l", "d"], Epoch::from_bytes([0; 16]), 1),
            EventId::of_record(&["l", "e"], Epoch::from_bytes([0; 16]), 1),
            EventId::of_record(&["l", "d"], Epoch::from_bytes([1; 16]), 1),
            EventId::of_record(&["l", "d"], Epoch::from_bytes([0; 16]), 2),
        ] {
            assert_ne!(id, other);
        }
        assert_eq!(id.to_string().parse::<EventId>().expect("reads back"), id);
    }

    #[test]
    fn an_empty_key_does_not_exist() {
        assert!(Key::new("").is_none());
    }
}
