//! What the picture shows, in the units of its axes and bounded in number, whatever the run's length.
//!
//! Pure: nothing is drawn here. Invariants: at most [`MARKS_MAX`] marks and [`WINDOWS_MAX`] windows;
//! every number is finite; event numbers count from 1 in the order of prediction.

use std::collections::{BTreeMap, HashMap};

use weir_events::{EventTime, ModelVersion};
use weir_registry::CauseKind;

use crate::show;

use crate::results::{Predicted, Results, Version};

/// Above this many events, they are gathered into bins.
const MARKS_MAX: usize = 2_000;
/// Above this many windows, neighbours are taken together.
const WINDOWS_MAX: usize = 1_000;
/// Levels that have a colour of their own.
pub(super) const LEVELS_MAX: usize = 10;
/// An axis is not stretched beyond this error for the sake of a few outliers.
const ERROR_SHOWN: f64 = 2.0;

/// Everything in the picture.
#[derive(Debug)]
pub(super) struct Plan {
    /// What was modelled, and what came of it.
    pub(super) subtitle: String,
    /// How many events were predicted.
    pub(super) events: usize,
    /// When each of them was measured.
    pub(super) measured_at: Vec<EventTime>,
    /// The limit that the windows' means are compared with; none if it is no number.
    pub(super) threshold: Option<f64>,
    /// How many neighbouring events one mark stands for, for each level.
    pub(super) bin: usize,
    /// The upper end of the axis of errors, above zero.
    pub(super) error_max: f64,
    /// The names of the levels, in the order of appearance; the last may stand for all others.
    pub(super) levels: Vec<String>,
    pub(super) marks: Vec<Mark>,
    /// Event numbers for which there was no prediction.
    pub(super) unpredicted: Vec<f64>,
    pub(super) windows: Vec<Window>,
    /// The versions that predicted, with the number of their first event, in this order.
    pub(super) swaps: Vec<(ModelVersion, f64)>,
    pub(super) trainings: Vec<Training>,
}

/// The errors of one event, or of one level's events in one bin.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Mark {
    /// The event's number; the middle for a bin.
    pub(super) event: f64,
    /// Index of the level.
    pub(super) level: usize,
    pub(super) min: f64,
    pub(super) mean: f64,
    pub(super) max: f64,
}

/// A closed window, from just before its first event to just after its last.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Window {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) mean: f64,
    pub(super) triggered: bool,
    rows: u64,
}

/// The rows that a version was retrained with.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Training {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) label: String,
}

impl Plan {
    pub(super) fn new(results: &Results, threshold: f64) -> Self {
        let predictions = &results.predictions;
        let slots = Slots::new(predictions);
        let bin = if predictions.len() <= MARKS_MAX {
            1
        } else {
            predictions.len().div_ceil(MARKS_MAX / slots.names.len())
        };
        Self {
            subtitle: subtitle(results),
            events: predictions.len(),
            measured_at: predictions.iter().map(|event| event.measured_at).collect(),
            threshold: Some(threshold).filter(|threshold| threshold.is_finite()),
            bin,
            error_max: error_max(predictions, threshold),
            marks: marks(predictions, &slots, bin),
            levels: slots.names,
            unpredicted: unpredicted(predictions, bin),
            windows: windows(results),
            swaps: swaps(predictions),
            trainings: trainings(results),
        }
    }
}

/// Which level has which index.
pub(super) struct Slots<'a> {
    /// What the levels are called; the last may stand for all others.
    pub(super) names: Vec<String>,
    index: HashMap<Option<&'a str>, usize>,
}

impl<'a> Slots<'a> {
    /// The most frequent levels get an index each, in the order of appearance; the others share one.
    pub(super) fn new(predictions: &'a [Predicted]) -> Self {
        let mut seen: HashMap<Option<&str>, (usize, usize)> = HashMap::new();
        for (number, event) in predictions.iter().enumerate() {
            seen.entry(event.level.as_deref()).or_insert((0, number)).0 += 1;
        }
        let mut ranked: Vec<_> = seen.into_iter().collect();
        ranked.sort_by_key(|&(_, (count, first))| (std::cmp::Reverse(count), first));
        let others = ranked.len().saturating_sub(LEVELS_MAX);
        ranked.truncate(LEVELS_MAX);
        ranked.sort_by_key(|&(_, (_, first))| first);
        let mut names: Vec<String> = ranked
            .iter()
            .map(|(level, _)| {
                level.map_or_else(|| "events".to_owned(), |name| show::text(name, 14))
            })
            .collect();
        if others > 0 {
            names.push(format!("{others} others"));
        }
        let index = ranked.into_iter().zip(0..).map(|((level, _), slot)| (level, slot)).collect();
        Self { names, index }
    }

    pub(super) fn of(&self, event: &Predicted) -> usize {
        self.index.get(&event.level.as_deref()).copied().unwrap_or(LEVELS_MAX)
    }
}

fn subtitle(results: &Results) -> String {
    let mut parts = Vec::new();
    if let Some(version) = results.versions.last() {
        parts.push(show::text(&version.manifest.formula, 70));
    }
    if let (Some(first), Some(last)) = (results.predictions.first(), results.predictions.last()) {
        let (from, to) = (show::date(first.measured_at), show::date(last.measured_at));
        parts.push(if from == to { from } else { format!("{from} to {to}") });
    }
    let triggered = results.windows.iter().filter(|window| window.triggered).count();
    let [triggered, all] = [triggered, results.windows.len()].map(|n| show::count(n as u64));
    parts.push(format!("{triggered} of {all} windows above the threshold"));
    let retrained = |version: &&Version| version.manifest.cause.kind == CauseKind::Trigger;
    match results.versions.iter().filter(retrained).count() {
        0 => parts.push("not retrained".to_owned()),
        1 => parts.push("retrained once".to_owned()),
        times => parts.push(format!("retrained {times} times")),
    }
    parts.join("  ·  ")
}

fn errors(predictions: &[Predicted]) -> impl Iterator<Item = (usize, &Predicted, f64)> {
    let error = |event: &Predicted| event.error.filter(|error| error.is_finite());
    predictions.iter().enumerate().filter_map(move |(at, event)| Some((at, event, error(event)?)))
}

/// Up to the largest error, unless that is far above nearly all of the others.
fn error_max(predictions: &[Predicted], threshold: f64) -> f64 {
    let mut sorted: Vec<f64> = errors(predictions).map(|(.., error)| error).collect();
    sorted.sort_by(f64::total_cmp);
    let largest = sorted.last().copied().unwrap_or(0.0);
    let most = sorted.get(sorted.len() * 98 / 100).copied().unwrap_or(largest);
    let limit = ERROR_SHOWN.max(1.5 * most);
    let threshold = if threshold.is_finite() { threshold } else { 0.0 };
    (1.1 * largest.min(limit)).max(2.2 * threshold).max(0.01)
}

/// One mark for each event, or for each level in each bin.
fn marks(predictions: &[Predicted], slots: &Slots<'_>, bin: usize) -> Vec<Mark> {
    let mut bins: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for (at, event, error) in errors(predictions) {
        bins.entry((at / bin, slots.of(event))).or_default().push(error);
    }
    bins.into_iter()
        .map(|((number, level), errors)| Mark {
            event: middle(number, bin, predictions.len()),
            level,
            min: errors.iter().copied().fold(f64::INFINITY, f64::min),
            mean: errors.iter().sum::<f64>() / errors.len() as f64,
            max: errors.iter().copied().fold(0.0, f64::max),
        })
        .collect()
}

fn unpredicted(predictions: &[Predicted], bin: usize) -> Vec<f64> {
    let mut bins: Vec<usize> = predictions
        .iter()
        .enumerate()
        .filter(|(_, event)| event.predicted.is_none())
        .map(|(at, _)| at / bin)
        .collect();
    bins.dedup();
    bins.into_iter().map(|number| middle(number, bin, predictions.len())).collect()
}

/// The event number in the middle of a bin; the last bin may be shorter.
fn middle(number: usize, bin: usize, events: usize) -> f64 {
    let (first, last) = (number * bin + 1, ((number + 1) * bin).min(events));
    (first + last) as f64 / 2.0
}

/// The windows over the events that were joined in them.
fn windows(results: &Results) -> Vec<Window> {
    let mut closed: Vec<_> = results.windows.iter().collect();
    closed.sort_by_key(|window| window.start);
    let mut spans: Vec<Option<(usize, usize)>> = vec![None; closed.len()];
    let holding = |time: EventTime| {
        let at = closed.partition_point(|window| window.start <= time).checked_sub(1)?;
        (time < closed[at].end).then_some(at)
    };
    for (number, event) in results.predictions.iter().enumerate() {
        if let Some(at) = event.joined_at.and_then(holding) {
            let (first, _) = spans[at].unwrap_or((number, number));
            spans[at] = Some((first, number));
        }
    }
    let windows: Vec<Window> = closed
        .iter()
        .zip(spans)
        .filter(|(window, _)| window.mean_error.is_finite())
        .filter_map(|(window, span)| {
            let (first, last) = span?;
            let (mean, triggered, rows) = (window.mean_error, window.triggered, window.rows);
            Some(Window { from: before(first), to: after(last), mean, triggered, rows })
        })
        .collect();
    let together = windows.len().div_ceil(WINDOWS_MAX).max(1);
    windows.chunks(together).map(merged).collect()
}

/// Neighbours as one: the mean over their rows, triggered if one of them is.
fn merged(windows: &[Window]) -> Window {
    let rows = windows.iter().map(|window| window.rows).sum::<u64>();
    let sum: f64 = windows.iter().map(|window| window.mean * window.rows as f64).sum();
    let first = windows[0];
    Window {
        from: first.from,
        to: windows.iter().fold(first.to, |to, window| to.max(window.to)),
        mean: if windows.len() == 1 || rows == 0 { first.mean } else { sum / rows as f64 },
        triggered: windows.iter().any(|window| window.triggered),
        rows,
    }
}

fn swaps(predictions: &[Predicted]) -> Vec<(ModelVersion, f64)> {
    let mut swaps: Vec<(ModelVersion, f64)> = Vec::new();
    for (at, event) in predictions.iter().enumerate() {
        // Versions rise, so a known one is found at once, from the end.
        if !swaps.iter().rev().any(|(version, _)| *version == event.version) {
            swaps.push((event.version, before(at)));
        }
    }
    swaps
}

/// The rows of every version that a trigger caused. The initial model was trained with other rows,
/// whose keys may be the same.
fn trainings(results: &Results) -> Vec<Training> {
    let numbers: HashMap<&str, usize> = results
        .predictions
        .iter()
        .enumerate()
        .map(|(number, event)| (event.id.as_str(), number))
        .collect();
    let retrained = results.versions.iter().map(|version| &version.manifest);
    retrained
        .filter(|manifest| manifest.cause.kind == CauseKind::Trigger)
        .filter_map(|manifest| {
            let rows = &manifest.rows;
            let last = *numbers.get(rows.last_id.as_str())?;
            let first = numbers.get(rows.first_id.as_str()).copied().unwrap_or(0).min(last);
            let (from, to) = (show::text(&rows.first_id, 16), show::text(&rows.last_id, 16));
            let label = format!("{}: rows {from} to {to} ({})", manifest.version, rows.n);
            Some(Training { from: before(first), to: after(last), label })
        })
        .collect()
}

/// Just before the event at this index: events stand at whole numbers from 1.
fn before(index: usize) -> f64 {
    index as f64 + 0.5
}

fn after(index: usize) -> f64 {
    index as f64 + 1.5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn windows_span_the_events_that_were_joined_in_them() {
        let plan = Plan::new(&samples::salmon_walleye_salmon(), 0.15);
        let spans: Vec<_> = plan.windows.iter().map(|w| (w.from, w.to, w.triggered)).collect();
        let expected = [
            (0.5, 12.5, false),
            (12.5, 42.5, false),
            (42.5, 72.5, true),
            (72.5, 102.5, true),
            (102.5, 132.5, false),
            (132.5, 162.5, false),
        ];
        assert_eq!(spans, expected);
    }

    #[test]
    fn versions_begin_at_their_first_event_and_cover_their_rows() {
        let plan = Plan::new(&samples::salmon_walleye_salmon(), 0.15);
        let swaps = plan.swaps.iter().map(|&(version, event)| (version.0, event));
        assert_eq!(swaps.collect::<Vec<_>>(), [(1, 0.5), (2, 77.5), (3, 107.5)]);
        let rows: Vec<_> =
            plan.trainings.iter().map(|t| (t.from, t.to, t.label.as_str())).collect();
        let expected =
            [(23.5, 73.5, "v2: rows 24 to 73 (50)"), (53.5, 103.5, "v3: rows 54 to 103 (50)")];
        assert_eq!(rows, expected);
    }

    #[test]
    fn bins_are_bounded_and_lose_no_extreme() {
        for events in [2_001, 30_000] {
            let results = samples::long(events);
            let plan = Plan::new(&results, 0.15);
            assert!(plan.marks.len() <= MARKS_MAX, "{}", plan.marks.len());
            assert!(plan.windows.len() <= WINDOWS_MAX, "{}", plan.windows.len());
            assert!(plan.marks.iter().all(|m| m.min <= m.mean && m.mean <= m.max));
            for (level, name) in ["salmon", "walleye"].into_iter().enumerate() {
                let errors = errors(&results.predictions)
                    .filter(|(_, event, _)| event.level.as_deref() == Some(name))
                    .map(|(.., error)| error);
                let (min, max) = errors.fold((f64::INFINITY, 0.0), |(min, max), error| {
                    (f64::min(min, error), f64::max(max, error))
                });
                let marks = plan.marks.iter().filter(|mark| mark.level == level);
                let shown = marks.fold((f64::INFINITY, 0.0), |(min, max), mark| {
                    (f64::min(min, mark.min), f64::max(max, mark.max))
                });
                assert_eq!(shown, (min, max));
            }
        }
    }

    #[test]
    fn marks_stay_bounded_with_many_levels() {
        let events = (1..=20_000).map(|n| samples::event(n, &(n % 20).to_string(), 1, Some(0.1)));
        let plan = Plan::new(&samples::run(events.collect(), &[None]), 0.15);
        assert!((MARKS_MAX / 2..=MARKS_MAX).contains(&plan.marks.len()), "{}", plan.marks.len());
    }

    #[test]
    fn rare_levels_share_the_last_place() {
        let level = |n: u64| if n <= 24 { n % 12 } else { 11 };
        let events = (1..=40).map(|n| samples::event(n, &level(n).to_string(), 1, Some(0.1)));
        let plan = Plan::new(&samples::run(events.collect(), &[None]), 0.15);
        assert_eq!(plan.levels.len(), LEVELS_MAX + 1);
        assert_eq!(plan.levels[LEVELS_MAX], "2 others");
        assert!(plan.levels.contains(&"11".to_owned()), "the most frequent has its own");
        assert_eq!(plan.marks.iter().filter(|mark| mark.level == LEVELS_MAX).count(), 4);
    }

    #[test]
    fn few_outliers_do_not_flatten_the_rest() {
        let error = |n: u64| if n == 50 { 1_000.0 } else { 0.1 };
        let events = (1..=200).map(|n| samples::event(n, "salmon", 1, Some(error(n))));
        let plan = Plan::new(&samples::run(events.collect(), &[None]), 0.15);
        assert!(plan.error_max < 3.0, "{}", plan.error_max);
        assert!(plan.marks.iter().any(|mark| mark.max > plan.error_max));
    }
}
