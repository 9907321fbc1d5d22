//! What Weir decides from streams of events: the join of predictions with targets, the detectors that
//! watch the joined rows and ask for a retraining, and which partitions are not to be waited for.
//!
//! Everything here is a synchronous state machine: events in, results out. No I/O, no clock, no
//! randomness; time is the event's own, or for [`IdleWatch`] an argument. The shell that feeds these machines reads Kafka, writes what
//! they return, and commits the offsets that they name.
//!
//! State is kept in memory only. What a crash destroys is rebuilt by rereading: each machine says
//! how far back the shell must start again ([`Join::hold_back`], [`Detectors::checkpoint`]). Results
//! that are produced again then carry the ids they had.

mod detect;
mod idle;
mod join;

pub use detect::{
    Checkpoint, CheckpointError, Closing, Comparison, ComparisonConfig, Detector, DetectorOutput,
    Detectors, Ignored, TumblingMean, TumblingMeanConfig, UnseenLevel, UnseenLevelConfig,
};
pub use idle::IdleWatch;
pub use join::{Join, JoinConfig, JoinCounts, JoinOutput, SideCounts};
