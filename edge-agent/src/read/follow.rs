//! A file as it grows, is renamed, truncated, replaced: every line once, in order.
//!
//! The state machine asks the file system and never waits; [`Step::Idle`] says that there is nothing at present. It holds
//! the file that it reads open, so a rename or a deletion takes nothing away.
//!
//! - **Growth.** Each read begins a few bytes early and compares them with what was read before. If they differ, the file
//!   was truncated (`copytruncate`), even if it has grown beyond the old size since: it is read from its start.
//! - **Rotation.** A file is left when one that follows it (see `rotation`) has bytes: its one writer has gone over. Then
//!   it is read to its end once more, its last line ends with it, and the oldest of those that follow is next.
//! - **Restart.** The file of the kept position is looked for by its number under every name that begins as the given one
//!   and must have a line end at that place. If it is gone, what is left of its successors is read, with a warning.
//!
//! What cannot be told: lines that were truncated away, or deleted with their file, before they were read; that two
//! processes write to two generations at once; and a replaced file whose bytes before the position are the same.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::cutter::Cutter;
use super::form::Form;
use super::rotation::{self, Found};
use crate::sampler::{Event, Position};

#[cfg(test)]
mod tests;

/// What is read at once.
const CHUNK: usize = 64 * 1024;

/// How many bytes are compared with what was read before.
const OVERLAP: usize = 64;

/// What a look at the file brought.
#[derive(PartialEq, Debug)]
pub(super) enum Step {
    /// A line.
    Event(Event),
    /// Nothing at present.
    Idle,
    /// Nothing ever.
    End,
}

/// Reads one file and those that follow it.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    /// Whether there is more than the present end of the present file.
    follows: bool,
    start: Start,
    form: Form,
    cutter: Cutter,
    open: Option<Open>,
    chunk: Vec<u8>,
    /// What of the chunk has been used; all of it counts in `Open::read`.
    used: usize,
    /// Whether a successor had bytes before the last read.
    leaves: bool,
    /// Files that were read to their end; one that is changed afterwards must not look new.
    left: Vec<u64>,
}

/// Where to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// With the first line.
    First,
    /// With the first line that begins behind the present end.
    End,
    /// Behind a position that was kept.
    Behind(Position),
}

#[derive(Debug)]
struct Open {
    file: File,
    id: u64,
    /// Up to where the file was read.
    read: u64,
    /// The bytes before that.
    tail: Vec<u8>,
    /// Whether the present line began before the reading did.
    midway: bool,
}

/// What a read brought.
enum Filled {
    Bytes,
    Nothing,
    /// The file is not the one that was read before.
    Other,
}

impl Follower {
    pub(super) fn new(path: &Path, follows: bool, start: Start, form: Form) -> Self {
        Self {
            path: path.to_owned(),
            follows,
            start,
            cutter: Cutter::new(form.bytes_max()),
            form,
            open: None,
            chunk: Vec::new(),
            used: 0,
            leaves: false,
            left: Vec::new(),
        }
    }

    /// The next event, if there is one. After an error the same can be asked again.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        loop {
            if self.open.is_none() && !self.begin()? {
                return Ok(Step::Idle);
            }
            if let Some(event) = self.cut() {
                return Ok(Step::Event(event));
            }
            match self.fill()? {
                Filled::Bytes => self.leaves = false,
                Filled::Other => self.start_over(),
                Filled::Nothing if !self.follows => {
                    return Ok(self.rest().map_or(Step::End, Step::Event));
                }
                Filled::Nothing => {
                    if let Some(step) = self.at_end()? {
                        return Ok(step);
                    }
                }
            }
        }
    }

    /// Goes over to the next file, or says what there is instead. A successor that is seen now may have got its bytes after
    /// the last read, and the present file some before: so it is read once more before it is left.
    fn at_end(&mut self) -> io::Result<Option<Step>> {
        let Some(next) = self.successor()? else {
            self.leaves = false;
            return Ok(Some(Step::Idle));
        };
        if !self.leaves {
            self.leaves = true;
            return Ok(None);
        }
        if let Some(event) = self.rest() {
            return Ok(Some(Step::Event(event)));
        }
        self.go_over(&next)?;
        Ok(None)
    }

    /// An event from the chunk.
    fn cut(&mut self) -> Option<Event> {
        while self.used < self.chunk.len() {
            let (used, line) = self.cutter.cut(&self.chunk[self.used..]);
            self.used += used;
            let open = self.open.as_mut()?;
            let ended = self.chunk[self.used - 1] == b'\n';
            let is_skipped = open.midway;
            open.midway &= !ended;
            let position = Position {
                source: open.id,
                offset: open.read - (self.chunk.len() - self.used) as u64,
            };
            let line = line.filter(|_| !is_skipped);
            if let Some(event) = line.and_then(|line| self.form.read(line, position)) {
                return Some(event);
            }
        }
        None
    }

    /// The event of the last line, if no line end closed it.
    fn rest(&mut self) -> Option<Event> {
        let open = self.open.as_mut()?;
        let position = Position { source: open.id, offset: open.read };
        let line = self.cutter.rest().filter(|_| !open.midway)?;
        self.form.read(line, position)
    }

    fn fill(&mut self) -> io::Result<Filled> {
        let Some(open) = &mut self.open else { return Ok(Filled::Nothing) };
        let known = open.tail.len();
        self.chunk.resize(known + CHUNK, 0);
        let read = loop {
            match open.file.read_at(&mut self.chunk, open.read - known as u64) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What is left of the chunk must not count as read.
                Err(error) => {
                    self.chunk.clear();
                    self.used = 0;
                    return Err(error);
                }
                Ok(read) => break read,
            }
        };
        self.chunk.truncate(read);
        self.used = known;
        if !self.chunk.starts_with(&open.tail) {
            self.chunk.clear();
            self.used = 0;
            return Ok(Filled::Other);
        }
        if read == known {
            return Ok(Filled::Nothing);
        }
        open.read += (read - known) as u64;
        open.tail.clear();
        open.tail.extend_from_slice(&self.chunk[read.saturating_sub(OVERLAP)..]);
        Ok(Filled::Bytes)
    }

    /// Reads the present file from its start: it was truncated.
    fn start_over(&mut self) {
        let unfinished = self.cutter.discard();
        let Some(open) = &mut self.open else { return };
        let bytes = open.file.metadata().map(|file| file.len()).unwrap_or_default();
        tracing::warn!(
            path = %self.path.display(), offset = open.read, unfinished, bytes,
            "the file was truncated and is read from its start; what was not read by then is lost"
        );
        (open.read, open.midway) = (0, false);
        open.tail.clear();
        self.form.restart();
    }

    /// The next file, if one of those that follow the present one has bytes.
    fn successor(&mut self) -> io::Result<Option<Found>> {
        let Some(open) = &self.open else { return Ok(None) };
        match self.path.metadata() {
            Ok(file) if rotation::id(&file) == open.id => return Ok(None),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let modified = open.file.metadata()?.modified()?;
        let mut next = rotation::successors(&self.path, open.id, modified)?;
        next.retain(|file| !self.left.contains(&file.id));
        let has_bytes = next.iter().any(|file| file.bytes > 0);
        Ok(if has_bytes { next.into_iter().next() } else { None })
    }

    fn go_over(&mut self, next: &Found) -> io::Result<()> {
        let before = self.open.as_ref().map(|open| (open.id, open.read));
        if !self.take_up(next, 0)? {
            return Ok(());
        }
        self.leaves = false;
        if let Some((id, bytes)) = before {
            let path = next.path.display();
            tracing::info!(%path, bytes, "the file was rotated and read to its end; now the next");
            // Those that are gone need not be remembered.
            let family = rotation::family(&self.path)?;
            self.left.retain(|left| family.iter().any(|file| file.id == *left));
            self.left.push(id);
        }
        Ok(())
    }

    /// Opens the first file. Whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        match self.start {
            Start::Behind(position) => self.resume(position),
            start => {
                let is_there = self.take_up_path(start == Start::End)?;
                // A file that comes later is new from its first line on.
                self.start = Start::First;
                Ok(is_there)
            }
        }
    }

    fn take_up_path(&mut self, from_end: bool) -> io::Result<bool> {
        let file = match self.path.metadata() {
            Err(error) if self.follows && error.kind() == io::ErrorKind::NotFound => {
                return Ok(false);
            }
            file => file?,
        };
        let offset = if from_end { file.len() } else { 0 };
        self.take_up_file(&self.path.clone(), rotation::id(&file), offset)
    }

    /// Goes on behind a position, in whichever file it is.
    fn resume(&mut self, position: Position) -> io::Result<bool> {
        let family = rotation::family(&self.path)?;
        if let Some(found) = family.iter().find(|file| file.id == position.source) {
            return self.resume_in(found, position.offset);
        }
        if !self.follows {
            tracing::info!(path = %self.path.display(), "another file than the last one: from its start");
            return self.take_up_path(false);
        }
        let left = rotation::generations(&self.path)?;
        let Some(oldest) = left.first() else { return Ok(false) };
        let bytes: u64 = left.iter().map(|file| file.bytes).sum();
        tracing::warn!(
            path = %self.path.display(), offset = position.offset, files = left.len(), bytes,
            "the file that was read last is gone, and what it held behind the offset is lost; \
             what is left of those that followed it is read from the start"
        );
        self.take_up(oldest, 0)
    }

    fn resume_in(&mut self, found: &Found, offset: u64) -> io::Result<bool> {
        if !self.take_up(found, offset)? {
            return Ok(false);
        }
        let Some(open) = &mut self.open else { return Ok(false) };
        // The byte before and the one behind: a line ended here, or the file did.
        let mut around = [0; 2];
        let read = open.file.read_at(&mut around, offset.saturating_sub(1))?;
        let fits = match &around[..read] {
            _ if offset == 0 => true,
            [b'\n', ..] | [_] => true,
            [_, behind, ..] => matches!(behind, b'\n' | b'\r'),
            [] => false,
        };
        // Reading it finds out about all else.
        open.tail = if fits { around[..read.min(1)].to_vec() } else { vec![b'\n'] };
        if offset == 0 {
            open.tail.clear();
        }
        Ok(true)
    }

    fn take_up(&mut self, found: &Found, offset: u64) -> io::Result<bool> {
        self.take_up_file(&found.path, found.id, offset)
    }

    /// Opens a file at an offset. Whether it was the one with that number.
    fn take_up_file(&mut self, path: &Path, id: u64, offset: u64) -> io::Result<bool> {
        let file = match File::open(path) {
            // Renamed since it was found: it will be found again.
            Err(error) if self.follows && error.kind() == io::ErrorKind::NotFound => {
                return Ok(false);
            }
            file => file?,
        };
        if rotation::id(&file.metadata()?) != id {
            return Ok(false);
        }
        self.form.restart();
        if offset > 0 && self.form.awaits_header() {
            self.read_header(&file)?;
        }
        let mut last = [0];
        let midway = offset > 0
            && self.start == Start::End
            && file.read_at(&mut last, offset - 1)? == 1
            && last != [b'\n'];
        self.chunk.clear();
        self.used = 0;
        self.open = Some(Open { file, id, read: offset, tail: Vec::new(), midway });
        Ok(true)
    }

    /// Takes the columns from a file that is read from further behind.
    fn read_header(&mut self, file: &File) -> io::Result<()> {
        let mut cutter = Cutter::new(self.form.bytes_max());
        let (mut chunk, mut offset) = ([0; 4096], 0);
        loop {
            let read = file.read_at(&mut chunk, offset)?;
            let mut rest = &chunk[..read];
            while !rest.is_empty() {
                let (used, line) = cutter.cut(rest);
                rest = &rest[used..];
                if let Some(line) = line {
                    // If it is none, that was said when it was first read.
                    let _said = self.form.read(line, Position::default());
                    return Ok(());
                }
            }
            if read == 0 {
                return Ok(());
            }
            offset += read as u64;
        }
    }
}
