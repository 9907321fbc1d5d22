//! Why an event is refused and goes to a dead-letter topic.

use std::fmt;

use crate::model::Digest;
use crate::topics::headers;

/// The closed set of reasons. The text form is stable: it is a header of dead letters and a metric
/// label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// The payload has no bytes.
    EmptyPayload,
    /// The payload is longer than the limit.
    PayloadTooLarge,
    /// The payload is not JSON. `NaN` and `Infinity` are not JSON either.
    MalformedJson,
    /// The payload is JSON, but no object.
    NotAnObject,
    /// A field that the schema names is missing or null.
    MissingField,
    /// A field has the wrong JSON type, for example a string for a number.
    WrongType,
    /// A number is too large for a double.
    NotFinite,
    /// A number lies outside the range that the schema gives.
    OutOfRange,
    /// The target is zero or negative, so that the relative error is undefined.
    TargetNotPositive,
    /// The timestamp cannot be read.
    BadTimestamp,
    /// The timestamp lies further ahead of the clock than is tolerated.
    FutureTimestamp,
    /// A text (key or level) is empty, too long or holds control characters.
    BadText,
    /// The MQTT topic is none of the line's topics.
    UnknownTopic,
    /// Kafka refused the record for good, for example for its size.
    RefusedByKafka,
    /// The stamp of an agent's record, or the payload of a gap, cannot be read.
    BadStamp,
    /// Another payload came before under the same device, epoch and number: two machines run with one spool.
    IdConflict,
    /// No event: the device tells that it has lost some.
    Gap,
}

impl Reason {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 17] = [
        Self::EmptyPayload,
        Self::PayloadTooLarge,
        Self::MalformedJson,
        Self::NotAnObject,
        Self::MissingField,
        Self::WrongType,
        Self::NotFinite,
        Self::OutOfRange,
        Self::TargetNotPositive,
        Self::BadTimestamp,
        Self::FutureTimestamp,
        Self::BadText,
        Self::UnknownTopic,
        Self::RefusedByKafka,
        Self::BadStamp,
        Self::IdConflict,
        Self::Gap,
    ];

    /// The stable text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyPayload => "empty-payload",
            Self::PayloadTooLarge => "payload-too-large",
            Self::MalformedJson => "malformed-json",
            Self::NotAnObject => "not-an-object",
            Self::MissingField => "missing-field",
            Self::WrongType => "wrong-type",
            Self::NotFinite => "not-finite",
            Self::OutOfRange => "out-of-range",
            Self::TargetNotPositive => "target-not-positive",
            Self::BadTimestamp => "bad-timestamp",
            Self::FutureTimestamp => "future-timestamp",
            Self::BadText => "bad-text",
            Self::UnknownTopic => "unknown-topic",
            Self::RefusedByKafka => "refused-by-kafka",
            Self::BadStamp => "bad-stamp",
            Self::IdConflict => "id-conflict",
            Self::Gap => "gap",
        }
    }

    /// The reason with this text form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal: the reason, which is counted, and a sentence for the person who repairs the source.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    /// The reason.
    pub reason: Reason,
    /// What exactly was wrong. Text from outside in it is quoted and capped.
    pub detail: String,
}

impl Rejection {
    /// The longest detail, in characters. Text from outside may be in it, at any length.
    const DETAIL_CHARS_MAX: usize = 512;

    /// A refusal with its detail, which is cut where it is too long.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if let Some((cut, _)) = detail.char_indices().nth(Self::DETAIL_CHARS_MAX) {
            let last = detail[..cut].char_indices().next_back().map_or(0, |(last, _)| last);
            detail.truncate(last);
            detail.push('…');
        }
        Self { reason, detail }
    }

    /// How much of a refused payload a dead letter keeps, in bytes.
    pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

    /// The headers of the dead letter for a payload that came from `source`.
    pub fn headers(&self, source: String, payload: &[u8]) -> Vec<(&'static str, String)> {
        vec![
            (headers::REASON, self.reason.to_string()),
            (headers::DETAIL, self.detail.clone()),
            (headers::SOURCE, source),
            (headers::SIZE, payload.len().to_string()),
            (headers::DIGEST, Digest::of(payload).to_string()),
        ]
    }

    /// A record that Kafka refused for good.
    pub fn refused_by_kafka(detail: impl Into<String>) -> Self {
        Self::new(Reason::RefusedByKafka, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_are_distinct_and_read_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::parse("because"), None);
    }

    #[test]
    fn a_detail_is_capped_whatever_comes_in_from_outside() {
        let check = |rejection: Rejection, starts: &str| {
            let detail = &rejection.detail;
            assert_eq!(detail.chars().count(), 512, "{detail}");
            assert!(detail.starts_with(starts) && detail.ends_with('…'), "{detail}");
        };
        check(Rejection::refused_by_kafka("ü".repeat(513)), "üü");
        // serde quotes the whole text that it did not expect.
        let text = format!("{:?}", "long ".repeat(200));
        let error = serde_json::from_str::<u64>(&text).expect_err("no number");
        check(Rejection::new(Reason::WrongType, error.to_string()), "invalid type: string");

        let whole = "ü".repeat(512);
        assert_eq!(Rejection::refused_by_kafka(whole.as_str()).detail, whole);
    }
}
