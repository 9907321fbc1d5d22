//! Several detectors over the same rows, and what to commit so that all of them can be rebuilt.
//!
//! One offset is committed for a partition, the lowest that any detector needs. A row that only one
//! of them needs must not be shown to the others again: a window reopened with half of its rows
//! would report another mean. So the commit carries a text that says where each detector goes on.
//!
//! It also names the last row seen of the partition. After a restart, new rows of one partition wait
//! until the others have been reread up to theirs; else they would close the open window before its
//! rows are back. Meanwhile [`Detectors::is_waiting`] asks the shell to pause such a partition. Nor is
//! any partition idle for the detectors in that time: what is said of it takes effect afterwards.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_events::{Joined, RowPosition};

use super::{Detector, DetectorOutput, Ignored};

/// What to commit for a partition of joined rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The offset to start again at.
    pub offset: i64,
    /// The commit's metadata: where each detector goes on. JSON.
    pub metadata: String,
}

/// Metadata of a commit that these detectors did not write.
#[derive(Debug, thiserror::Error)]
#[error("read the checkpoint of the detectors")]
pub struct CheckpointError(#[from] serde_json::Error);

/// The form of the metadata.
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    /// The last row to be reread; none if no row is.
    last: Option<i64>,
    detectors: BTreeMap<String, Part>,
}

/// What belongs to one detector: the first row it is to see again, and its state.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    from: i64,
    state: Value,
}

/// One partition, from its resumption or first row on.
#[derive(Debug, Default)]
struct Partition {
    /// By detector, the first row it is to see again.
    from: BTreeMap<String, i64>,
    /// While rows are reread, the last of them.
    reread_to: Option<i64>,
    /// The last row shown to the detectors.
    last: Option<i64>,
}

/// Detectors that run over the same rows, in this order.
#[derive(Debug)]
pub struct Detectors {
    detectors: Vec<Box<dyn Detector>>,
    partitions: HashMap<i32, Partition>,
    /// New rows that wait for others to be reread, in order of arrival.
    waiting: Vec<(RowPosition, Joined)>,
    /// The partitions that were called idle and gave no row since.
    idle: BTreeSet<i32>,
}

impl Detectors {
    /// Runs these. Where several report on the same row, they do so in the given order.
    pub fn new(detectors: Vec<Box<dyn Detector>>) -> Self {
        Self { detectors, partitions: HashMap::new(), waiting: Vec::new(), idle: BTreeSet::new() }
    }

    /// Says which partitions the topic has. To be called before the first row; without it a partition
    /// is waited for only once a row of it came.
    pub fn assign(&mut self, partitions: &[i32]) {
        self.detectors.iter_mut().for_each(|detector| detector.assign(partitions));
    }

    /// Goes on where a commit of this partition left off. To be called for every partition before the
    /// first row, with the metadata of [`Detectors::checkpoint`]; empty metadata is a new beginning.
    ///
    /// # Errors
    /// If the metadata is none of ours. Then the detectors should be made anew.
    pub fn resume(&mut self, partition: i32, metadata: &str) -> Result<(), CheckpointError> {
        if metadata.is_empty() {
            return Ok(());
        }
        let Metadata { last, detectors } = serde_json::from_str(metadata)?;
        for detector in &mut self.detectors {
            if let Some(part) = detectors.get(detector.name()) {
                detector.restore(&part.state)?;
            }
        }
        let from = detectors.into_iter().map(|(name, part)| (name, part.from)).collect();
        self.partitions.insert(partition, Partition { from, reread_to: last, last: None });
        Ok(())
    }

    /// Shows a row to every detector that has not seen it before the restart. The offsets of a
    /// partition must rise.
    pub fn observe(&mut self, position: RowPosition, row: &Joined) -> Vec<DetectorOutput> {
        let was_rereading = self.is_rereading();
        self.idle.remove(&position.partition);
        let partition = self.partitions.entry(position.partition).or_default();
        let is_new = partition.reread_to.is_none_or(|last| position.offset > last);
        if partition.reread_to.is_some_and(|last| position.offset >= last) {
            partition.reread_to = None;
        }
        let mut outputs = Vec::new();
        if is_new && self.is_rereading() {
            self.waiting.push((position, row.clone()));
            return outputs;
        }
        if !is_new {
            self.show(position, row, &mut outputs);
        }
        if !self.is_rereading() {
            for (position, row) in std::mem::take(&mut self.waiting) {
                self.show(position, &row, &mut outputs);
            }
        }
        if is_new {
            self.show(position, row, &mut outputs);
        }
        if was_rereading && !self.is_rereading() {
            for partition in self.idle.clone() {
                outputs.extend(self.tell_idle(partition, true));
            }
        }
        outputs
    }

    /// Says that a partition is idle: caught up and silent, so that nothing of it is waited for. A row
    /// of it ends that as well as this does. [`crate::IdleWatch`] tells when.
    ///
    /// If there are outputs, the checkpoints of all partitions have moved: commit them once these are
    /// durable, or a crash undoes the closing and rows that come then may change it.
    pub fn set_idle(&mut self, partition: i32, is_idle: bool) -> Vec<DetectorOutput> {
        if is_idle {
            self.idle.insert(partition);
        } else {
            self.idle.remove(&partition);
        }
        if self.is_rereading() { Vec::new() } else { self.tell_idle(partition, is_idle) }
    }

    /// Whether to stop reading a partition for now: its new rows wait until others are reread, or it is
    /// too far ahead of others. May change with every row and with [`Detectors::set_idle`]. Such a
    /// partition is silent for our sake, and must not be called idle.
    pub fn is_waiting(&self, partition: i32) -> bool {
        if self.is_rereading() {
            // One that is ahead now may be what the others wait for.
            return self.waiting.iter().any(|(position, _)| position.partition == partition);
        }
        self.detectors.iter().any(|detector| detector.is_ahead(partition))
    }

    /// What to commit for a partition whose next row is at `next`, once the outputs so far are
    /// durable.
    pub fn checkpoint(&self, partition: i32, next: i64) -> Checkpoint {
        let known = self.partitions.get(&partition);
        let mut waiting = self.waiting.iter().filter(|(at, _)| at.partition == partition);
        let next = waiting.next().map_or(next, |(position, _)| position.offset);
        let mut offset = next;
        let mut parts = BTreeMap::new();
        for detector in &self.detectors {
            let name = detector.name();
            // While rows are reread, a detector may not have come to its first one yet.
            let resumed = known.and_then(|known| known.from.get(name)).copied();
            let position = next.max(resumed.unwrap_or(next));
            let from = detector.hold_back(partition).unwrap_or(position);
            offset = offset.min(from);
            parts.insert(name.to_owned(), Part { from, state: detector.state() });
        }
        let last = known.and_then(|known| known.reread_to.max(known.last));
        let last = last.filter(|&last| last >= offset);
        let metadata = serde_json::to_string(&Metadata { last, detectors: parts })
            .expect("text keys and JSON values");
        Checkpoint { offset, metadata }
    }

    /// The rows that each detector has left out, by its name.
    pub fn ignored(&self) -> impl Iterator<Item = (&'static str, Ignored)> {
        self.detectors.iter().map(|detector| (detector.name(), detector.ignored()))
    }

    fn is_rereading(&self) -> bool {
        self.partitions.values().any(|partition| partition.reread_to.is_some())
    }

    fn tell_idle(&mut self, partition: i32, is_idle: bool) -> Vec<DetectorOutput> {
        let detectors = self.detectors.iter_mut();
        detectors.flat_map(|detector| detector.set_idle(partition, is_idle)).collect()
    }

    fn show(&mut self, position: RowPosition, row: &Joined, outputs: &mut Vec<DetectorOutput>) {
        let partition = self.partitions.entry(position.partition).or_default();
        partition.last = Some(position.offset);
        for detector in &mut self.detectors {
            let from = partition.from.get(detector.name());
            if from.is_none_or(|&from| position.offset >= from) {
                outputs.extend(detector.observe(position, row));
            }
        }
    }
}
