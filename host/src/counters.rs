//! What a running host has done so far, for whoever looks on: a metrics page, or a test.
//!
//! Everything is changed and read under one lock, after each batch, when what follows from it is delivered. So what adds up
//! does so in every [`HostCounters::snapshot`]; `docs/metrics.md` says what. A batch that fails is not counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use weir_events::{Missing, Outcome, Reason};
use weir_kafka::{Record, Span};
use weir_registry::{Refusal, Stage};
use weir_service::health::Durations;
use weir_stream::{JoinCounts, SideCounts};

use crate::config::Role;
use crate::model::ModelSlot;

/// Counts since the start, and the model in service. Share it in an `Arc`.
#[derive(Debug, Default)]
pub struct HostCounters {
    counts: Mutex<Counts>,
    slot: OnceLock<ModelSlot>,
}

/// Where partitions end, by topic.
pub(crate) type Ends = BTreeMap<String, Vec<Span>>;

/// All counts of one moment.
#[derive(Clone, Default, Debug)]
pub struct Counts {
    /// Whether Kafka was reached and had all topics.
    pub(crate) topics_found: bool,
    /// Predictions: with a number, and by the order of [`Missing::ALL`] without.
    predictions: [u64; 1 + Missing::ALL.len()],
    /// How long the version that serves took for each batch.
    pub(crate) prediction_took: Durations,
    done: BTreeMap<(Role, Arc<str>), u64>,
    dead_letters: BTreeMap<Arc<str>, [u64; Reason::ALL.len()]>,
    /// The joins that are gone, and those that there are now.
    joins: [JoinTally; 2],
    /// What the detectors have said.
    pub(crate) verdicts: Verdicts,
    trainings: [u64; Training::ALL.len()],
    /// How long the last training took.
    pub(crate) training_took: Option<Duration>,
    requests: [u64; Request::ALL.len()],
    /// Training rows that are in the store.
    pub(crate) rows_stored: u64,
    /// Rows that it had already.
    pub(crate) rows_repeated: u64,
    /// Versions that did not load, or failed their test.
    pub(crate) models_unfit: u64,
    models_refused: [u64; Refusal::REASONS.len()],
    restarts: BTreeMap<&'static str, u64>,
    /// None while Kafka does not say it.
    pub(crate) ends: Option<Arc<Ends>>,
}

/// What the detectors have said.
#[derive(Clone, Default, Debug)]
pub(crate) struct Verdicts {
    /// Windows closed, below the threshold and above.
    pub(crate) windows: [u64; 2],
    /// The mean error of the last one.
    pub(crate) window_error: Option<f64>,
    /// By detector.
    pub(crate) triggers: BTreeMap<String, u64>,
    pub(crate) comparisons: u64,
}

impl Verdicts {
    fn add(&mut self, more: Self) {
        for (sum, more) in self.windows.iter_mut().zip(more.windows) {
            *sum += more;
        }
        self.window_error = more.window_error.or(self.window_error);
        for (detector, count) in more.triggers {
            *self.triggers.entry(detector).or_default() += count;
        }
        self.comparisons += more.comparisons;
    }
}

/// What became of the events of one or several joins.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct JoinTally {
    pub(crate) prediction: SideTally,
    pub(crate) target: SideTally,
}

/// What became of the events of one side.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct SideTally {
    pub(crate) counts: SideCounts,
    /// Events that waited when their join was given up. Whoever has the partition next reads them again.
    pub(crate) returned: u64,
}

impl JoinTally {
    /// Adds a join.
    pub(crate) fn add(&mut self, join: JoinCounts) {
        self.prediction.counts += join.prediction;
        self.target.counts += join.target;
    }

    /// The same when they are given up.
    pub(crate) fn given_up(self) -> Self {
        let side = |SideTally { counts, returned }| SideTally {
            returned: returned + counts.pending,
            counts: SideCounts { pending: 0, ..counts },
        };
        Self { prediction: side(self.prediction), target: side(self.target) }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        let side = |mut one: SideTally, other: SideTally| {
            one.counts += other.counts;
            one.returned += other.returned;
            one
        };
        Self {
            prediction: side(self.prediction, other.prediction),
            target: side(self.target, other.target),
        }
    }
}

/// How a training ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Training {
    Published(Stage),
    /// There are too few rows, or they do not determine the coefficients.
    Unfittable,
    /// The component, or what makes it, failed.
    Failed,
    /// The row that caused it did not come to the store in time.
    RowNotStored,
    /// A challenger is compared first.
    Awaited,
}

impl Training {
    pub(crate) const ALL: [Self; 7] = [
        Self::Published(Stage::Champion),
        Self::Published(Stage::Challenger),
        Self::Published(Stage::Refused),
        Self::Unfittable,
        Self::Failed,
        Self::RowNotStored,
        Self::Awaited,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Published(stage) => stage.as_str(),
            Self::Unfittable => "unfittable-rows",
            Self::Failed => "failed",
            Self::RowNotStored => "row-not-stored",
            Self::Awaited => "awaited",
        }
    }
}

/// How a request about versions was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    Published,
    Refused,
    Nothing,
}

impl Request {
    pub(crate) const ALL: [Self; 3] = [Self::Published, Self::Refused, Self::Nothing];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Refused => "refused",
            Self::Nothing => "nothing-to-do",
        }
    }
}

impl Counts {
    pub(crate) fn predicted(&mut self, outcome: Outcome) {
        let place = match outcome {
            Outcome::Value(_) => 0,
            Outcome::Missing(missing) => 1 + missing as usize,
        };
        self.predictions[place] += 1;
    }

    /// Predictions by outcome.
    pub(crate) fn predictions(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let outcomes = std::iter::once("value").chain(Missing::ALL.map(Missing::as_str));
        outcomes.zip(self.predictions)
    }

    /// Records that a role is done with, and those among them that were set aside.
    pub(crate) fn done(&mut self, role: Role, records: &[Record], letters: &[Letter]) {
        for record in records {
            *self.done.entry((role, Arc::clone(&record.topic))).or_default() += 1;
        }
        for (topic, reason) in letters {
            let reasons = self.dead_letters.entry(Arc::clone(topic)).or_default();
            reasons[*reason as usize] += 1;
        }
    }

    pub(crate) fn done_by(&self, role: Role, topic: &str) -> u64 {
        self.done.get(&(role, topic.into())).copied().unwrap_or(0)
    }

    /// Dead letters of the records of a topic, by the order of [`Reason::ALL`].
    pub(crate) fn dead_letters(&self, topic: &str) -> [u64; Reason::ALL.len()] {
        self.dead_letters.get(topic).copied().unwrap_or_default()
    }

    pub(crate) fn advised(&mut self, verdicts: Verdicts) {
        self.verdicts.add(verdicts);
    }

    /// The joins as they are now.
    pub(crate) fn joins(&mut self, now: JoinTally) {
        self.joins[1] = now;
    }

    /// The role begins anew: what waited is read again.
    pub(crate) fn joins_given_up(&mut self) {
        let [gone, now] = self.joins;
        self.joins = [gone.plus(now.given_up()), JoinTally::default()];
    }

    pub(crate) fn joined(&self) -> JoinTally {
        self.joins[0].plus(self.joins[1])
    }

    pub(crate) fn trained(&mut self, training: Training) {
        if let Some(place) = Training::ALL.iter().position(|one| *one == training) {
            self.trainings[place] += 1;
        }
    }

    pub(crate) fn trainings(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Training::ALL.map(Training::as_str).into_iter().zip(self.trainings)
    }

    pub(crate) fn answered(&mut self, request: Request) {
        self.requests[request as usize] += 1;
    }

    pub(crate) fn requests(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Request::ALL.map(Request::as_str).into_iter().zip(self.requests)
    }

    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        let place = Refusal::REASONS.iter().position(|reason| *reason == refusal.reason());
        self.models_refused[place.expect("REASONS has all of them")] += 1;
    }

    pub(crate) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::REASONS.into_iter().zip(self.models_refused)
    }

    pub(crate) fn restarted(&mut self, role: &'static str) {
        *self.restarts.entry(role).or_default() += 1;
    }

    pub(crate) fn restarts(&self, role: &str) -> u64 {
        self.restarts.get(role).copied().unwrap_or(0)
    }
}

/// A record that was set aside: its topic, and why.
pub(crate) type Letter = (Arc<str>, Reason);

impl HostCounters {
    /// All counts of this moment.
    pub fn snapshot(&self) -> Counts {
        self.lock().clone()
    }

    /// The model in service; none before the host has begun, or if it does not predict.
    pub fn slot(&self) -> Option<&ModelSlot> {
        self.slot.get()
    }

    pub(crate) fn set_slot(&self, slot: &ModelSlot) {
        // There is one for each run of a host, and these counters are of one run.
        drop(self.slot.set(slot.clone()));
    }

    /// Changes counts, all in one moment.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Nothing panics while it is held.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever happens to joins, each event taken is in one place.
    #[test]
    fn events_that_waited_are_returned_when_a_join_is_given_up() {
        let side = SideCounts { received: 5, joined: 2, pending: 3, ..SideCounts::default() };
        let mut now = JoinTally::default();
        now.add(JoinCounts { prediction: side, target: SideCounts::default() });
        let mut counts = Counts::default();
        counts.joins(now);
        assert_eq!(counts.joined(), now);
        counts.joins_given_up();
        counts.joins(now);
        let SideTally { counts, returned } = counts.joined().prediction;
        assert_eq!((counts.received, counts.joined, counts.pending, returned), (10, 4, 3, 3));
    }

    #[test]
    fn each_result_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Training::ALL.map(Training::as_str).into();
        assert_eq!(names.len(), Training::ALL.len());
    }
}
