//! What Weir decides from streams of events: the join of predictions with targets, and the
//! detectors that watch the joined rows and ask for a retraining.
//!
//! Everything here is a synchronous state machine: events in, results out. No I/O, no clock, no
//! randomness; time is the event's own. The shell that feeds these machines reads Kafka, writes what
//! they return, and commits the offsets that they name.
//!
//! State is kept in memory only. What a crash destroys is rebuilt by rereading: each machine says
//! how far back the shell must start again ([`Join::hold_back`], [`Detectors::checkpoint`]). Results
//! that are produced again then carry the ids they had.

mod detect;
mod join;

pub use detect::{
    Checkpoint, CheckpointError, Detector, DetectorOutput, Detectors, Ignored, TumblingMean,
    TumblingMeanConfig, UnseenLevel, UnseenLevelConfig,
};
pub use join::{Join, JoinConfig, JoinCounts, JoinOutput, SideCounts};
