//! One side of the join: what it has seen, what waits for a partner, and how far it has come.
//!
//! A [`Half`] decides by itself whether an event is superseded, late, a duplicate or accepted. It knows nothing of
//! the other side but what the join asks it. The definitions are at the head of the parent module.

use std::collections::VecDeque;
use std::time::Duration;

use weir_events::{EventId, EventTime, Key, Prediction, Side, Target, Unjoined, UnjoinedReason};

use super::memory::Memory;
use super::pending::Pending;
use super::{JoinConfig, SideCounts, unjoined};

/// What the join must know of an event.
pub(super) trait SideEvent {
    const SIDE: Side;
    fn key(&self) -> &Key;
    fn id(&self) -> EventId;
    fn time(&self) -> EventTime;
    fn value(&self) -> Option<f64>;
}

impl SideEvent for Prediction {
    const SIDE: Side = Side::Prediction;
    fn key(&self) -> &Key {
        &self.measurement.key
    }
    fn id(&self) -> EventId {
        self.measurement.id
    }
    fn time(&self) -> EventTime {
        self.measurement.time
    }
    fn value(&self) -> Option<f64> {
        self.outcome.value()
    }
}

impl SideEvent for Target {
    const SIDE: Side = Side::Target;
    fn key(&self) -> &Key {
        &self.key
    }
    fn id(&self) -> EventId {
        self.id
    }
    fn time(&self) -> EventTime {
        self.time
    }
    fn value(&self) -> Option<f64> {
        Some(self.value)
    }
}

/// Where the reading of a side began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// At the beginning: nothing came before.
    Fresh,
    /// At a held-back event, which has not been reread yet.
    Resumed,
    /// At a held-back event of this time, the base.
    Base(EventTime),
}

impl Start {
    /// Whether everything later than the base by more than `distance` was read, up to this time.
    fn covers(self, time: EventTime, distance: Duration) -> bool {
        match self {
            Self::Fresh => true,
            Self::Resumed => false,
            Self::Base(base) => time > base.plus(distance),
        }
    }
}

/// An event that set the progress of its side, where a restart may begin.
#[derive(Clone, Copy, Debug)]
struct Base {
    time: EventTime,
    offset: i64,
}

/// What a side makes of an event.
pub(super) enum Received<E> {
    Accepted(E),
    Refused(Unjoined),
    /// Reread, and reported before the restart.
    Withheld,
}

#[derive(Debug)]
pub(super) struct Half<E> {
    config: JoinConfig,
    start: Start,
    progress: Option<EventTime>,
    memory: Memory,
    pending: Pending<E>,
    /// By rising time and offset, at least an eighth of `within` apart.
    bases: VecDeque<Base>,
    counts: SideCounts,
}

impl<E: SideEvent> Half<E> {
    pub(super) fn new(config: JoinConfig) -> Self {
        Self {
            config,
            start: Start::Fresh,
            progress: None,
            memory: Memory::default(),
            pending: Pending::default(),
            bases: VecDeque::new(),
            counts: SideCounts::default(),
        }
    }

    pub(super) fn resume(&mut self) {
        debug_assert!(self.progress.is_none(), "a side resumes before its first event");
        self.start = Start::Resumed;
    }

    pub(super) fn start(&self) -> Start {
        self.start
    }

    pub(super) fn progress(&self) -> Option<EventTime> {
        self.progress
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn counts(&self) -> SideCounts {
        SideCounts { pending: self.pending.len() as u64, ..self.counts }
    }

    /// Judges an event by what this side has seen, and remembers it.
    pub(super) fn receive(&mut self, offset: i64, event: E) -> Received<E> {
        self.counts.received += 1;
        let (key, id, time) = (event.key(), event.id(), event.time());
        if self.start == Start::Resumed {
            self.start = Start::Base(time);
        }
        let is_warm = self.is_warm();
        let distinct = self.distinct();
        let is_late =
            self.progress.is_some_and(|progress| time < progress.minus(self.config.lateness));
        let reason = if is_late {
            let is_known =
                self.progress.is_some_and(|progress| time >= self.remembered_from(progress))
                    && self.memory.holds(key, id, time);
            Some(if is_known { UnjoinedReason::Superseded } else { UnjoinedReason::Late })
        } else {
            let reason = self.memory.remember(key, id, time, distinct);
            self.advance(offset, time);
            reason
        };
        match reason {
            Some(reason) if is_warm => {
                *self.count(reason) += 1;
                Received::Refused(unjoined(&event, reason))
            }
            None if self.start.covers(time, distinct) => Received::Accepted(event),
            _ => {
                self.counts.reread += 1;
                Received::Withheld
            }
        }
    }

    /// Keeps an accepted event until its partner comes.
    pub(super) fn wait(&mut self, event: E) {
        self.pending.insert(event);
    }

    /// Takes the pending event that an event of the other side joins, if there is one.
    pub(super) fn take_partner<O: SideEvent>(&mut self, other: &O) -> Option<E> {
        self.pending.take_near(other.key(), other.time(), self.config.within)
    }

    /// Takes the pending events before a time, or all, that are unmatched, by time and arrival.
    /// What the other side's start leaves open was reported before the restart.
    pub(super) fn take_due(&mut self, limit: Option<EventTime>, other: Start) -> Vec<Unjoined> {
        let mut due = Vec::new();
        while let Some(event) = self.pending.take_first_before(limit) {
            if other.covers(event.time(), self.config.within.saturating_mul(3)) {
                self.counts.unmatched += 1;
                due.push(unjoined(&event, UnjoinedReason::Unmatched));
            } else {
                self.counts.reread += 1;
            }
        }
        due
    }

    pub(super) fn count_joined(&mut self) {
        self.counts.joined += 1;
    }

    /// The offset of the last base before a time.
    pub(super) fn base_before(&self, bound: EventTime) -> Option<i64> {
        self.bases.iter().rfind(|base| base.time < bound).map(|base| base.offset)
    }

    /// Forgets the bases that a later one before this time replaces.
    pub(super) fn drop_bases_before(&mut self, bound: EventTime) {
        while self.bases.get(1).is_some_and(|base| base.time < bound) {
            self.bases.pop_front();
        }
    }

    /// Whether nothing from before the base would still be remembered.
    fn is_warm(&self) -> bool {
        let reach = self.distinct().saturating_add(self.config.lateness);
        match self.progress {
            Some(progress) => self.start.covers(progress, reach),
            None => self.start == Start::Fresh,
        }
    }

    /// The distance from which on two events of a key are two.
    fn distinct(&self) -> Duration {
        self.config.within.saturating_mul(2)
    }

    /// How old an event may be, at this progress, and still count as seen: an event that is not late
    /// is farther than `distinct` from all older ones.
    fn remembered_from(&self, progress: EventTime) -> EventTime {
        progress.minus(self.distinct().saturating_add(self.config.lateness))
    }

    fn advance(&mut self, offset: i64, time: EventTime) {
        if self.progress.is_some_and(|progress| time < progress) {
            return;
        }
        self.progress = Some(time);
        self.memory.forget_before(self.remembered_from(time));
        let spacing = self.config.within / 8;
        if self.bases.back().is_none_or(|last| time >= last.time.plus(spacing)) {
            self.bases.push_back(Base { time, offset });
        }
    }

    fn count(&mut self, reason: UnjoinedReason) -> &mut u64 {
        match reason {
            UnjoinedReason::Unmatched => &mut self.counts.unmatched,
            UnjoinedReason::Late => &mut self.counts.late,
            UnjoinedReason::Duplicate => &mut self.counts.duplicate,
            UnjoinedReason::Superseded => &mut self.counts.superseded,
        }
    }
}
