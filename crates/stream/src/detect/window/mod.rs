//! The mean error of tumbling windows: the original pipeline's rule for when to retrain.
//!
//! Windows have one length, are aligned to the Unix epoch and reach from their start to just before
//! the next one's, over the rows' event time, across all partitions. [`Closing`] says when one closes.
//! Rows without an error close windows like others, but are not in the mean; a window without any error
//! is not reported.
//!
//! # The first row of a later window closes: [`Closing::FirstRow`]
//!
//! ```text
//!   rows   a b  c   d │  e   f           a..d: the open window [08:00, 08:01)
//!   ──────────────────┼───────────►      e:    closes it, opens the next
//!                   08:01                f:    if of the first window: late, counted, left out
//! ```
//!
//! The original's rule, and the default. One window is open; the row may be of any partition. Across
//! partitions the order of arrival decides which rows are late: the rule is exact for one partition.
//!
//! # Every partition closes: [`Closing::EveryPartition`]
//!
//! The *progress* of a partition is the largest event time of its rows. With `E` the end of a window and
//! `G` the grace,
//!
//! - a row is **late** if `E + G` of its window is at or below the progress of *its own* partition before
//!   it, or if the window is closed already, which without idleness implies the former;
//! - a window **closes** when the smallest progress over all partitions that are not idle reaches `E + G`.
//!   A partition that is assigned and of which nothing came has no progress, and holds every window
//!   open. When all are idle, every open window closes.
//!
//! ```text
//!                     [ window  )◄── G ──►│
//!   partition 0  ───────────────────────────●              progress beyond E + G: more rows are late
//!   partition 1  ────────────●                             holds the window open, its rows are in time
//!   partition 2  ──────● idle                              is not waited for
//! ```
//!
//! So while no partition is idle, the rows of a window, and with it all that is reported of it, depend on
//! the order within each partition alone, to the bit: errors are summed by time and id. The exception
//! is the row that a trigger names as the one that closed the window: it is the row whose arrival moved
//! the slowest progress, or the newest row seen if idleness closed the window.
//!
//! An id counts once in a window. A repetition that comes after its window has closed is late.
//!
//! ## How much grace
//!
//! With `G >= W + L`, the join's `within` and `lateness`, no joined row is late but to an idle partition
//! that resumes. Proof: let the row `r1` be written before `r2` in a partition. When `r1` was, at least one
//! event `x` of `r2` had not been read, or `r2` would have been written first. Let `y` be the event of `r1`
//! on the side of `x`; it had been read. `x` is not late there, so `time(x) >= time(y) - L`. The events of
//! `r1` are at most `W` apart, so `time(r1) <= time(y) + W`. And `time(r2) >= time(x)`. Together,
//!
//! ```text
//!   time(r1) - time(r2)  <=  (time(y) + W) - (time(y) - L)  =  W + L
//! ```
//!
//! so that the progress before `r2` is at most `time(r2) + W + L < E + G`. Restarts of the join change
//! nothing: which events are late depends on their topic alone, and the order within a topic stays.
//!
//! ## Restart
//!
//! The rows of open windows are reread, repetitions too; the *floor*, the start of the first window that is
//! not closed, is in the committed state. Progress is not: rereading brings it back wherever it matters.
//! For let `p` be a partition's progress. If its window is open, the row that set it is reread. If not,
//! `p` lies below the floor, and then
//!
//! - `p` makes no row late that the floor does not: `E + G <= p` puts the row's window below the floor;
//! - `p` closes no window, like no progress at all: open windows end above the floor.
//!
//! Rows that are reread are judged by the progress that they set again, as they were the first time; with
//! the last progress in the state they would all be late. Nor do they close a window that was open at
//! the newest commit: no partition is known to be idle or farther than it was then. So the outputs before
//! a crash and after it, as a set, are those without one, but for the row that closed. (A row may be late
//! to a window that only idleness closed, and yet in it after a crash that undid the closing.)
//!
//! A change of the rule between two runs is harmless, but to the windows open at that moment.
//!
//! ## Bounds
//!
//! Nothing is evicted. A partition far behind holds windows open while others fill them, so
//! [`Detector::is_ahead`] asks to pause a partition whose progress is more than `ahead_max` beyond the
//! slowest one, or beyond the start of the oldest open window while some partition has none. Open windows
//! thus hold the rows of `length + G + ahead_max` of event time, and what the shell had read already. The
//! slowest partition is never ahead, so reading does not come to a standstill by itself; it does if a
//! partition is silent for ever and is never called idle. A partition that is paused is not idle, so
//! partitions that end one behind the other become idle one after the other.

mod contents;
mod progress;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_events::{EventId, EventTime, Joined, RowPosition, Trigger, WindowClosed};

use super::{Detector, DetectorOutput, Ignored};
use contents::{Contents, Summary};
use progress::{Partitions, Slowest};

/// When a window closes, and which rows are late to it. The head of the module has the definitions.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Closing {
    /// With the first row of a later window, in any partition.
    #[default]
    FirstRow,
    /// When every partition that is not idle has come past the end.
    EveryPartition {
        /// How far past the end, in event time. At least `within + lateness` of the join.
        grace: Duration,
        /// How far ahead of the slowest partition, in event time, another one is read.
        ahead_max: Duration,
    },
}

/// How long windows are, when they close, and how bad is too bad.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TumblingMeanConfig {
    /// The length of a window; at least a microsecond.
    pub length: Duration,
    /// A window whose mean error is above this, strictly, triggers.
    pub threshold: f64,
    /// When a window closes.
    pub closing: Closing,
}

impl Default for TumblingMeanConfig {
    fn default() -> Self {
        Self { length: Duration::from_secs(60), threshold: 0.15, closing: Closing::FirstRow }
    }
}

/// The detector `window-mean`.
#[derive(Debug)]
pub struct TumblingMean {
    config: TumblingMeanConfig,
    /// Windows that start before this are closed.
    floor: EventTime,
    /// By start, none below the floor.
    open: BTreeMap<EventTime, Contents>,
    partitions: Partitions,
    newest: Option<Closer>,
    ignored: Ignored,
}

/// The row that a trigger names as the one that closed the window. Ordered by time, then position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Closer {
    time: EventTime,
    position: RowPosition,
    id: EventId,
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
            open: BTreeMap::new(),
            partitions: Partitions::default(),
            newest: None,
            ignored: Ignored::default(),
        }
    }

    /// The end of the window with this start.
    fn end(&self, start: EventTime) -> EventTime {
        start.plus(self.config.length)
    }

    /// Closes what the slowest partition lets close.
    fn close_passed(&mut self, grace: Duration, closer: Closer) -> Vec<DetectorOutput> {
        let floor = match self.partitions.slowest() {
            Slowest::Unknown => return Vec::new(),
            // The first window with `E + G` above it.
            Slowest::At(progress) => progress.minus(grace).window_start(self.config.length),
            Slowest::None => match self.open.last_key_value() {
                Some((&start, _)) => self.end(start),
                None => return Vec::new(),
            },
        };
        self.close_before(floor, closer)
    }

    /// Closes the windows that start before this, oldest first.
    fn close_before(&mut self, floor: EventTime, closer: Closer) -> Vec<DetectorOutput> {
        self.floor = self.floor.max(floor);
        let mut outputs = Vec::new();
        while let Some(first) = self.open.first_entry()
            && *first.key() < self.floor
        {
            let (start, contents) = first.remove_entry();
            outputs.extend(self.report(start, contents, closer));
        }
        outputs
    }

    fn report(
        &self,
        start: EventTime,
        mut contents: Contents,
        closer: Closer,
    ) -> Vec<DetectorOutput> {
        if self.config.closing != Closing::FirstRow {
            contents.sort();
        }
        let Some(Summary { rows, mean, levels, first, last }) = contents.summary() else {
            return Vec::new();
        };
        let end = self.end(start);
        let triggered = mean > self.config.threshold;
        let closed = WindowClosed { start, end, rows, mean_error: mean, triggered };
        let mut outputs = vec![DetectorOutput::Window(closed)];
        if triggered {
            outputs.push(DetectorOutput::Trigger(Trigger {
                id: format!("{}/{start}", Self::NAME),
                detector: Self::NAME.into(),
                levels: levels.iter().map(|level| level.as_ref().into()).collect(),
                first,
                last,
                mean_error: Some(mean),
                rows,
                start,
                end,
                closed_by: closer.id,
                closed_at: closer.time,
                position: closer.position,
            }));
        }
        outputs
    }
}

impl Detector for TumblingMean {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn assign(&mut self, partitions: &[i32]) {
        partitions.iter().for_each(|&partition| self.partitions.assign(partition));
    }

    fn observe(&mut self, position: RowPosition, row: &Joined) -> Vec<DetectorOutput> {
        let id = row.prediction.measurement.id;
        let closer = Closer { time: row.time, position, id };
        self.newest = self.newest.max(Some(closer));
        let start = row.time.window_start(self.config.length);
        let before = self.partitions.advance(position.partition, row.time);
        let is_late = match self.config.closing {
            Closing::FirstRow => start < self.floor,
            Closing::EveryPartition { grace, .. } => {
                start < self.floor || before.is_some_and(|at| self.end(start).plus(grace) <= at)
            }
        };
        if is_late {
            self.ignored.late += 1;
        } else if !self.open.entry(start).or_default().add(position, row) {
            self.ignored.repeated += 1;
        }
        match self.config.closing {
            Closing::FirstRow => self.close_before(start, closer),
            Closing::EveryPartition { grace, .. } => self.close_passed(grace, closer),
        }
    }

    fn set_idle(&mut self, partition: i32, is_idle: bool) -> Vec<DetectorOutput> {
        self.partitions.set_idle(partition, is_idle);
        match (self.config.closing, self.newest) {
            (Closing::EveryPartition { grace, .. }, Some(newest)) => {
                self.close_passed(grace, newest)
            }
            _ => Vec::new(),
        }
    }

    fn is_ahead(&self, partition: i32) -> bool {
        let Closing::EveryPartition { ahead_max, .. } = self.config.closing else { return false };
        let slowest = match self.partitions.slowest() {
            Slowest::Unknown => self.open.first_key_value().map(|(&start, _)| start),
            Slowest::At(progress) => Some(progress),
            Slowest::None => None,
        };
        let progress = self.partitions.progress(partition);
        slowest.is_some_and(|slowest| progress > Some(slowest.plus(ahead_max)))
    }

    fn hold_back(&self, partition: i32) -> Option<i64> {
        self.open.values().filter_map(|contents| contents.hold_back(partition)).min()
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
