//! What a caller chooses, and which choices fit together.

use crate::error::OpenError;
use crate::{frame, segment};

/// The most that waits in memory for a commit, unless one record is larger. At 200 bytes a record these are 4,000 records
/// for each fsync, beyond what any card's fsync needs; and an agent lives in a few megabytes.
const BUFFER_BYTES: u64 = 1 << 20;

/// Sizes and policy of a spool. They may differ from one opening to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// A segment is not continued beyond this size. At least twice the largest record with its frame.
    pub segment_bytes: u64,
    /// The most that all segments take together with what waits in memory. At least two segments.
    pub quota_bytes: u64,
    /// What happens when the quota is used up or the disk is full.
    pub policy: Policy,
    /// The largest payload.
    pub record_bytes_max: u32,
}

/// What happens when the quota is used up or the disk is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// Nothing more is taken until something was released.
    Block,
    /// The oldest segment is dropped, counted, and told as a gap.
    DropOldest,
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let record = segment::HEADER as u64 + self.frame_bytes_max();
        if self.segment_bytes / 2 < record {
            return Err(OpenError::Settings("segment-bytes is below two of the largest records"));
        }
        if self.quota_bytes / 2 < self.segment_bytes {
            return Err(OpenError::Settings("quota-bytes is below two segments"));
        }
        Ok(())
    }

    /// Half a segment at most: with a quota of two segments there is always a sealed one to drop.
    pub(crate) fn buffer_bytes(&self) -> u64 {
        BUFFER_BYTES.min(self.segment_bytes / 2).max(self.frame_bytes_max())
    }

    fn frame_bytes_max(&self) -> u64 {
        frame::HEAD as u64 + u64::from(self.record_bytes_max)
    }
}
