//! The mean error of tumbling windows: the original pipeline's rule for when to retrain.
//!
//! Windows have one length, are aligned to the Unix epoch and reach from their start to just before
//! the next one's, over the rows' event time, across all partitions. One window is open. The first row
//! of a later window, in any partition, closes it (grace zero); a timer closes none.
//!
//! ```text
//!   rows   a b  c   d │  e   f           a..d: the open window [08:00, 08:01)
//!   ──────────────────┼───────────►      e:    closes it, opens the next
//!                   08:01                f:    if of the first window: late, counted, left out
//! ```
//!
//! Rows without an error close windows like others, but are not in the mean; a window without any
//! error is not reported. Across partitions the order of arrival decides which rows are late: the rule
//! is exact for one partition, the default.
//!
//! Restart: the rows of the open window are reread, and its start is in the committed state, so that a
//! closed window is never opened again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_events::{EventId, EventTime, Joined, Key, RowPosition, Trigger, WindowClosed};

use super::sum::Sum;
use super::{Detector, DetectorOutput, Ignored};

/// How long windows are, and how bad is too bad.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TumblingMeanConfig {
    /// The length of a window; at least a microsecond.
    pub length: Duration,
    /// A window whose mean error is above this, strictly, triggers.
    pub threshold: f64,
}

impl Default for TumblingMeanConfig {
    fn default() -> Self {
        Self { length: Duration::from_secs(60), threshold: 0.15 }
    }
}

/// The detector `window-mean`.
#[derive(Debug)]
pub struct TumblingMean {
    config: TumblingMeanConfig,
    /// Windows that start before this are closed.
    floor: EventTime,
    open: Option<Window>,
    ignored: Ignored,
}

/// The open window.
#[derive(Debug)]
struct Window {
    start: EventTime,
    errors: Sum,
    levels: BTreeSet<Arc<str>>,
    first: Option<(EventTime, Key)>,
    last: Option<(EventTime, Key)>,
    ids: HashSet<EventId>,
    hold_back: HashMap<i32, i64>,
}

#[derive(Serialize, Deserialize)]
struct State {
    floor: EventTime,
}

impl TumblingMean {
    /// The detector's name.
    pub const NAME: &str = "window-mean";

    /// A detector with no window open.
    pub fn new(config: TumblingMeanConfig) -> Self {
        let length = config.length.max(Duration::from_micros(1));
        Self {
            config: TumblingMeanConfig { length, ..config },
            floor: EventTime::MIN,
            open: None,
            ignored: Ignored::default(),
        }
    }

    fn close(&self, window: Window, position: RowPosition, row: &Joined) -> Vec<DetectorOutput> {
        let (Some(mean), Some((_, first)), Some((_, last))) =
            (window.errors.mean(), window.first, window.last)
        else {
            return Vec::new();
        };
        let (start, end) = (window.start, window.start.plus(self.config.length));
        let rows = window.errors.count();
        let triggered = mean > self.config.threshold;
        let closed = WindowClosed { start, end, rows, mean_error: mean, triggered };
        let mut outputs = vec![DetectorOutput::Window(closed)];
        if triggered {
            outputs.push(DetectorOutput::Trigger(Trigger {
                id: format!("{}/{start}", Self::NAME),
                detector: Self::NAME.into(),
                levels: window.levels.iter().map(|level| level.as_ref().into()).collect(),
                first,
                last,
                mean_error: Some(mean),
                rows,
                start,
                end,
                closed_by: row.prediction.measurement.id,
                closed_at: row.time,
                position,
            }));
        }
        outputs
    }
}

impl Detector for TumblingMean {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn observe(&mut self, position: RowPosition, row: &Joined) -> Vec<DetectorOutput> {
        let start = row.time.window_start(self.config.length);
        if start < self.floor {
            self.ignored.late += 1;
            return Vec::new();
        }
        self.floor = start;
        let earlier = self.open.take_if(|window| window.start < start);
        let outputs = earlier.map_or_else(Vec::new, |window| self.close(window, position, row));
        let window = self.open.get_or_insert_with(|| Window::new(start));
        if !window.add(position, row) {
            self.ignored.repeated += 1;
        }
        outputs
    }

    fn hold_back(&self, partition: i32) -> Option<i64> {
        self.open.as_ref()?.hold_back.get(&partition).copied()
    }

    fn state(&self) -> Value {
        serde_json::json!(State { floor: self.floor })
    }

    fn restore(&mut self, state: &Value) -> Result<(), serde_json::Error> {
        let State { floor } = State::deserialize(state)?;
        self.floor = self.floor.max(floor);
        Ok(())
    }

    fn ignored(&self) -> Ignored {
        self.ignored
    }
}

impl Window {
    fn new(start: EventTime) -> Self {
        Self {
            start,
            errors: Sum::default(),
            levels: BTreeSet::new(),
            first: None,
            last: None,
            ids: HashSet::new(),
            hold_back: HashMap::new(),
        }
    }

    /// Takes a row in; false if it is a repetition.
    fn add(&mut self, position: RowPosition, row: &Joined) -> bool {
        let measurement = &row.prediction.measurement;
        if !self.ids.insert(measurement.id) {
            return false;
        }
        // Offsets rise: the first is the lowest.
        self.hold_back.entry(position.partition).or_insert(position.offset);
        let Some(error) = row.error else { return true };
        self.errors.add(error);
        self.levels.extend(measurement.level.clone());
        // Of rows with the same time, the first to arrive is the first and the last the last.
        if self.first.as_ref().is_none_or(|(time, _)| row.time < *time) {
            self.first = Some((row.time, measurement.key.clone()));
        }
        if self.last.as_ref().is_none_or(|(time, _)| row.time >= *time) {
            self.last = Some((row.time, measurement.key.clone()));
        }
        true
    }
}
