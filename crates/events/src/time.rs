//! Event time: when something happened on the line, as told by the payload.
//!
//! Microseconds since the Unix epoch in UTC. Read from RFC 3339 or from `YYYY-MM-DD HH:MM:SS[.fff]`
//! taken as UTC (the original pipeline's form); written as RFC 3339 in UTC with `Z`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant of event time, in microseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(i64);

/// A text that is no instant.
#[derive(Debug, thiserror::Error)]
#[error("read {text:?} as a time: neither RFC 3339 nor YYYY-MM-DD HH:MM:SS[.fff]")]
pub struct TimeError {
    text: String,
}

impl EventTime {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// The earliest instant that can be written, in the year -9999.
    pub const MIN: Self = Self(-377_705_023_201_000_000);
    /// The latest instant that can be written, in the year 9999.
    pub const MAX: Self = Self(253_402_207_200_999_999);

    /// From microseconds since the Unix epoch, clamped to what can be written.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Microseconds since the Unix epoch.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, rounded down.
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This instant moved later, stopping at [`EventTime::MAX`].
    pub fn plus(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(micros(by)))
    }

    /// This instant moved earlier, stopping at [`EventTime::MIN`].
    pub fn minus(self, by: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(micros(by)))
    }

    /// How far two instants lie apart, whichever is the earlier.
    pub fn distance(self, other: Self) -> Duration {
        Duration::from_micros(self.0.abs_diff(other.0))
    }

    /// The start of the tumbling window of this length that holds the instant: windows are aligned
    /// to the Unix epoch and reach from their start to just before the next one's.
    ///
    /// A length of zero is taken as one microsecond.
    pub fn window_start(self, length: Duration) -> Self {
        let length = micros(length).max(1);
        Self::from_micros(self.0.div_euclid(length).saturating_mul(length))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl FromStr for EventTime {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let error = || TimeError { text: text.chars().take(64).collect() };
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Ok(Self(instant.as_microsecond()));
        }
        // Without an offset: UTC. jiff also reads forms such as `2026-W04`, which are refused here.
        let separator = text.as_bytes().get(10);
        if text.len() < 19 || !matches!(separator, Some(b' ' | b'T' | b't')) {
            return Err(error());
        }
        let local: DateTime = text.parse().map_err(|_| error())?;
        let instant = local.to_zoned(TimeZone::UTC).map_err(|_| error())?;
        Ok(Self(instant.timestamp().as_microsecond()))
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = Timestamp::UNIX_EPOCH
            .checked_add(SignedDuration::from_micros(self.0))
            .expect("the constructors clamp to jiff's range");
        write!(f, "{instant}")
    }
}

impl fmt::Debug for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for EventTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, written: &str) {
        let time: EventTime = text.parse().expect(text);
        assert_eq!(time.to_string(), written);
        assert_eq!(written.parse::<EventTime>().expect(written), time);
    }

    #[test]
    fn reads_both_forms_and_writes_utc() {
        check("2026-01-05T08:00:26Z", "2026-01-05T08:00:26Z");
        check("2026-01-05T09:00:26+01:00", "2026-01-05T08:00:26Z");
        check("2026-01-05 08:00:26", "2026-01-05T08:00:26Z");
        check("2026-01-05 08:00:26.125", "2026-01-05T08:00:26.125Z");
        check("2026-01-05T08:00:26", "2026-01-05T08:00:26Z");
        check("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z");
    }

    #[test]
    fn refuses_what_is_no_instant() {
        for text in ["", "yesterday", "2026-01-05", "08:00:26", "2026-13-05 08:00:26", "1767600026"]
        {
            assert!(text.parse::<EventTime>().is_err(), "{text}");
        }
    }

    #[test]
    fn windows_align_to_the_epoch_on_both_sides_of_it() {
        let minute = Duration::from_secs(60);
        let check = |text: &str, start: &str| {
            let time: EventTime = text.parse().expect(text);
            assert_eq!(time.window_start(minute).to_string(), start);
        };
        check("2026-01-05T08:00:59.999999Z", "2026-01-05T08:00:00Z");
        check("2026-01-05T08:01:00Z", "2026-01-05T08:01:00Z");
        check("1969-12-31T23:59:59Z", "1969-12-31T23:59:00Z");
    }

    #[test]
    fn the_ends_can_be_written() {
        for end in [EventTime::MIN, EventTime::MAX] {
            assert_eq!(end.to_string().parse::<EventTime>().expect("reads back"), end);
        }
        assert_eq!(EventTime::MAX.plus(Duration::MAX), EventTime::MAX);
    }
}
