//! The rows of one window.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use weir_events::{EventId, EventTime, Joined, Key, RowPosition};

use super::super::sum::Sum;

/// A window that is open: about 150 bytes for each row.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The rows with an error, in order of arrival.
    rows: Vec<Row>,
    levels: BTreeSet<Arc<str>>,
    ids: HashSet<EventId>,
    hold_back: HashMap<i32, i64>,
}

#[derive(Debug)]
struct Row {
    time: EventTime,
    id: EventId,
    key: Key,
    error: f64,
}

/// What is reported of a window.
pub(super) struct Summary {
    pub(super) rows: u64,
    pub(super) mean: f64,
    pub(super) levels: BTreeSet<Arc<str>>,
    pub(super) first: Key,
    pub(super) last: Key,
}

impl Contents {
    /// Takes a row in; false if it is a repetition.
    pub(super) fn add(&mut self, position: RowPosition, row: &Joined) -> bool {
        let measurement = &row.prediction.measurement;
        // Offsets rise: the first is the lowest. Repetitions too are reread, since they may have set
        // the progress of their partition.
        self.hold_back.entry(position.partition).or_insert(position.offset);
        if !self.ids.insert(measurement.id) {
            return false;
        }
        let Some(error) = row.error else { return true };
        self.levels.extend(measurement.level.clone());
        let (time, id, key) = (row.time, measurement.id, measurement.key.clone());
        self.rows.push(Row { time, id, key, error });
        true
    }

    /// The lowest offset of a partition's rows.
    pub(super) fn hold_back(&self, partition: i32) -> Option<i64> {
        self.hold_back.get(&partition).copied()
    }

    /// Puts the rows into an order that does not depend on how they came: a sum of doubles depends on
    /// its order in the last bit, and so does which of two rows of the same time is the first.
    pub(super) fn sort(&mut self) {
        self.rows.sort_unstable_by_key(|row| (row.time, row.id));
    }

    /// What is to be reported; none if no row has an error. Of rows with the same time, the first in
    /// order is the first and the last the last.
    pub(super) fn summary(self) -> Option<Summary> {
        let mut errors = Sum::default();
        self.rows.iter().for_each(|row| errors.add(row.error));
        Some(Summary {
            rows: errors.count(),
            mean: errors.mean()?,
            first: self.rows.iter().min_by_key(|row| row.time)?.key.clone(),
            last: self.rows.iter().max_by_key(|row| row.time)?.key.clone(),
            levels: self.levels,
        })
    }
}
