//! The join of predictions with targets: one [`Join`] for each pair of partitions.
//!
//! # What joins
//!
//! Let `W` be `within`, `L` be `lateness`, and the progress `M` of a side the largest event time seen
//! on it. Each side has its own: a host that catches up reads one topic faster than the other, and
//! under a common progress the slower topic would be late. An event with time `t` is, on its side,
//!
//! 1. **superseded** if an event of the same key, id and time that was not late is still remembered:
//!    the record was written again, as a prediction is after a crash, perhaps by another version of
//!    the model. The first one counts, since an offset that is lower stays lower;
//! 2. **late** if `t < M - L`, before the event moves `M`;
//! 3. a **duplicate** if another event of the same key that was not late lies within `2W` of it;
//! 4. **accepted** otherwise.
//!
//! A duplicate is one event too many of its key; a superseded event is none at all, on either side, and
//! is to be left out where events are counted.
//!
//! An accepted prediction and an accepted target **join** if they have the same key and lie at most
//! `W` apart. Accepted events of one key lie more than `2W` apart, so an event has at most one
//! possible partner: nothing is guessed, and no pairing depends on which partner came first.
//!
//! ```text
//!                  t-2W          t-W           t           t+W          t+2W
//!   same side  ─────[═══════ a second event of this key is a duplicate ═══════]─────►
//!   other side ──────────────────[══════ the one partner ══════]────────────────────►
//! ```
//!
//! A key may thus be used again once it has been silent for more than `2W`. (With `W` in place of
//! `2W` a target could belong to two predictions, and one lost event would shift every later pair of
//! a key that comes round at such a pace: wrong training rows that nobody notices. Here such a line
//! shows as duplicates, and the cure is a smaller `W`.)
//!
//! An accepted event without partner is **unmatched** once the progress of the *other* side is beyond
//! `t + W + L`: every partner that could still come would be late.
//!
//! All answers depend on the order within each topic alone. However the shell interleaves the two
//! topics, the same events are joined, unmatched, superseded, late and duplicate. Every event pushed is
//! exactly one of these, or pending, or silently reread (below): see [`SideCounts`].
//!
//! # Restart
//!
//! The state is rebuilt by rereading both topics from the offsets that [`Join::hold_back`] named when
//! the outputs were last known to be durable. The first event reread is one that set its side's
//! progress; call its time `b` (the base). What lies before it is unknown:
//!
//! ```text
//!          base b       b+2W      b+3W           horizon                  position
//!   ─────────┼───────────┼─────────┼────────────────┼────────────────────────┼─────► event time
//!    unknown │ remembered│ may     │ everything is decided as before         │ new
//!            │ only      │ join    │                │ ◄─ undecided events ─► │
//! ```
//!
//! - Lateness is decided as before from the base on, because the base carries the progress.
//! - Whether an event is new, neither superseded nor a duplicate, is known if `t > b + 2W`: what came
//!   before the base lies at or before `b`. Older ones are remembered but do not join.
//! - Whether an event is unmatched is known if `t > b + 3W`, with the base of the other side: then
//!   no partner was left out.
//! - Once the progress is beyond `b + 2W + L`, nothing from before the base would still be remembered,
//!   so that the reasons superseded, late and duplicate are known. Until then none is reported.
//!
//! Undecided events, pending or still to come, lie at or after the horizon
//! `min(M of both sides) - L - W`. Therefore the shell is told to hold back, on each side, an event
//! that set the progress and lies before `horizon - 3W`; a restart rereads about `4W + L` of event
//! time. What was withheld had been reported before that commit.
//!
//! So the outputs before a crash and after it, taken together as a set, are those of a run without a
//! crash. Rows between the base and the position are produced again with the same ids; consumers must
//! ignore repetitions. The two sides need not be committed at the same instant: an older offset of
//! either side is as good. This holds for offsets from [`Join::hold_back`]; after an offset set by
//! hand, events of the first `3W` produce no output.
//!
//! # Bounds
//!
//! Nothing is ever evicted. [`Join::is_full`] asks the shell to pause a side that is ahead of the other.
//! The side that is behind is never full, since only its progress can release the other; so reading
//! cannot come to a standstill by itself. A side whose other topic is silent does wait for it.

mod half;
mod memory;
mod pending;

use std::time::Duration;

use weir_events::{
    EventTime, Joined, Prediction, Side, Target, Unjoined, UnjoinedReason, relative_error,
};

use half::{Half, Received, SideEvent};

/// How far apart two events may lie, and how disordered a topic may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JoinConfig {
    /// The largest distance in event time between a prediction and its target, inclusive. A key can
    /// be used again after twice this time.
    pub within: Duration,
    /// How far behind the largest time of its own topic an event may come, inclusive.
    pub lateness: Duration,
    /// Pending events of one side above which it is paused while it is ahead of the other.
    pub pending_max: usize,
}

impl Default for JoinConfig {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(60),
            lateness: Duration::from_secs(60),
            pending_max: 100_000,
        }
    }
}

/// What a pushed event gives rise to.
#[derive(Clone, PartialEq, Debug)]
pub enum JoinOutput {
    /// A prediction and its target. The row has the measurement's id.
    Joined(Joined),
    /// An event that leaves without a partner.
    Unjoined(Unjoined),
}

/// What became of the events of one side. The fields but the first add up to the first.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SideCounts {
    /// Events pushed.
    pub received: u64,
    /// Events joined.
    pub joined: u64,
    /// Accepted events whose partner did not come in time.
    pub unmatched: u64,
    /// Events too far behind their own topic.
    pub late: u64,
    /// Other events of a key that was there already.
    pub duplicate: u64,
    /// Repetitions of an event, by its id: no events of their own.
    pub superseded: u64,
    /// Events reread after a restart whose outcome was reported before it, and is not repeated.
    pub reread: u64,
    /// Accepted events that still wait for their partner.
    pub pending: u64,
}

impl std::ops::AddAssign for SideCounts {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.joined += other.joined;
        self.unmatched += other.unmatched;
        self.late += other.late;
        self.duplicate += other.duplicate;
        self.superseded += other.superseded;
        self.reread += other.reread;
        self.pending += other.pending;
    }
}

/// What became of the events of both sides, since this [`Join`] was made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct JoinCounts {
    /// The predictions.
    pub prediction: SideCounts,
    /// The targets.
    pub target: SideCounts,
}

/// The join of one partition of predictions with the same partition of targets.
#[derive(Debug)]
pub struct Join {
    config: JoinConfig,
    predictions: Half<Prediction>,
    targets: Half<Target>,
}

impl Join {
    /// A join that starts where nothing was read before.
    pub fn new(config: JoinConfig) -> Self {
        Self { config, predictions: Half::new(config), targets: Half::new(config) }
    }

    /// Says that a side starts at an offset that [`Join::hold_back`] named, not at the topic's
    /// beginning. To be called before the side's first event.
    pub fn resume(&mut self, side: Side) {
        match side {
            Side::Prediction => self.predictions.resume(),
            Side::Target => self.targets.resume(),
        }
    }

    /// Takes the prediction at this offset of its partition. Offsets must rise.
    ///
    /// Returns what became of it, if that is known, then the events that its progress shows to be
    /// unmatched, by time, side (predictions first) and arrival.
    pub fn push_prediction(&mut self, offset: i64, prediction: Prediction) -> Vec<JoinOutput> {
        let mut outputs = Vec::new();
        match self.predictions.receive(offset, prediction) {
            Received::Accepted(prediction) => match self.targets.take_partner(&prediction) {
                Some(target) => outputs.push(self.joined(prediction, &target)),
                None => self.predictions.wait(prediction),
            },
            Received::Refused(unjoined) => outputs.push(JoinOutput::Unjoined(unjoined)),
            Received::Withheld => {}
        }
        self.expire(&mut outputs);
        outputs
    }

    /// Takes the target at this offset of its partition, as [`Join::push_prediction`] does.
    pub fn push_target(&mut self, offset: i64, target: Target) -> Vec<JoinOutput> {
        let mut outputs = Vec::new();
        match self.targets.receive(offset, target) {
            Received::Accepted(target) => match self.predictions.take_partner(&target) {
                Some(prediction) => outputs.push(self.joined(prediction, &target)),
                None => self.targets.wait(target),
            },
            Received::Refused(unjoined) => outputs.push(JoinOutput::Unjoined(unjoined)),
            Received::Withheld => {}
        }
        self.expire(&mut outputs);
        outputs
    }

    /// Ends a bounded run: nothing more will come, so that everything pending is unmatched.
    pub fn finish(&mut self) -> Vec<JoinOutput> {
        let mut outputs = Vec::new();
        self.report_unmatched(None, None, &mut outputs);
        outputs
    }

    /// The offset to commit for a side once the outputs so far are durable: where to start again
    /// after a restart. None: leave what is committed, or commit nothing if nothing is.
    ///
    /// It never falls. It lies behind the position by about four times `within` plus `lateness` of
    /// event time, and further while the other side is behind.
    pub fn hold_back(&self, side: Side) -> Option<i64> {
        let bound = self.reread_before()?;
        match side {
            Side::Prediction => self.predictions.base_before(bound),
            Side::Target => self.targets.base_before(bound),
        }
    }

    /// Whether to stop reading a side for now: it has `pending_max` events pending and is ahead of the
    /// other. Never true of both sides.
    pub fn is_full(&self, side: Side) -> bool {
        let (predictions, targets) = (self.predictions.progress(), self.targets.progress());
        match side {
            Side::Prediction => self.is_at_max(side) && predictions >= targets,
            Side::Target => self.is_at_max(side) && targets > predictions,
        }
    }

    /// What became of the events so far.
    pub fn counts(&self) -> JoinCounts {
        JoinCounts { prediction: self.predictions.counts(), target: self.targets.counts() }
    }

    fn is_at_max(&self, side: Side) -> bool {
        let pending = match side {
            Side::Prediction => self.predictions.pending(),
            Side::Target => self.targets.pending(),
        };
        pending >= self.config.pending_max
    }

    fn joined(&mut self, prediction: Prediction, target: &Target) -> JoinOutput {
        self.predictions.count_joined();
        self.targets.count_joined();
        let error = prediction.outcome.value().map(|value| relative_error(value, target.value));
        let time = prediction.measurement.time.max(target.time);
        JoinOutput::Joined(Joined { prediction, actual: target.value, time, error })
    }

    /// Reports what can find no partner any more, and forgets bases that are no longer needed.
    fn expire(&mut self, outputs: &mut Vec<JoinOutput>) {
        let reach = self.config.within.saturating_add(self.config.lateness);
        let limit = |progress: Option<EventTime>| {
            progress.map_or(EventTime::MIN, |progress| progress.minus(reach))
        };
        let (predictions, targets) =
            (limit(self.targets.progress()), limit(self.predictions.progress()));
        self.report_unmatched(Some(predictions), Some(targets), outputs);
        if let Some(bound) = self.reread_before() {
            self.predictions.drop_bases_before(bound);
            self.targets.drop_bases_before(bound);
        }
    }

    /// Reports the pending events before these times; without a time, all of them.
    fn report_unmatched(
        &mut self,
        predictions: Option<EventTime>,
        targets: Option<EventTime>,
        outputs: &mut Vec<JoinOutput>,
    ) {
        let mut due = self.predictions.take_due(predictions, self.targets.start());
        due.extend(self.targets.take_due(targets, self.predictions.start()));
        // Stable: the order of arrival is kept.
        due.sort_by_key(|unjoined| (unjoined.time, unjoined.side));
        outputs.extend(due.into_iter().map(JoinOutput::Unjoined));
    }

    /// A restart must begin with an event before this time on each side. See the module's head.
    fn reread_before(&self) -> Option<EventTime> {
        let slower = self.predictions.progress().min(self.targets.progress())?;
        let reach = self.config.within.saturating_mul(4).saturating_add(self.config.lateness);
        Some(slower.minus(reach))
    }
}

fn unjoined<E: SideEvent>(event: &E, reason: UnjoinedReason) -> Unjoined {
    Unjoined {
        reason,
        side: E::SIDE,
        key: event.key().clone(),
        id: event.id(),
        time: event.time(),
        value: event.value(),
    }
}
