//! When an event may go.
//!
//! A gate is asked before each event is taken, one after the other; the next event is not asked for before the
//! previous one is on its way to the spool. A demonstration that goes in lockstep waits here until
//! everything behind has settled; the agent itself waits here until an event is due.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use weir_events::EventTime;

use crate::sampler::Event;

/// Holds events back.
pub trait Gate: Send {
    /// Returns when the event may be taken.
    fn admit(&mut self, next: &Event) -> impl Future<Output = ()> + Send;
}

/// Holds nothing back: only the bounded spool limits the pace.
#[derive(Clone, Copy, Default, Debug)]
pub struct Open;

impl Gate for Open {
    async fn admit(&mut self, _next: &Event) {}
}

/// Both gates, the first one first.
impl<A: Gate, B: Gate> Gate for (A, B) {
    async fn admit(&mut self, next: &Event) {
        self.0.admit(next).await;
        self.1.admit(next).await;
    }
}

/// How fast event time passes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Speed {
    /// So many times faster than the wall clock. Above zero, finite.
    Times(f64),
    /// Without waiting.
    Max,
}

/// A text that is no speed.
#[derive(Debug, thiserror::Error)]
#[error("a speed is a number above 0, such as 1 (real time) or 60, or max")]
pub struct SpeedError;

impl FromStr for Speed {
    type Err = SpeedError;

    fn from_str(text: &str) -> Result<Self, SpeedError> {
        match text.parse::<f64>() {
            _ if text == "max" => Ok(Self::Max),
            Ok(times) if times > 0.0 && times.is_finite() => Ok(Self::Times(times)),
            _ => Err(SpeedError),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times}"),
            Self::Max => f.write_str("max"),
        }
    }
}

/// Lets the distances between events pass as in event time, at some speed. The first event goes at once;
/// one that is late, or lies before the first, goes at once too.
#[derive(Clone, Debug)]
pub struct Pace {
    speed: Speed,
    first: Option<(Instant, EventTime)>,
}

impl Pace {
    /// A pace that starts with the first event.
    pub fn new(speed: Speed) -> Self {
        Self { speed, first: None }
    }
}

impl Gate for Pace {
    async fn admit(&mut self, next: &Event) {
        let Speed::Times(times) = self.speed else { return };
        let (started, first) = *self.first.get_or_insert((Instant::now(), next.at));
        if next.at > first {
            let wait = next.at.distance(first).as_secs_f64() / times;
            // A wait that cannot be expressed is one that never ends.
            let due =
                Duration::try_from_secs_f64(wait).ok().and_then(|wait| started.checked_add(wait));
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use weir_events::EventKind;

    use crate::sampler::Position;

    fn event(seconds: i64) -> Event {
        let at = EventTime::from_micros(seconds * 1_000_000);
        Event {
            kind: EventKind::Measurement,
            payload: Bytes::new(),
            at,
            position: Position::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn events_keep_their_distances() {
        let mut pace = Pace::new(Speed::Times(4.0));
        let started = Instant::now();
        let mut waited = Vec::new();
        for seconds in [100, 102, 102, 90, 140] {
            pace.admit(&event(seconds)).await;
            waited.push(started.elapsed().as_millis());
        }
        assert_eq!(waited, [0, 500, 500, 500, 10_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn max_waits_for_nothing() {
        let mut pace = Pace::new(Speed::Max);
        let started = Instant::now();
        pace.admit(&event(0)).await;
        pace.admit(&event(1_000_000)).await;
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[test]
    fn speeds_are_read() {
        assert_eq!("max".parse::<Speed>().expect("max"), Speed::Max);
        assert_eq!("0.5".parse::<Speed>().expect("a number"), Speed::Times(0.5));
        for text in ["0", "-1", "inf", "NaN", "fast", ""] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }
}
