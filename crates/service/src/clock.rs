//! The clock as an argument, so that services can be told what time it is.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use weir_events::EventTime;

/// Tells the time by which event times are judged and records are stamped.
pub trait Clock: Send + Sync + Debug {
    /// The present.
    fn now(&self) -> EventTime;
}

/// The machine's clock.
#[derive(Clone, Copy, Default, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> EventTime {
        let micros =
            |duration: std::time::Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => EventTime::from_micros(micros(since)),
            Err(before) => EventTime::from_micros(-micros(before.duration())),
        }
    }
}

/// A clock that stands where the last simulated event stood. Only ever moves forward. Cheap to clone;
/// clones share the time.
#[derive(Clone, Debug)]
pub struct EventClock(Arc<AtomicI64>);

impl EventClock {
    /// A clock that stands at `start`.
    pub fn new(start: EventTime) -> Self {
        Self(Arc::new(AtomicI64::new(start.as_micros())))
    }

    /// Moves the clock to `time`, unless it is later already.
    pub fn advance_to(&self, time: EventTime) {
        self.0.fetch_max(time.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for EventClock {
    fn now(&self) -> EventTime {
        EventTime::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_clock_never_goes_back() {
        let [early, late]: [EventTime; 2] = ["2026-01-05T08:00:00Z", "2026-01-05T08:00:02Z"]
            .map(|text| text.parse().expect("a time"));
        let clock = EventClock::new(early);
        let shared = clock.clone();
        clock.advance_to(late);
        clock.advance_to(early);
        assert_eq!(shared.now(), late);
    }
}
