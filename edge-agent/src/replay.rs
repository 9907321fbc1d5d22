//! Recorded events, from files.
//!
//! [`lines`] replays two files of JSON lines, one of measurements and one of targets; [`table`] replays a CSV
//! file whose rows hold both. Files without timestamps get some: see [`Timing`]. Files with timestamps
//! keep theirs, and are sent unchanged.
//!
//! A replay never judges its input: what is malformed is sent as it is, for the bridge to set aside, and
//! disturbs none of its neighbours. The files are read twice (once to see whether they carry timestamps),
//! so they must not change meanwhile and cannot be pipes; a line at a time, so they may be large. Only
//! the keys of a file of measurements are held in memory, and only if the targets have no times.

mod lines;
mod table;

use weir_events::EventTime;

use crate::payload::believed;
use crate::schedule::Timing;

pub use lines::lines;
pub use table::table;

/// The times that a replay goes by.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// When events happen that bring no time.
    pub timing: Timing,
    /// The present. A recorded time more than 5 s ahead of it is not believed.
    pub now: EventTime,
}

impl Clocks {
    /// A recorded time, if it is believed.
    fn believed(&self, time: EventTime) -> Option<EventTime> {
        believed(time, self.now)
    }
}

/// Where one file's events stand in time: at their own, or at their predecessor's if they have none.
#[derive(Clone, Copy, Debug)]
struct Hand(EventTime);

impl Hand {
    fn advance(&mut self, own: Option<EventTime>) -> EventTime {
        self.0 = own.unwrap_or(self.0);
        self.0
    }
}
