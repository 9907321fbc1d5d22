//! What a dead letter says about itself, and where it lies. Pure.
//!
//! Its headers are text that others wrote: they are kept as they came, and escaped where they are shown.

use std::fmt;
use std::str::FromStr;

use weir_events::{Digest, EventId, EventTime, RowPosition, headers};
use weir_kafka::Record;

/// The place of a record: `topic/partition/offset`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) position: RowPosition,
}

/// A text that names no place.
#[derive(Debug, thiserror::Error)]
#[error("not TOPIC/PARTITION/OFFSET, as `weir dead-letters list` prints it")]
pub(super) struct PlaceError;

impl Place {
    pub(super) fn of(record: &Record) -> Self {
        Self { topic: record.topic.to_string(), position: record.position }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        // No Kafka topic has a '/' in its name.
        let mut parts = text.split('/');
        let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
        let [Some(topic), Some(partition), Some(offset), None] = parts else {
            return Err(PlaceError);
        };
        let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
        let partition = number(partition).and_then(|number| i32::try_from(number).ok());
        match (partition, number(offset)) {
            (Some(partition), Some(offset)) if !topic.is_empty() => {
                Ok(Self { topic: topic.to_owned(), position: RowPosition { partition, offset } })
            }
            _ => Err(PlaceError),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RowPosition { partition, offset } = self.position;
        write!(f, "{}/{partition}/{offset}", self.topic)
    }
}

/// A dead letter as it was read.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Letter {
    pub(super) place: Place,
    /// When it was written to Kafka: when the event was refused.
    pub(super) time: EventTime,
    pub(super) key: Option<Vec<u8>>,
    /// The refused payload, or its beginning.
    pub(super) payload: Vec<u8>,
    pub(super) reason: Option<String>,
    pub(super) detail: Option<String>,
    pub(super) source: Option<String>,
    /// The length of the whole payload.
    pub(super) size: Option<u64>,
    /// The digest of the whole payload.
    pub(super) digest: Option<Digest>,
    /// The id of the event, where it had one when it was refused.
    pub(super) id: Option<EventId>,
}

impl Letter {
    pub(super) fn of(record: Record) -> Self {
        let text = |name| record.header(name).map(str::to_owned);
        Self {
            place: Place::of(&record),
            time: record.timestamp,
            reason: text(headers::REASON),
            detail: text(headers::DETAIL),
            source: text(headers::SOURCE),
            size: record.header(headers::SIZE).and_then(|size| size.parse().ok()),
            digest: record.header(headers::DIGEST).and_then(|digest| digest.parse().ok()),
            id: record.header(headers::ID).and_then(|id| id.parse().ok()),
            key: record.key,
            payload: record.payload.unwrap_or_default(),
        }
    }

    /// Why the payload that was refused is not here; none if it is, whole.
    pub(super) fn incomplete(&self) -> Option<String> {
        let (Some(size), Some(digest)) = (self.size, self.digest) else {
            return Some("size or digest are missing: Weir did not write it".to_owned());
        };
        let kept = self.payload.len();
        if size != kept as u64 {
            return Some(format!(
                "only the first {kept} of its {size} bytes are kept: send it again from its source"
            ));
        }
        if digest != Digest::of(&self.payload) {
            return Some("its payload is not the one that its digest names".to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back() {
        for text in ["machine-weight-dead-letter/0/17", "a/2147483647/9223372036854775807"] {
            assert_eq!(text.parse::<Place>().expect(text).to_string(), text);
        }
        for text in
            ["", "a", "a/1", "/0/1", "a/0/1/2", "a/-1/0", "a/0/-1", "a/2147483648/0", "a/x/0"]
        {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_a_whole_payload_is_complete() {
        let letter = |size, digest: &[u8]| Letter {
            size,
            digest: Some(Digest::of(digest)),
            ..super::samples::letter("weir/l/d/weight", b"abc")
        };
        assert_eq!(letter(Some(3), b"abc").incomplete(), None);
        let reason = |letter: Letter| letter.incomplete().expect("a reason");
        assert!(reason(letter(Some(70_000), b"abc")).contains("first 3 of its 70000 bytes"));
        assert!(reason(letter(Some(3), b"abd")).contains("digest"));
        assert!(reason(letter(None, b"abc")).contains("missing"));
    }
}

/// Letters for tests.
#[cfg(test)]
pub(super) mod samples {
    use super::*;

    /// A letter from this source, complete.
    pub(in super::super) fn letter(source: &str, payload: &[u8]) -> Letter {
        Letter {
            place: "machine-weight-dead-letter/0/7".parse().expect("a place"),
            time: "2026-01-05T08:00:00Z".parse().expect("a time"),
            key: None,
            payload: payload.to_vec(),
            reason: Some("out-of-range".to_owned()),
            detail: None,
            source: Some(source.to_owned()),
            size: Some(payload.len() as u64),
            digest: Some(Digest::of(payload)),
            id: None,
        }
    }
}
