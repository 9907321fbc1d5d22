//! What is sent when: the order of measurements and targets.
//!
//! Measurements lie a fixed interval of event time apart; each target follows a number of intervals (the
//! lead) behind its measurement. At the same instant targets go first, as the machine behind finishes
//! an item before the next one reaches the one in front; with lead 0 a measurement goes before its own
//! target.

use std::fmt;
use std::iter::Peekable;
use std::time::Duration;

use bytes::Bytes;
use weir_events::{EventKind, EventTime};

use crate::sampler::{Event, Position, SampleError};

/// When the events of a regular machine happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// The time of the first measurement.
    pub start: EventTime,
    /// Between two measurements.
    pub interval: Duration,
    /// By how many intervals a target lags behind its measurement.
    pub lead: u32,
}

impl Timing {
    /// The time of a measurement, counted from 0.
    pub fn measurement(&self, index: u64) -> EventTime {
        self.start.plus(self.intervals(index))
    }

    /// The time of the target that belongs to that measurement.
    pub fn target(&self, index: u64) -> EventTime {
        self.start.plus(self.intervals(index.saturating_add(self.lead.into())))
    }

    /// How far behind its measurement a target lies.
    pub fn lag(&self) -> Duration {
        self.intervals(self.lead.into())
    }

    fn intervals(&self, count: u64) -> Duration {
        let micros = self.interval.as_micros().saturating_mul(count.into());
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// A payload and the time at which it counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timed {
    /// When it is due.
    pub at: EventTime,
    /// What is sent.
    pub payload: Bytes,
}

/// Merges measurements and targets by time. Neither side is reordered: a payload waits for those before it
/// on its own side, and only the two heads are compared.
pub struct Schedule<M: Iterator, T: Iterator> {
    measurements: Peekable<M>,
    targets: Peekable<T>,
    measurement_first: bool,
}

impl<M: Iterator, T: Iterator> fmt::Debug for Schedule<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").finish_non_exhaustive()
    }
}

impl<M, T> Schedule<M, T>
where
    M: Iterator<Item = Result<Timed, SampleError>>,
    T: Iterator<Item = Result<Timed, SampleError>>,
{
    /// Merges the two sides. `lead` decides which goes first at the same instant.
    pub fn new(measurements: M, targets: T, lead: u32) -> Self {
        Self {
            measurements: measurements.peekable(),
            targets: targets.peekable(),
            measurement_first: lead == 0,
        }
    }

    fn next_is_measurement(&mut self) -> bool {
        match (self.measurements.peek(), self.targets.peek()) {
            (Some(Ok(measurement)), Some(Ok(target))) => {
                measurement.at < target.at
                    || (measurement.at == target.at && self.measurement_first)
            }
            // An error is passed on at once, whichever side has it.
            (Some(Ok(_)), Some(Err(_))) | (None, _) => false,
            (Some(_), _) => true,
        }
    }
}

impl<M, T> Iterator for Schedule<M, T>
where
    M: Iterator<Item = Result<Timed, SampleError>>,
    T: Iterator<Item = Result<Timed, SampleError>>,
{
    type Item = Result<Event, SampleError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, timed) = if self.next_is_measurement() {
            (EventKind::Measurement, self.measurements.next())
        } else {
            (EventKind::Target, self.targets.next())
        };
        let position = Position::default();
        timed.map(|timed| timed.map(|Timed { at, payload }| Event { kind, payload, at, position }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a schedule of `count` items; the result reads `m0` for measurement 0, `t0` for its target.
    fn order(count: u64, lead: u32) -> (String, Vec<i64>) {
        let timing = Timing { start: EventTime::EPOCH, interval: Duration::from_secs(2), lead };
        let side = |name: char, at: fn(&Timing, u64) -> EventTime| {
            (0..count).map(move |i| {
                Ok(Timed { at: at(&timing, i), payload: format!("{name}{i}").into() })
            })
        };
        let schedule =
            Schedule::new(side('m', Timing::measurement), side('t', Timing::target), lead);
        let events: Vec<Event> = schedule.map(|event| event.expect("no error")).collect();
        let text = |event: &Event| String::from_utf8_lossy(&event.payload).into_owned();
        let names: Vec<String> = events.iter().map(text).collect();
        (names.join(" "), events.iter().map(|event| event.at.as_millis() / 1000).collect())
    }

    #[test]
    fn targets_follow_by_the_lead_and_go_first_at_the_same_instant() {
        let (names, seconds) = order(4, 2);
        assert_eq!(names, "m0 m1 t0 m2 t1 m3 t2 t3");
        assert_eq!(seconds, [0, 2, 4, 4, 6, 6, 8, 10]);
    }

    #[test]
    fn without_a_lead_each_measurement_goes_before_its_own_target() {
        assert_eq!(order(3, 0).0, "m0 t0 m1 t1 m2 t2");
    }

    #[test]
    fn a_lead_longer_than_the_run_sends_all_measurements_first() {
        assert_eq!(order(2, 5).0, "m0 m1 t0 t1");
    }
}
