//! Which stored rows a version is trained with, and which it is compared on.

use weir_events::Joined;
use weir_registry::{Policy, Selection};

use super::training::Row;
use crate::config::HostConfig;
use crate::store::{RowOrder, StoreError, TrainingRow, TrainingStore};

/// Rows of the store, divided.
#[derive(Debug)]
pub struct Rows {
    /// Those to train with, oldest first.
    pub training: Vec<Row>,
    /// Those to compare on, oldest first.
    pub held_out: Vec<Row>,
    /// How many more were left out because a value is not finite.
    pub left_out: u64,
    /// The times of the oldest and the newest to train with.
    pub times: Option<(weir_events::EventTime, weir_events::EventTime)>,
    /// How to find them again.
    pub selection: Selection,
}

/// How rows are divided.
#[derive(Clone, Copy, Debug)]
pub struct Division {
    /// Rows to train with.
    pub training: usize,
    /// Rows to compare on.
    pub hold_out: usize,
    /// Whether the rows to compare on come before those to train with, so that none is taken from these. Otherwise they
    /// are among them, at even distances: as new, and as much like what comes.
    pub before: bool,
}

impl Division {
    /// As configured.
    pub fn of(config: &HostConfig) -> Self {
        let (training, hold_out) = (config.train.rows, config.promotion.hold_out);
        Self { training, hold_out, before: config.promotion.policy == Policy::Always }
    }

    /// How the rows of a version were divided.
    pub fn again(selection: &Selection) -> Self {
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let hold_out = count(selection.held_out);
        let training = count(selection.taken).saturating_sub(hold_out);
        Self { training, hold_out, before: selection.before }
    }

    /// Reads the newest rows up to `last` and divides them.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn read(self, store: &dyn TrainingStore, last: RowOrder) -> Result<Rows, StoreError> {
        let rows = store.newest(self.training + self.hold_out, last).await?;
        Ok(self.divide(rows, last))
    }

    fn divide(self, rows: Vec<TrainingRow>, last: RowOrder) -> Rows {
        let taken = rows.len();
        let newest = rows.last().map_or(last, TrainingRow::order);
        // With few rows there is nothing to spare.
        let held_out = if self.before {
            taken.saturating_sub(self.training)
        } else if taken < self.training + self.hold_out {
            taken * self.hold_out / (self.training + self.hold_out)
        } else {
            self.hold_out
        };
        let (mut training, mut compared) = (Vec::new(), Vec::new());
        for (at, row) in rows.into_iter().enumerate() {
            // Evenly: as many have been held out before this row as belong to its share.
            let is_held_out = if self.before {
                at < held_out
            } else {
                (at + 1) * held_out / taken > at * held_out / taken
            };
            if is_held_out { compared.push(row) } else { training.push(row) }
        }
        let end = |row: Option<&TrainingRow>| row.map(|row| row.joined.time);
        let times = end(training.first()).zip(end(training.last()));
        let usable = |rows: &[TrainingRow]| -> Vec<Row> {
            rows.iter().filter_map(|row| usable(&row.joined)).collect()
        };
        let (all, training) = (training.len(), usable(&training));
        Rows {
            left_out: (all - training.len()) as u64,
            training,
            held_out: usable(&compared),
            times,
            selection: Selection {
                taken: taken as u64,
                last: (newest.time, newest.position.partition, newest.position.offset),
                held_out: held_out as u64,
                before: self.before,
            },
        }
    }
}

/// A stored row as the trainer takes it; none if a number is not finite.
fn usable(joined: &Joined) -> Option<Row> {
    let measurement = &joined.prediction.measurement;
    let finite =
        measurement.features.iter().all(|value| value.is_finite()) && joined.actual.is_finite();
    finite.then(|| Row {
        id: measurement.key.to_string(),
        features: measurement.features.clone(),
        level: measurement.level.clone(),
        target: joined.actual,
    })
}
