//! Whether a broker still hands out what it takes.
//!
//! A connection may be alive, its pings answered, and yet nothing come any more: Mosquitto 2.0.11 loses count of what is in
//! flight once a queue has overflowed, and then delivers nothing until the client connects anew
//! (eclipse-mosquitto/mosquitto#2362). Silence alone proves nothing, since machines may have nothing to say. So a subscriber
//! that has heard nothing for a while says something to itself, with QoS 1 like everybody else; if that does
//! not come back either, it connects anew. For some time after that it listens more closely.
//!
//! Pure: no I/O, no clock. Times are durations since a moment of the caller's choice.

use std::time::Duration;

/// How closely a subscriber listens that has found its broker deaf, and for how long.
const CLOSE: Duration = Duration::from_secs(1);
const CLOSELY_FOR: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Nothing,
    /// Say something.
    Beat,
    /// It did not come back.
    Deaf,
}

#[derive(Debug)]
pub(crate) struct Pulse {
    interval: Duration,
    /// Since when nothing has come.
    quiet: Duration,
    beaten: Option<Duration>,
    closely_until: Duration,
    /// The broker does not allow it.
    denied: bool,
}

impl Pulse {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            quiet: Duration::ZERO,
            beaten: None,
            closely_until: Duration::ZERO,
            denied: false,
        }
    }

    /// Something has come, or could not have come: a connection is new, or the broker waits for us.
    pub(crate) fn heard(&mut self, now: Duration) {
        (self.quiet, self.beaten) = (now, None);
    }

    pub(crate) fn deny(&mut self) {
        self.denied = true;
    }

    fn patience(&self) -> Duration {
        if self.quiet < self.closely_until { CLOSE.min(self.interval) } else { self.interval }
    }

    /// When [`Pulse::step`] has something to say, if nothing comes until then.
    pub(crate) fn due(&self) -> Option<Duration> {
        (!self.denied).then(|| self.beaten.unwrap_or(self.quiet) + self.patience())
    }

    pub(crate) fn step(&mut self, now: Duration) -> Step {
        if self.due().is_none_or(|due| now < due) {
            return Step::Nothing;
        }
        if self.beaten.is_some() {
            self.closely_until = now + CLOSELY_FOR;
            self.heard(now);
            return Step::Deaf;
        }
        self.beaten = Some(now);
        Step::Beat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_quiet_broker_is_asked_and_one_that_does_not_answer_is_deaf() {
        let mut pulse = Pulse::new(seconds(15));
        pulse.heard(seconds(100));
        assert_eq!((pulse.step(seconds(114)), pulse.due()), (Step::Nothing, Some(seconds(115))));
        assert_eq!(pulse.step(seconds(115)), Step::Beat);
        assert_eq!(pulse.step(seconds(116)), Step::Nothing);
        pulse.heard(seconds(117));
        assert_eq!(pulse.step(seconds(132)), Step::Beat);
        assert_eq!(pulse.step(seconds(147)), Step::Deaf);
    }

    #[test]
    fn after_that_it_listens_closely_for_a_while() {
        let mut pulse = Pulse::new(seconds(15));
        assert_eq!((pulse.step(seconds(15)), pulse.step(seconds(30))), (Step::Beat, Step::Deaf));
        assert_eq!((pulse.step(seconds(31)), pulse.step(seconds(32))), (Step::Beat, Step::Deaf));
        pulse.heard(seconds(95));
        assert_eq!(
            (pulse.step(seconds(96)), pulse.step(seconds(110))),
            (Step::Nothing, Step::Beat)
        );
    }

    #[test]
    fn where_it_is_not_allowed_nothing_is_said() {
        let mut pulse = Pulse::new(seconds(15));
        pulse.deny();
        assert_eq!((pulse.due(), pulse.step(seconds(1_000))), (None, Step::Nothing));
    }
}
