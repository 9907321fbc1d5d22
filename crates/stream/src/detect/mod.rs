//! Detectors: they watch the joined rows and ask for a retraining.
//!
//! A [`Detector`] sees the rows of every partition, each with its position, in the order in which
//! they were stored. [`Detectors`] runs several of them over the same rows and says what must be
//! committed so that all can be rebuilt after a restart. Those here: [`TumblingMean`], the mean error
//! of each window, [`UnseenLevel`], rows whose level the model does not know, and [`Comparison`], two
//! versions on the same rows. Another one implements the trait.

mod compare;
mod compose;
mod sum;
mod unseen;
mod window;

use std::fmt::Debug;

use serde_json::Value;
use weir_events::{Compared, Joined, RowPosition, Trigger, WindowClosed};

pub use compare::{Comparison, ComparisonConfig};
pub use compose::{Checkpoint, CheckpointError, Detectors};
pub use unseen::{UnseenLevel, UnseenLevelConfig};
pub use window::{Closing, TumblingMean, TumblingMeanConfig};

/// What a detector reports.
#[derive(Clone, PartialEq, Debug)]
pub enum DetectorOutput {
    /// A window has closed.
    Window(WindowClosed),
    /// The model should be trained anew. Its id is the same when the rows are read again.
    Trigger(Trigger),
    /// Two versions have answered the same rows.
    Compared(Compared),
}

/// Rows that a detector has left out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ignored {
    /// Rows of a time that the detector is done with. A repetition of so old a row is counted here.
    pub late: u64,
    /// Rows whose id it had seen already.
    pub repeated: u64,
}

/// A state machine over joined rows.
///
/// After a restart its state is what [`Detector::restore`] brings back, and then what the rows from
/// [`Detector::hold_back`] on make of it: no earlier row is shown to it again.
pub trait Detector: Debug + Send {
    /// The name in triggers and configuration; unique among the detectors of a process.
    fn name(&self) -> &'static str;

    /// Learns which partitions there are, before the first row. For detectors that wait for all of them.
    fn assign(&mut self, _partitions: &[i32]) {}

    /// Takes the next row. The offsets of a partition must rise. Its partition is not idle.
    fn observe(&mut self, position: RowPosition, row: &Joined) -> Vec<DetectorOutput>;

    /// Learns that a partition is idle, so that nothing is to be waited for, or no longer. Every
    /// partition begins as not idle. Not called while rows are reread.
    fn set_idle(&mut self, _partition: i32, _is_idle: bool) -> Vec<DetectorOutput> {
        Vec::new()
    }

    /// Whether a partition is so far ahead of others that it should not be read for now. Never true
    /// of all that are not idle.
    fn is_ahead(&self, _partition: i32) -> bool {
        false
    }

    /// The lowest offset of a partition that must be reread to rebuild the state; none if no row of it
    /// is needed.
    fn hold_back(&self, partition: i32) -> Option<i64>;

    /// The part of the state that rereading does not bring back. Small: it is committed with each
    /// offset, and Kafka allows 4096 bytes for all detectors.
    fn state(&self) -> Value;

    /// Takes back what [`Detector::state`] gave, once for each partition, before the first row.
    ///
    /// # Errors
    /// If the value is not of the form that `state` gives. The detector is unchanged then.
    fn restore(&mut self, state: &Value) -> Result<(), serde_json::Error>;

    /// The rows left out so far.
    fn ignored(&self) -> Ignored;
}
