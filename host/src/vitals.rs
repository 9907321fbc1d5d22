//! How a host is, for whoever operates it: readiness and metrics, from one snapshot of its counters.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_events::{Reason, UnjoinedReason};
use weir_kafka::Progress;
use weir_service::health::{Metric, MetricsText, Vitals};
use weir_stream::{TumblingMean, UnseenLevel};

use crate::config::{HostConfig, Role};
use crate::counters::{Counts, HostCounters};
use crate::model::Active;
use crate::roles::{Reading, reads};

/// Describes a run by its counters, and by how far its readers are.
#[derive(Debug)]
pub struct HostVitals {
    reads: Vec<Reading>,
    predicts: bool,
    window_threshold: f64,
    progress: Progress,
    counters: Arc<HostCounters>,
}

impl HostVitals {
    /// Of a host with these settings. `progress` and `counters` are what it is run with.
    pub fn new(config: &HostConfig, progress: Progress, counters: Arc<HostCounters>) -> Self {
        Self {
            reads: reads(config),
            predicts: config.roles.contains(&Role::Predict),
            window_threshold: config.window.threshold,
            progress,
            counters,
        }
    }

    fn is_ready(&self, counts: &Counts) -> Result<(), String> {
        if !counts.topics_found {
            return Err("waiting for Kafka and its topics".into());
        }
        if self.predicts {
            let slot = self.counters.slot();
            if slot.and_then(crate::model::ModelSlot::version).is_none() {
                return Err("no model to predict with".into());
            }
            if !slot.is_some_and(crate::model::ModelSlot::is_current) {
                return Err("it is not known yet whether there is a newer model".into());
            }
        }
        let is_away = |reading: &&Reading| !self.progress.is_ready(&reading.reader);
        let mut away: Vec<_> = self.reads.iter().filter(is_away).map(|it| it.name).collect();
        away.dedup();
        if away.is_empty() {
            return Ok(());
        }
        Err(format!("not in their groups, or their store is away: {}", away.join(", ")))
    }
}

impl Vitals for HostVitals {
    fn ready(&self) -> Result<(), String> {
        self.is_ready(&self.counters.snapshot())
    }

    fn metrics(&self, out: &mut MetricsText<'_>) {
        let counts = self.counters.snapshot();
        out.build("host", env!("CARGO_PKG_VERSION"));
        out.gauge(Metric::HostReady, if self.is_ready(&counts).is_ok() { 1.0 } else { 0.0 });
        self.model(out, &counts);
        self.reading(out, &counts);
        predictions(out, &counts);
        joins(out, &counts);
        self.drift(out, &counts);
        training(out, &counts);
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are doubles")]
impl HostVitals {
    fn model(&self, out: &mut MetricsText<'_>, counts: &Counts) {
        let slot = self.counters.slot();
        let serving = slot.and_then(|slot| slot.slot().load());
        let shadow = slot.and_then(|slot| slot.shadow().load());
        let places = [("serving", &serving), ("shadow", &shadow)];
        let of = |value: fn(&Active) -> f64| {
            let row = move |(place, active): (&'static str, &Option<Arc<_>>)| {
                let active: &weir_runtime::Active<Active> = active.as_deref()?;
                Some(([place], value(&active.tag)))
            };
            places.into_iter().filter_map(row)
        };
        out.gauges(Metric::HostModelVersion, of(|active| active.model.version.0 as f64));
        out.gauges(
            Metric::HostModelTrained,
            of(|active| active.model.time.as_micros() as f64 / 1e6),
        );
        let expires = serving.as_ref().and_then(|active| active.tag.expires);
        let expires = expires.map(|at| ([""; 0], at.as_micros() as f64 / 1e6));
        out.gauges(Metric::HostModelExpires, expires);
        let (swaps, demotions) = slot.map_or((0, 0), crate::model::ModelSlot::changes);
        out.counter(Metric::HostModelSwaps, swaps);
        out.counter(Metric::HostModelDemotions, demotions);
        out.counter(Metric::HostModelsUnfit, counts.models_unfit);
        let refused = counts.refusals().map(|(reason, count)| ([reason], count));
        out.counters(Metric::HostModelRecordsRefused, refused);
    }

    /// What is read, and how much waits.
    fn reading(&self, out: &mut MetricsText<'_>, counts: &Counts) {
        let (mut done, mut letters, mut held, mut lags) = (vec![], vec![], vec![], vec![]);
        let mut restarts = BTreeMap::new();
        for reading @ Reading { name, role, topic, .. } in &self.reads {
            let series = [*name, topic.as_str()];
            restarts.insert([*name], counts.restarts(name));
            if let Some(role) = role {
                done.push((series, counts.done_by(*role, topic)));
            }
            if reading.sets_aside {
                let reasons = Reason::ALL.into_iter().zip(counts.dead_letters(topic));
                let row =
                    |(reason, count): (Reason, u64)| ([topic.as_str(), reason.as_str()], count);
                letters.extend(reasons.map(row));
            }
            let positions = self.progress.positions(&reading.reader);
            let positions: Vec<_> =
                positions.iter().filter(|position| *position.topic == **topic).collect();
            held.push((series, positions.len() as f64));
            let Some(ends) = counts.ends.as_ref().and_then(|ends| ends.get(topic)) else {
                continue;
            };
            let behind = |span: &weir_kafka::Span| {
                let position = positions.iter().find(|it| it.partition == span.partition);
                position.map(|position| span.behind(position.next))
            };
            lags.push((series, ends.iter().filter_map(behind).sum::<u64>() as f64));
        }
        out.counters(Metric::HostRecordsDone, done);
        out.counters(Metric::HostDeadLetters, letters);
        out.gauges(Metric::HostPartitions, held);
        out.gauges(Metric::HostLag, lags);
        out.counters(Metric::HostRoleRestarts, restarts);
    }

    fn drift(&self, out: &mut MetricsText<'_>, counts: &Counts) {
        let verdicts = &counts.verdicts;
        let windows = ["no", "yes"].into_iter().zip(verdicts.windows);
        out.counters(Metric::HostWindows, windows.map(|(triggered, count)| ([triggered], count)));
        out.gauges(Metric::HostWindowError, verdicts.window_error.map(|error| ([""; 0], error)));
        out.gauge(Metric::HostWindowThreshold, self.window_threshold);
        let triggers = [TumblingMean::NAME, UnseenLevel::NAME]
            .map(|detector| ([detector], verdicts.triggers.get(detector).copied().unwrap_or(0)));
        out.counters(Metric::HostTriggers, triggers);
        out.counter(Metric::HostComparisons, verdicts.comparisons);
    }
}

fn predictions(out: &mut MetricsText<'_>, counts: &Counts) {
    let outcomes = counts.predictions().map(|(outcome, count)| ([outcome], count));
    out.counters(Metric::HostPredictions, outcomes);
    out.durations(Metric::HostPredictionSeconds, &counts.prediction_took);
}

#[expect(clippy::cast_precision_loss, reason = "metrics are doubles")]
fn joins(out: &mut MetricsText<'_>, counts: &Counts) {
    let tally = counts.joined();
    let sides = [("prediction", tally.prediction), ("target", tally.target)];
    out.counters(Metric::HostJoinReceived, sides.map(|(side, it)| ([side], it.counts.received)));
    out.counter(Metric::HostJoined, tally.prediction.counts.joined);
    let unjoined = sides.into_iter().flat_map(|(side, it)| {
        UnjoinedReason::ALL.map(|reason| {
            let counts = &it.counts;
            let count = match reason {
                UnjoinedReason::Unmatched => counts.unmatched,
                UnjoinedReason::Late => counts.late,
                UnjoinedReason::Duplicate => counts.duplicate,
                UnjoinedReason::Superseded => counts.superseded,
            };
            ([side, reason.as_str()], count)
        })
    });
    out.counters(Metric::HostUnjoined, unjoined);
    out.counters(Metric::HostJoinReread, sides.map(|(side, it)| ([side], it.counts.reread)));
    out.counters(Metric::HostJoinReturned, sides.map(|(side, it)| ([side], it.returned)));
    let pending = sides.map(|(side, it)| ([side], it.counts.pending as f64));
    out.gauges(Metric::HostJoinPending, pending);
}

fn training(out: &mut MetricsText<'_>, counts: &Counts) {
    out.counters(
        Metric::HostTrainings,
        counts.trainings().map(|(result, count)| ([result], count)),
    );
    let took = counts.training_took.map(|took| ([""; 0], took.as_secs_f64()));
    out.gauges(Metric::HostTrainingSeconds, took);
    out.counters(Metric::HostRequests, counts.requests().map(|(result, count)| ([result], count)));
    out.counter(Metric::HostRowsStored, counts.rows_stored);
    out.counter(Metric::HostRowsRepeated, counts.rows_repeated);
}
