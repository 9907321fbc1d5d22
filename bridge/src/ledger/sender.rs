//! The numbers of one epoch of one device.
//!
//! Pure. `flight` holds what was taken and not confirmed, in order and without overlap; a part of it may be
//! delivered before what is in front of it, since partitions are written independently.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Arrival, Pace, RECENT};

/// Whether, and for when, an answer is arranged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Quiet,
    Arranged(Duration),
}

#[derive(Debug)]
struct Flight {
    first: u64,
    last: u64,
    delivered: bool,
}

#[derive(Debug)]
pub(super) struct Sender {
    /// The next number that is new.
    pub(super) next: u64,
    /// The highest floor that was told: below it nothing is awaited.
    base: u64,
    flight: VecDeque<Flight>,
    /// Numbers and digests of the last messages, rising.
    recent: VecDeque<(u64, u64)>,
    /// Something has come since the last answer.
    pub(super) unanswered: bool,
    /// Something came too early since the last new number.
    pub(super) resend: bool,
    pub(super) state: State,
    told: Option<(Duration, u64)>,
    resend_told: Option<Duration>,
}

impl Sender {
    pub(super) fn new(floor: u64) -> Self {
        Self {
            next: floor,
            base: floor,
            flight: VecDeque::new(),
            recent: VecDeque::new(),
            unanswered: false,
            resend: false,
            state: State::Quiet,
            told: None,
            resend_told: None,
        }
    }

    /// Every number up to it is in Kafka, or not awaited.
    pub(super) fn through(&self) -> u64 {
        let open = self.flight.front().map_or(self.next, |flight| flight.first);
        open.max(self.base) - 1
    }

    pub(super) fn is_idle(&self) -> bool {
        self.flight.is_empty() && !self.unanswered
    }

    pub(super) fn lift(&mut self, floor: u64) {
        self.base = self.base.max(floor);
        self.next = self.next.max(floor);
        self.settle();
    }

    pub(super) fn take(&mut self, arrival: &Arrival) {
        let (first, last) = (self.next, arrival.last());
        self.flight.push_back(Flight { first, last, delivered: false });
        self.next = last + 1;
        // What it was asked for is coming.
        self.resend = false;
        if let Some(digest) = arrival.digest {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((arrival.stamp.seq, digest));
        }
    }

    /// Whether other bytes are known to have come under the number.
    pub(super) fn conflicts(&self, arrival: &Arrival) -> bool {
        let Some(digest) = arrival.digest else { return false };
        let place = self.recent.binary_search_by_key(&arrival.stamp.seq, |&(seq, _)| seq);
        place.is_ok_and(|place| self.recent[place].1 != digest)
    }

    /// Returns false if nothing of that is in flight.
    pub(super) fn delivered(&mut self, first: u64) -> bool {
        let Ok(place) = self.flight.binary_search_by_key(&first, |flight| flight.first) else {
            return false;
        };
        self.flight[place].delivered = true;
        self.settle();
        self.unanswered = true;
        true
    }

    /// Lets go from the front what is delivered, or not awaited any more.
    fn settle(&mut self) {
        let base = self.base;
        let settled = |flight: &Flight| flight.delivered || flight.last < base;
        while self.flight.front().is_some_and(settled) {
            self.flight.pop_front();
        }
    }

    pub(super) fn reset(&mut self) {
        self.next = self.through() + 1;
        self.flight.clear();
        while self.recent.back().is_some_and(|&(seq, _)| seq >= self.next) {
            self.recent.pop_back();
        }
    }

    /// When it is to be answered.
    pub(super) fn due(&self, pace: &Pace) -> Duration {
        let plain = match self.told {
            Some((at, through)) if self.through() < through.saturating_add(pace.records) => {
                at + pace.interval
            }
            _ => Duration::ZERO,
        };
        if self.resend { plain.min(self.resend_due(pace)) } else { plain }
    }

    /// What to say now; none if it was said already.
    pub(super) fn say(&mut self, now: Duration, pace: &Pace) -> Option<(u64, bool)> {
        self.state = State::Quiet;
        if !self.unanswered {
            return None;
        }
        let resend = self.resend && self.resend_due(pace) <= now;
        if resend {
            self.resend_told = Some(now);
        }
        // A request that may not be made yet is still to be made.
        self.unanswered = self.resend && !resend;
        let through = self.through();
        self.told = Some((now, through));
        Some((through, resend))
    }

    fn resend_due(&self, pace: &Pace) -> Duration {
        self.resend_told.map_or(Duration::ZERO, |at| at + pace.interval)
    }
}
