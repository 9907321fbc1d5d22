//! Rows whose level the model does not know: after so many of them, the level should be learned.
//!
//! Such rows have no error, so that no window's mean shows them. They are counted across all
//! partitions; when `rows` of them are together, that is a trigger, and counting starts afresh.
//!
//! A row is counted once. The ids of the rows counted are remembered until the trigger; after it, rows
//! older than the newest that caused it belong to the past and are left out, repeated or not. So the
//! memory is bounded by the count, and rows that come late at that moment are the price.
//!
//! The trigger's id is that of the row that completed the count: two triggers may begin at the same time.
//!
//! Restart: the rows counted since the last trigger are reread, and how far that trigger reached is in
//! the committed state.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_events::{EventId, EventTime, Joined, Key, Missing, Outcome, RowPosition, Trigger};

use super::{Detector, DetectorOutput, Ignored};

/// How many rows are enough.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnseenLevelConfig {
    /// Rows of an unseen level that make a trigger; at least one.
    pub rows: u64,
}

impl Default for UnseenLevelConfig {
    fn default() -> Self {
        Self { rows: 10 }
    }
}

/// The detector `unseen-level`.
#[derive(Debug)]
pub struct UnseenLevel {
    config: UnseenLevelConfig,
    /// The rows counted, in order of arrival.
    counted: Vec<Counted>,
    ids: BTreeSet<EventId>,
    past: State,
    ignored: Ignored,
}

#[derive(Debug)]
struct Counted {
    position: RowPosition,
    time: EventTime,
    id: EventId,
    key: Key,
    level: Option<Arc<str>>,
}

/// How far the triggers so far have reached.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// The time of the newest row that caused one.
    until: EventTime,
    /// The newest rows of exactly that time among them, oldest first.
    ids: VecDeque<EventId>,
}

impl State {
    /// Ids that fit into the commit that carries them: Kafka allows 4096 bytes for all detectors. A row
    /// that is forgotten may count again, which at worst is one more retraining.
    const IDS_MAX: usize = 64;

    fn remember(&mut self, ids: impl IntoIterator<Item = EventId>) {
        for id in ids {
            if !self.ids.contains(&id) {
                self.ids.push_back(id);
            }
        }
        self.ids.drain(..self.ids.len().saturating_sub(Self::IDS_MAX));
    }
}

impl UnseenLevel {
    /// The detector's name.
    pub const NAME: &str = "unseen-level";

    /// A detector that has counted nothing.
    pub fn new(config: UnseenLevelConfig) -> Self {
        Self {
            config,
            counted: Vec::new(),
            ids: BTreeSet::new(),
            past: State { until: EventTime::MIN, ids: VecDeque::new() },
            ignored: Ignored::default(),
        }
    }

    /// Makes the trigger of the rows counted, and starts afresh.
    fn fire(&mut self) -> Option<Trigger> {
        let counted = std::mem::take(&mut self.counted);
        self.ids.clear();
        let closing = counted.last()?;
        // Of rows with the same time the one that arrived first comes first.
        let first = counted.iter().min_by_key(|row| row.time)?;
        let last = counted.iter().max_by_key(|row| row.time)?;
        if last.time > self.past.until {
            self.past = State { until: last.time, ids: VecDeque::new() };
        }
        let newest = counted.iter().filter(|row| row.time == last.time);
        self.past.remember(newest.map(|row| row.id));
        let levels: BTreeSet<&str> =
            counted.iter().filter_map(|row| row.level.as_deref()).collect();
        Some(Trigger {
            id: format!("{}/{}", Self::NAME, closing.id),
            detector: Self::NAME.into(),
            levels: levels.into_iter().map(Into::into).collect(),
            first: first.key.clone(),
            last: last.key.clone(),
            mean_error: None,
            rows: counted.len() as u64,
            start: first.time,
            end: last.time,
            closed_by: closing.id,
            closed_at: closing.time,
            position: closing.position,
        })
    }
}

impl Detector for UnseenLevel {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn observe(&mut self, position: RowPosition, row: &Joined) -> Vec<DetectorOutput> {
        if row.prediction.outcome != Outcome::Missing(Missing::UnseenLevel) {
            return Vec::new();
        }
        let measurement = &row.prediction.measurement;
        if row.time < self.past.until {
            self.ignored.late += 1;
            return Vec::new();
        }
        let is_past = row.time == self.past.until && self.past.ids.contains(&measurement.id);
        if is_past || !self.ids.insert(measurement.id) {
            self.ignored.repeated += 1;
            return Vec::new();
        }
        self.counted.push(Counted {
            position,
            time: row.time,
            id: measurement.id,
            key: measurement.key.clone(),
            level: measurement.level.clone(),
        });
        if (self.counted.len() as u64) < self.config.rows {
            return Vec::new();
        }
        self.fire().map(DetectorOutput::Trigger).into_iter().collect()
    }

    fn hold_back(&self, partition: i32) -> Option<i64> {
        let of_partition = self.counted.iter().filter(|row| row.position.partition == partition);
        of_partition.map(|row| row.position.offset).min()
    }

    fn state(&self) -> Value {
        serde_json::json!(self.past)
    }

    fn restore(&mut self, state: &Value) -> Result<(), serde_json::Error> {
        let state = State::deserialize(state)?;
        if state.until > self.past.until {
            self.past = state;
        } else if state.until == self.past.until {
            self.past.remember(state.ids);
        }
        Ok(())
    }

    fn ignored(&self) -> Ignored {
        self.ignored
    }
}
