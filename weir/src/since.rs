//! `--since`: an instant, or how long ago it was.

use std::str::FromStr;
use std::time::Duration;

use weir_events::EventTime;
use weir_kafka::Start;
use weir_service::Clock;

/// When records must have been written to Kafka to be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Since {
    /// At this time or later.
    Time(EventTime),
    /// In the time that ends now.
    Ago(Duration),
}

/// A text that is neither.
#[derive(Debug, thiserror::Error)]
#[error(
    "neither a time (2026-01-05T08:00:00Z, or '2026-01-05 08:00:00' in UTC) nor a duration (90s, 15m, 2h, 7d)"
)]
pub(crate) struct SinceError;

impl Since {
    /// Where reading begins.
    pub(crate) fn start(self, clock: &dyn Clock) -> Start {
        Start::Since(match self {
            Self::Time(time) => time,
            Self::Ago(duration) => clock.now().minus(duration),
        })
    }
}

impl FromStr for Since {
    type Err = SinceError;

    fn from_str(text: &str) -> Result<Self, SinceError> {
        if let Ok(time) = text.parse() {
            return Ok(Self::Time(time));
        }
        duration(text).map(Self::Ago).ok_or(SinceError)
    }
}

/// A duration as people write it: `90s`, `15m`, `2h`, `7d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let seconds: u64 = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 60 * 60,
        "d" | "days" => 24 * 60 * 60,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use weir_service::EventClock;

    use super::*;

    #[test]
    fn times_and_durations_are_read() {
        let noon: EventTime = "2026-01-05T12:00:00Z".parse().expect("a time");
        let start = |text: &str| {
            let since: Since = text.parse().expect(text);
            match since.start(&EventClock::new(noon)) {
                Start::Since(time) => time.to_string(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(start("2026-01-05T09:00:00+01:00"), "2026-01-05T08:00:00Z");
        assert_eq!(start("2026-01-05 08:00:00"), "2026-01-05T08:00:00Z");
        assert_eq!(start("90s"), "2026-01-05T11:58:30Z");
        assert_eq!(start("15m"), "2026-01-05T11:45:00Z");
        assert_eq!(start("2h"), "2026-01-05T10:00:00Z");
        assert_eq!(start("7d"), "2025-12-29T12:00:00Z");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "yesterday", "10", "h", "-5m", "1.5h", "5 m", "5x", "99999999999999999999d"]
        {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
        assert!("9999999999999999999d".parse::<Since>().is_err(), "more seconds than a u64 has");
    }
}
