//! A disk for tests that fails as disks do: it loses what was not synced, in any combination, when the power goes.
//!
//! What a caller sees at once (the page cache) and what would survive are kept apart. When the power goes, each
//! write since the last sync is kept, lost, cut short or has sectors of zeros; each new name and each removal is kept or lost. A
//! sync that fails settles the writes in the same way, and a later one no longer waits for them, as Linux does it.
//!
//! The same seed makes the same choices.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};

const SECTOR: usize = 64;
/// As Linux and all its kin number it.
const EIO: i32 = 5;

/// The disk. Its clones are the same disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

/// A file that is open.
#[derive(Clone, Debug)]
pub struct SimulatedFile {
    disk: SimulatedDisk,
    number: usize,
}

#[derive(Default)]
struct State {
    files: Vec<Contents>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    name_changes: Vec<(String, Option<usize>)>,
    capacity: Option<usize>,
    changes: u64,
    power_fails_at: Option<u64>,
    failing_syncs: u32,
    bad: Option<Range<u64>>,
    random: u64,
}

#[derive(Clone, Default)]
struct Contents {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(offset, bytes) => {
                let end = offset + bytes.len();
                to.resize(to.len().max(end), 0);
                to[*offset..end].copy_from_slice(bytes);
            }
            Self::Truncate(bytes) => to.resize(*bytes, 0),
        }
    }
}

impl SimulatedDisk {
    /// An empty disk whose failures are chosen by a seed.
    pub fn new(seed: u64) -> Self {
        let disk = Self::default();
        disk.state().random = seed;
        disk
    }

    /// At most this many bytes in all files from now on.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.state().capacity = bytes;
    }

    /// Bytes of all files, as they are seen now.
    pub fn used(&self) -> usize {
        self.state().used()
    }

    /// The next syncs of files fail.
    pub fn fail_syncs(&self, count: u32) {
        self.state().failing_syncs = count;
    }

    /// These offsets of all files cannot be read from now on.
    pub fn set_bad(&self, offsets: Range<u64>) {
        self.state().bad = Some(offsets);
    }

    /// How often the disk was asked to change or sync something.
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// The change of this number, counted from the disk's beginning, and all after it fail.
    pub fn fail_power_at(&self, change: Option<u64>) {
        self.state().power_fails_at = change;
    }

    /// Whether the power is still there.
    pub fn has_power(&self) -> bool {
        let state = self.state();
        state.power_fails_at.is_none_or(|at| state.changes <= at)
    }

    /// The disk after the power was gone: what was not synced is kept or not.
    pub fn after_power_failure(&self) -> Self {
        let mut state = self.state();
        let mut names = state.durable_names.clone();
        for (name, file) in std::mem::take(&mut state.name_changes) {
            match file {
                _ if state.choose(2) == 0 => {}
                Some(file) => _ = names.insert(name, file),
                None => _ = names.remove(&name),
            }
        }
        for number in 0..state.files.len() {
            state.settle(number);
        }
        let survivor = |contents: &Contents| Contents {
            seen: contents.durable.clone(),
            durable: contents.durable.clone(),
            unsynced: Vec::new(),
        };
        let files = state.files.iter().map(survivor).collect();
        let random = state.random;
        let after =
            State { files, durable_names: names.clone(), names, random, ..State::default() };
        Self(Arc::new(Mutex::new(after)))
    }

    /// A copy of the disk, as it is seen now.
    pub fn copied(&self) -> Self {
        let state = self.state();
        let files = state.files.clone();
        let names = state.names.clone();
        let copy = State { files, durable_names: names.clone(), names, ..State::default() };
        Self(Arc::new(Mutex::new(copy)))
    }

    /// The content of a file.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn content(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.names[name]].seen.clone()
    }

    /// Puts a file there, whatever was there.
    pub fn put(&self, name: &str, content: &[u8]) {
        let mut state = self.state();
        let number = state.files.len();
        let (seen, durable) = (content.to_vec(), content.to_vec());
        state.files.push(Contents { seen, durable, unsynced: Vec::new() });
        state.names.insert(name.to_owned(), number);
        state.durable_names.insert(name.to_owned(), number);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        let change = state.changes;
        state.changes += 1;
        match state.power_fails_at {
            Some(at) if change >= at => Err(io::Error::other("the power is gone")),
            _ => Ok(state),
        }
    }
}

impl State {
    fn choose(&mut self, below: usize) -> usize {
        // SplitMix64, from Steele, Lea and Flood 2014.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let number = (mixed ^ (mixed >> 31)) % (below as u64);
        usize::try_from(number).unwrap_or(0)
    }

    /// Decides what has become of a file's unsynced changes.
    fn settle(&mut self, number: usize) {
        for change in std::mem::take(&mut self.files[number].unsynced) {
            let change = match (change, self.choose(5)) {
                (_, 0) => continue,
                (Change::Write(offset, mut bytes), 1) => {
                    bytes.truncate(self.choose(bytes.len() + 1));
                    Change::Write(offset, bytes)
                }
                (Change::Write(offset, mut bytes), 2) => {
                    for sector in bytes.chunks_mut(SECTOR) {
                        if self.choose(3) == 0 {
                            sector.fill(0);
                        }
                    }
                    Change::Write(offset, bytes)
                }
                (change, _) => change,
            };
            change.apply(&mut self.files[number].durable);
        }
    }

    fn used(&self) -> usize {
        self.names.values().map(|number| self.files[*number].seen.len()).sum()
    }

    fn change(&mut self, number: usize, change: Change) {
        let contents = &mut self.files[number];
        change.apply(&mut contents.seen);
        contents.unsynced.push(change);
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let names: Vec<&String> = state.names.keys().collect();
        f.debug_struct("SimulatedDisk").field("names", &names).finish_non_exhaustive()
    }
}

impl Disk for SimulatedDisk {
    type File = SimulatedFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SimulatedFile> {
        let mut state = self.changing()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let number = state.files.len();
        state.files.push(Contents::default());
        state.names.insert(name.to_owned(), number);
        state.name_changes.push((name.to_owned(), Some(number)));
        Ok(SimulatedFile { disk: self.clone(), number })
    }

    fn open(&self, name: &str) -> io::Result<SimulatedFile> {
        let number = self.state().names.get(name).copied();
        let number = number.ok_or(io::ErrorKind::NotFound)?;
        Ok(SimulatedFile { disk: self.clone(), number })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.changing()?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.name_changes.push((name.to_owned(), None));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.changing()?;
        state.durable_names = state.names.clone();
        state.name_changes.clear();
        Ok(())
    }
}

impl DiskFile for SimulatedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.changing()?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let longer = (offset + bytes.len()).saturating_sub(state.files[self.number].seen.len());
        let room = state.capacity.map_or(longer, |all| all.saturating_sub(state.used()));
        let written = bytes.len() - longer.saturating_sub(room);
        state.change(self.number, Change::Write(offset, bytes[..written].to_vec()));
        if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        let end = offset + buffer.len() as u64;
        if state.bad.as_ref().is_some_and(|bad| bad.start < end && offset < bad.end) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let seen = &state.files[self.number].seen;
        let rest = usize::try_from(offset).ok().and_then(|offset| seen.get(offset..));
        let count = rest.map_or(0, |rest| {
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            count
        });
        Ok(count)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.number].seen.len() as u64)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.changing()?;
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        state.change(self.number, Change::Truncate(bytes));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.changing()?;
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            state.settle(self.number);
            return Err(io::Error::other("the disk failed to write"));
        }
        let contents = &mut state.files[self.number];
        for change in std::mem::take(&mut contents.unsynced) {
            change.apply(&mut contents.durable);
        }
        Ok(())
    }
}
