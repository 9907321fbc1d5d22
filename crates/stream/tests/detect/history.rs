//! Random histories of several partitions, and the windows of [`Closing::EveryPartition`] as the
//! definition says them: from the whole history, with no order of reading but that of each partition.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use weir_events::{EventId, EventTime, RowPosition, Trigger, WindowClosed};
use weir_stream::{Closing, DetectorOutput, TumblingMean, TumblingMeanConfig};

use crate::rows::{Row, rows};
use crate::window::{LENGTH, mean, micros};

/// Rows whose places are their offsets. Each partition is read in this order.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) rows: Vec<Row>,
    pub(crate) partitions: i32,
    /// Seconds.
    pub(crate) grace: i64,
    /// Seconds.
    pub(crate) ahead_max: i64,
}

/// Up to six partitions, out of order by up to 300 s; a few rows come again in another partition.
pub(crate) fn histories(
    len_max: usize,
    graces: std::ops::Range<i64>,
) -> impl Strategy<Value = History> {
    (1..=6i32, graces, 0..400i64).prop_flat_map(move |(partitions, grace, ahead_max)| {
        let moved = prop::option::weighted(0.1, 0..partitions);
        let moves = prop::collection::vec(moved, len_max);
        (rows(len_max, partitions), moves).prop_map(move |(mut rows, moves)| {
            for (row, partition) in rows.iter_mut().zip(moves) {
                row.partition = partition.unwrap_or(row.partition);
            }
            History { rows, partitions, grace, ahead_max }
        })
    })
}

/// Choices that make an order of reading.
pub(crate) fn choices() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..60usize, 1..60)
}

impl History {
    pub(crate) fn detector(&self) -> TumblingMean {
        let seconds = |seconds: i64| Duration::from_secs(seconds.unsigned_abs());
        let (grace, ahead_max) = (seconds(self.grace), seconds(self.ahead_max));
        TumblingMean::new(TumblingMeanConfig {
            closing: Closing::EveryPartition { grace, ahead_max },
            ..TumblingMeanConfig::default()
        })
    }

    pub(crate) fn assigned(&self) -> Vec<i32> {
        (0..self.partitions).collect()
    }

    /// The places of a partition's rows from an offset on.
    pub(crate) fn places(&self, partition: i32, from: usize) -> impl Iterator<Item = usize> + '_ {
        (from..self.rows.len()).filter(move |&place| self.rows[place].partition == partition)
    }

    /// An order of reading all partitions to their ends, each from its place on.
    pub(crate) fn order(&self, choices: &[usize], from: &BTreeMap<i32, usize>) -> Vec<usize> {
        let from = |partition| from.get(&partition).copied().unwrap_or(0);
        let mut unread: Vec<_> = self
            .assigned()
            .into_iter()
            .map(|partition| self.places(partition, from(partition)).peekable())
            .collect();
        let mut order = Vec::new();
        for choice in choices.iter().cycle() {
            unread.retain_mut(|places| places.peek().is_some());
            let Some(last) = unread.len().checked_sub(1) else { break };
            order.extend(unread[choice % (last + 1)].next());
        }
        order
    }

    pub(crate) fn is_late(&self, place: usize) -> bool {
        let row = self.rows[place];
        let own = self.rows[..place].iter().filter(|earlier| earlier.partition == row.partition);
        own.map(|earlier| earlier.time).max() >= Some(self.closes_at(window(row)))
    }

    /// The progress at which a window closes.
    pub(crate) fn closes_at(&self, window: i64) -> i64 {
        (window + 1) * LENGTH + self.grace
    }

    /// By window, its rows.
    pub(crate) fn windows(&self) -> BTreeMap<i64, Vec<Row>> {
        let mut windows: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
        for place in (0..self.rows.len()).filter(|&place| !self.is_late(place)) {
            let row = self.rows[place];
            let rows = windows.entry(window(row)).or_default();
            if rows.iter().all(|earlier| earlier.id != row.id) {
                rows.push(row);
            }
        }
        windows
    }

    /// What is reported of all windows, if all close.
    pub(crate) fn whole(&self) -> BTreeMap<String, String> {
        let windows = self.windows().into_iter();
        let outputs = windows.flat_map(|(index, rows)| report(index, rows, self.rows[0], 0));
        outputs.map(settled).collect()
    }

    /// What is reported of the windows that close by themselves, each with the place of the row that
    /// closes it in this order.
    pub(crate) fn expected(&self, order: &[usize]) -> Vec<(usize, DetectorOutput)> {
        let mut windows = self.windows();
        let mut outputs = Vec::new();
        for (step, &place) in order.iter().enumerate() {
            let slowest = self.slowest(&order[..=step]);
            while let Some((&index, _)) = windows.first_key_value()
                && Some(self.closes_at(index)) <= slowest
            {
                let rows = windows.remove(&index).expect("it is the first");
                let report = report(index, rows, self.rows[place], place);
                outputs.extend(report.into_iter().map(|output| (place, output)));
            }
        }
        outputs
    }

    /// The smallest progress when these were read.
    pub(crate) fn slowest(&self, read: &[usize]) -> Option<i64> {
        let progress = |partition| {
            let rows = read.iter().map(|&place| self.rows[place]);
            rows.filter(|row| row.partition == partition).map(|row| row.time).max()
        };
        (0..self.partitions).map(progress).min()?
    }
}

pub(crate) fn window(row: Row) -> i64 {
    row.time.div_euclid(LENGTH)
}

/// What is reported of a window that the row at a place closes.
fn report(index: i64, rows: Vec<Row>, closing: Row, place: usize) -> Vec<DetectorOutput> {
    let mut rows: Vec<_> = rows.into_iter().filter(|row| row.error.is_some()).collect();
    if rows.is_empty() {
        return vec![];
    }
    rows.sort_by_key(|row| (row.time, row.id));
    let (start, end) = (micros(index * LENGTH), micros((index + 1) * LENGTH));
    let (mean, count) = (mean(&rows), rows.len() as u64);
    let triggered = mean > 0.15;
    let closed = WindowClosed { start, end, rows: count, mean_error: mean, triggered };
    let mut outputs = vec![DetectorOutput::Window(closed)];
    if triggered {
        let levels: BTreeSet<_> = rows.iter().map(|row| row.level_name()).collect();
        // Of rows of the same time, the lowest id is the first and the highest the last.
        outputs.push(DetectorOutput::Trigger(Trigger {
            id: format!("window-mean/{start}"),
            detector: "window-mean".into(),
            levels: levels.into_iter().collect(),
            first: rows[0].key(),
            last: rows[rows.len() - 1].key(),
            mean_error: Some(mean),
            rows: count,
            start,
            end,
            closed_by: closing.event_id(),
            closed_at: micros(closing.time),
            position: closing.position(place),
        }));
    }
    outputs
}

/// An output by its id, to the last bit, but for the row that closed the window.
pub(crate) fn settled(output: DetectorOutput) -> (String, String) {
    match output {
        DetectorOutput::Window(window) => {
            (format!("window/{}", window.start), format!("{window:?}"))
        }
        DetectorOutput::Trigger(mut trigger) => {
            trigger.closed_by = EventId::from_bytes([0; 16]);
            trigger.closed_at = EventTime::EPOCH;
            trigger.position = RowPosition { partition: 0, offset: 0 };
            (trigger.id.clone(), format!("{trigger:?}"))
        }
        DetectorOutput::Compared(compared) => {
            (format!("{}/{}", compared.served, compared.shadow), format!("{compared:?}"))
        }
    }
}
