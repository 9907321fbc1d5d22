//! What an agent and a bridge tell one another about a message, so that none is lost between them.
//!
//! ```text
//! agent ──PUBLISH, user property weir-record: <epoch>/<seq>/<floor>──► broker ──► bridge ──► Kafka
//!   ▲                                                                               │
//!   └────────── weir-ack/<line>/<device>  {"epoch": …, "through": seq} ◄────────────┘
//! ```
//! An agent numbers what it takes without a break. A number means nothing without its [`Epoch`], which is drawn
//! anew whenever an agent opens its spool: a wiped, restored or cloned spool repeats no id. The [`Stamp`] of
//! a message tells its number and the sender's floor, below which nothing is awaited any more; so a bridge that
//! knows nothing has a base to count from. The bridge answers with a [`Confirmation`]: everything of that epoch up to
//! there is in Kafka. Where a number has no event any more a [`Gap`] is sent in its place, so
//! that the confirmed numbers go on.
//!
//! The bridge takes the numbers of an epoch in order only ("go back N"): one that comes too early proves that others were
//! lost on the way. It is not written, and the bridge asks for everything from the first missing one
//! ([`Confirmation::resend`]). So first deliveries are in order whatever a broker drops, and nothing is buffered.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One opening of a spool: 128 random bits, drawn by whoever opens it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch([u8; 16]);

/// A text that is none of those that agents and bridges exchange.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("read {text:?} as {expected}")]
pub struct DeliveryError {
    text: String,
    expected: &'static str,
}

impl DeliveryError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(96).collect(), expected }
    }
}

impl Epoch {
    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 32];
        hex::encode_to_slice(self.0, &mut digits).expect("two digits for each byte");
        f.write_str(std::str::from_utf8(&digits).expect("digits are ASCII"))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Epoch {
    type Err = DeliveryError;

    fn from_str(text: &str) -> Result<Self, DeliveryError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| DeliveryError::new(text, "an epoch: 32 hexadecimal digits"))?;
        Ok(Self(bytes))
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What identifies a message of an agent, as the value of its MQTT 5 user property [`Stamp::PROPERTY`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// The opening of the spool that the number was given in.
    pub epoch: Epoch,
    /// The number, from 1. For a gap, that of the first event that is missing.
    pub seq: u64,
    /// The lowest number of this epoch whose confirmation the agent still awaits. At most `seq`.
    pub floor: u64,
}

impl Stamp {
    /// The name of the user property.
    pub const PROPERTY: &str = "weir-record";
    const EXPECTED: &str = "a record's stamp: <epoch>/<seq>/<floor>, with 1 <= floor <= seq";
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.epoch, self.seq, self.floor)
    }
}

impl FromStr for Stamp {
    type Err = DeliveryError;

    fn from_str(text: &str) -> Result<Self, DeliveryError> {
        let read = || {
            let mut parts = text.split('/');
            let epoch = parts.next()?.parse().ok()?;
            let (seq, floor) = (number(parts.next()?)?, number(parts.next()?)?);
            let valid = parts.next().is_none() && 1 <= floor && floor <= seq && seq < u64::MAX;
            valid.then_some(Self { epoch, seq, floor })
        };
        read().ok_or_else(|| DeliveryError::new(text, Self::EXPECTED))
    }
}

/// Digits only: `parse` alone would take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The payload on an acknowledgement topic: a bridge to an agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Confirmation {
    /// Whose numbers are meant.
    pub epoch: Epoch,
    /// Every number of the epoch from the sender's floor up to and including this one is in Kafka, as an event, as a
    /// dead letter or as a gap.
    pub through: u64,
    /// A number behind the next one has come: everything from `through + 1` on is to be sent again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resend: bool,
}

impl Confirmation {
    /// Its JSON form.
    pub fn to_bytes(self) -> Vec<u8> {
        serde_json::to_vec(&self).expect("a confirmation is JSON")
    }

    /// Reads its JSON form. Fields that a later version adds are ignored.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(payload: &[u8]) -> Result<Self, DeliveryError> {
        serde_json::from_slice(payload).map_err(|_| {
            let text = String::from_utf8_lossy(payload.get(..96).unwrap_or(payload));
            DeliveryError::new(&text, "a confirmation: {\"epoch\":…,\"through\":…}")
        })
    }
}

/// The payload that an agent sends where events are missing. Its stamp's number is that of the first of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Gap {
    /// How many numbers it stands for. At least 1.
    pub count: u64,
    /// Why their events cannot be sent.
    pub reason: GapReason,
}

/// Why events that were taken cannot be sent any more. The text form is stable: a metric label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapReason {
    /// The spool's quota was used up and its policy is to drop the oldest.
    Quota,
    /// The disk returned something else than was written.
    Damaged,
    /// The event is larger than the MQTT broker allows.
    TooLarge,
    /// The MQTT broker refuses the event for good.
    Refused,
}

impl GapReason {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::Quota, Self::Damaged, Self::TooLarge, Self::Refused];

    /// The stable text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Damaged => "damaged",
            Self::TooLarge => "too-large",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Gap {
    /// Its JSON form.
    pub fn to_bytes(self) -> Vec<u8> {
        serde_json::to_vec(&self).expect("a gap is JSON")
    }

    /// Reads its JSON form.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(payload: &[u8]) -> Result<Self, DeliveryError> {
        let gap = serde_json::from_slice(payload).ok().filter(|gap: &Self| gap.count > 0);
        gap.ok_or_else(|| {
            let text = String::from_utf8_lossy(payload.get(..96).unwrap_or(payload));
            DeliveryError::new(&text, "a gap: {\"count\":…,\"reason\":…}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EPOCH: Epoch = Epoch::from_bytes(*b"0123456789abcdef");

    #[test]
    fn the_forms_on_the_wire() {
        let stamp = Stamp { epoch: EPOCH, seq: 12, floor: 7 };
        assert_eq!(stamp.to_string(), "30313233343536373839616263646566/12/7");
        let confirmation = Confirmation { epoch: EPOCH, through: 12, resend: false };
        let json = br#"{"epoch":"30313233343536373839616263646566","through":12}"#;
        assert_eq!(confirmation.to_bytes(), json);
        assert_eq!(Confirmation::parse(json), Ok(confirmation));
        let again = Confirmation { resend: true, ..confirmation };
        let json = br#"{"epoch":"30313233343536373839616263646566","through":12,"resend":true}"#;
        assert_eq!((again.to_bytes(), Confirmation::parse(json)), (json.to_vec(), Ok(again)));
        let gap = Gap { count: 3, reason: GapReason::TooLarge };
        assert_eq!(gap.to_bytes(), br#"{"count":3,"reason":"too-large"}"#);
        for reason in GapReason::ALL {
            let gap = Gap { count: 1, reason };
            assert_eq!(Gap::parse(&gap.to_bytes()), Ok(gap));
            assert!(String::from_utf8_lossy(&gap.to_bytes()).contains(reason.as_str()));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "x/1/1", "/1/1", "1/1", "30313233343536373839616263646566/1"] {
            assert!(text.parse::<Stamp>().is_err(), "{text}");
        }
        for tail in
            ["0/0", "1/0", "1/2", "+1/1", "-1/1", "1/1/1", "18446744073709551615/1", " 1/1", "1/"]
        {
            assert!(format!("{EPOCH}/{tail}").parse::<Stamp>().is_err(), "{tail}");
        }
        for payload in ["", "{}", "null", r#"{"epoch":"30","through":1}"#] {
            assert!(Confirmation::parse(payload.as_bytes()).is_err(), "{payload}");
        }
        for payload in ["{}", r#"{"count":0,"reason":"quota"}"#, r#"{"count":1,"reason":"x"}"#] {
            assert!(Gap::parse(payload.as_bytes()).is_err(), "{payload}");
        }
    }

    proptest! {
        #[test]
        fn a_stamp_reads_back_and_no_text_panics(
            bytes: [u8; 16], seq in 1..u64::MAX, below: u64, text in ".{0,80}",
        ) {
            let stamp = Stamp { epoch: Epoch::from_bytes(bytes), seq, floor: below % seq + 1 };
            prop_assert_eq!(stamp.to_string().parse(), Ok(stamp));
            text.parse::<Stamp>().ok();
            Confirmation::parse(text.as_bytes()).ok();
            Gap::parse(text.as_bytes()).ok();
        }
    }
}
