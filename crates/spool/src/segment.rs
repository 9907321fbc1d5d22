//! Segments: their names, their headers, and the list of them that stays in memory.
//!
//! A segment owns the numbers from its first up to the next segment's first: what a file holds beyond is not looked at. The
//! header stands twice, so that one flipped bit does not cost a segment. It is durable before the first frame is written.
//!
//! Invariant of [`Segments`]: `first < end` but for the newest, and each `end` is the next one's `first`.

use std::collections::VecDeque;

use weir_events::Epoch;

use crate::frame::{array_at, u32_at, u64_at};

const MAGIC: [u8; 8] = *b"WeirSpol";
/// The version of the format.
pub(crate) const FORMAT: u32 = 1;
const COPY: usize = 44;
/// Bytes before the first frame.
pub(crate) const HEADER: usize = 2 * COPY;
const SUFFIX: &str = ".seg";
/// Numbers above are refused wherever they come from, so that adding to a number does not overflow.
pub(crate) const SEQ_MAX: u64 = 1 << 62;

/// The file's name.
pub(crate) fn name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// The first number of the segment that is called so; `None` for other files.
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20)?;
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    let first: u64 = all_digits.then(|| digits.parse().ok())??;
    (1..=SEQ_MAX).contains(&first).then_some(first)
}

/// What a segment says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) epoch: Epoch,
    pub(crate) first: u64,
    /// The largest payload: a frame that says more is damaged.
    pub(crate) payload_max: u32,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..28].copy_from_slice(self.epoch.as_bytes());
        bytes[28..36].copy_from_slice(&self.first.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.payload_max.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..40]);
        bytes[40..COPY].copy_from_slice(&sum.to_le_bytes());
        bytes.copy_within(..COPY, COPY);
        bytes
    }

    /// Reads the first copy that is intact; `Err` is the version of a format that is not known.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, u32> {
        let intact = bytes
            .chunks_exact(COPY)
            .take(2)
            .find(|copy| copy[..8] == MAGIC && u32_at(copy, 40) == crc32c::crc32c(&copy[..40]));
        let Some(copy) = intact else { return Ok(None) };
        match u32_at(copy, 8) {
            FORMAT => Ok(Some(Self {
                epoch: Epoch::from_bytes(array_at(copy, 12)),
                first: u64_at(copy, 28),
                payload_max: u32_at(copy, 36),
            })),
            other => Err(other),
        }
    }
}

/// What is known of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) first: u64,
    /// The first number that is not its own.
    pub(crate) end: u64,
    /// If it is not readable: that of the records around it.
    pub(crate) epoch: Epoch,
    pub(crate) payload_max: u32,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// No copy of its header is intact.
    pub(crate) readable: bool,
}

/// All segments, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    list: VecDeque<Segment>,
    bytes: u64,
}

impl Segments {
    pub(crate) fn push(&mut self, segment: Segment) {
        self.bytes += segment.bytes;
        self.list.push_back(segment);
    }

    pub(crate) fn pop_front(&mut self) -> Option<Segment> {
        let segment = self.list.pop_front()?;
        self.bytes -= segment.bytes;
        Some(segment)
    }

    pub(crate) fn pop_back(&mut self) -> Option<Segment> {
        let segment = self.list.pop_back()?;
        self.bytes -= segment.bytes;
        Some(segment)
    }

    pub(crate) fn front(&self) -> Option<&Segment> {
        self.list.front()
    }

    pub(crate) fn back(&self) -> Option<&Segment> {
        self.list.back()
    }

    /// The newest one has grown or shrunk.
    pub(crate) fn set_back(&mut self, end: u64, bytes: u64) {
        if let Some(back) = self.list.back_mut() {
            self.bytes = self.bytes - back.bytes + bytes;
            (back.end, back.bytes) = (end, bytes);
        }
    }

    /// The one that owns the number.
    pub(crate) fn owner(&self, seq: u64) -> Option<&Segment> {
        let after = self.list.partition_point(|segment| segment.first <= seq);
        self.list.get(after.checked_sub(1)?).filter(|segment| seq < segment.end)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.list.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}
