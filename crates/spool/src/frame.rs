//! The form of one record in a segment. The numbers are those of the drawing in the crate's documentation.
//!
//! The checksum begins with that of the segment's epoch: what belongs to another epoch is never taken for a frame of this
//! one. It says nothing about an adversary.

use weir_events::Epoch;

use crate::record::{Entry, Position};

/// Bytes before the payload.
pub(crate) const HEAD: usize = 41;
/// Where that begins which the checksum covers, beside the length.
const COVERED: usize = 8;

/// What a frame says, apart from its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    /// Bytes of the payload.
    pub(crate) length: u32,
    pub(crate) seq: u64,
    pub(crate) kind: u8,
    pub(crate) at: i64,
    pub(crate) position: Position,
}

/// What the checksums of an epoch begin with.
pub(crate) fn seed(epoch: Epoch) -> u32 {
    crc32c::crc32c(epoch.as_bytes())
}

/// Appends the frame of an entry. The payload's length was checked.
pub(crate) fn encode(seed: u32, seq: u64, entry: &Entry<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let length = u32::try_from(entry.payload.len()).expect("at most record_bytes_max");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&seq.to_le_bytes());
    out.push(entry.kind);
    out.extend_from_slice(&entry.at.to_le_bytes());
    out.extend_from_slice(&entry.position.file.to_le_bytes());
    out.extend_from_slice(&entry.position.offset.to_le_bytes());
    out.extend_from_slice(entry.payload);
    let sum = checksum(seed, length, &out[start + COVERED..]);
    out[start + 4..start + COVERED].copy_from_slice(&sum.to_le_bytes());
}

/// Whether `frame` is whole and what was written.
pub(crate) fn is_intact(seed: u32, frame: &[u8]) -> bool {
    let Some(length) = frame.len().checked_sub(HEAD).and_then(|n| u32::try_from(n).ok()) else {
        return false;
    };
    u32_at(frame, 0) == length && has_checksum_for(seed, length, frame)
}

/// Whether all but the length is what was written, if `length` was.
pub(crate) fn has_checksum_for(seed: u32, length: u32, frame: &[u8]) -> bool {
    u32_at(frame, 4) == checksum(seed, length, &frame[COVERED..])
}

fn checksum(seed: u32, length: u32, covered: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &length.to_le_bytes()), covered)
}

impl Head {
    /// Reads what the first [`HEAD`] bytes say, be it true or not.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self {
            length: u32_at(bytes, 0),
            seq: u64_at(bytes, 8),
            kind: bytes[16],
            at: i64::from_le_bytes(array_at(bytes, 17)),
            position: Position { file: u64_at(bytes, 25), offset: u64_at(bytes, 33) },
        }
    }

    /// Bytes of the whole frame.
    pub(crate) fn frame_bytes(&self) -> u64 {
        HEAD as u64 + u64::from(self.length)
    }
}

pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("N bytes")
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}
