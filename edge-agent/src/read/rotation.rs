//! Which file is which, and which one follows.
//!
//! A file is known by its inode's number and, where the file system keeps it, the time of its birth: numbers are used
//! again as soon as a file is deleted. Files that were rotated away lie beside the present one and are called as it is
//! and a number or date behind it: `NAME.1`, `NAME-20260105`, `NAME.2026-01-05T08:00`. They are ordered by the time of
//! their last change, as one writer leaves them; where that is the same (clocks of file systems are coarse), a higher
//! number is older and a later date is newer. The file with the name itself is the newest.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How often a directory is listed until it holds still: a rotation is a handful of renames.
const LISTS_MAX: usize = 20;

/// A file beside the one that is followed, or that one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) id: u64,
    pub(super) bytes: u64,
    modified: SystemTime,
    /// What stands behind the name; empty for the file itself.
    suffix: String,
}

/// A number for a file: the same as long as it exists, under whatever name. Never zero.
pub(super) fn id(file: &Metadata) -> u64 {
    let born = file.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    mix(file.ino(), born.map_or(0, |born| born.as_nanos() as u64))
}

/// Two files with the same inode number, one after the other, get different numbers. The constants are those of
/// SplitMix64. They must not change: positions are kept over restarts.
fn mix(inode: u64, born: u64) -> u64 {
    let mut z = inode ^ born.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).max(1)
}

/// Every file whose name begins as that of `path`. None if the directory is not there.
///
/// A file that is renamed while a directory is listed may be in the list twice or not at all, and then it would be passed
/// over: two lists in succession must be the same.
pub(super) fn family(path: &Path) -> io::Result<Vec<Found>> {
    let mut before = list(path)?;
    for _ in 0..LISTS_MAX {
        let now = list(path)?;
        match (before, now) {
            (Some(before), Some(now)) if names(&before) == names(&now) => return Ok(now),
            (_, now) => before = now,
        }
    }
    Err(io::Error::other("its directory changes faster than it can be listed"))
}

fn names(files: &[Found]) -> BTreeSet<(&str, u64)> {
    files.iter().map(|file| (file.suffix.as_str(), file.id)).collect()
}

/// The same, or `None` if one of them was gone as soon as it was found.
fn list(path: &Path) -> io::Result<Option<Vec<Found>>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Vec::new())),
        entries => entries?,
    };
    let mut family = Vec::new();
    for entry in entries {
        let entry = entry?;
        let other = entry.file_name().to_string_lossy().into_owned();
        let Some(suffix) = other.strip_prefix(&name) else { continue };
        // The path itself may be a link.
        let path = if suffix.is_empty() { path.to_owned() } else { entry.path() };
        let file = match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && entry.path().is_symlink() => {
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        if file.is_file() {
            let (id, bytes, modified) = (id(&file), file.len(), file.modified()?);
            family.push(Found { path, id, bytes, modified, suffix: suffix.to_owned() });
        }
    }
    Ok(Some(family))
}

/// The file itself and those rotated away from it, oldest first.
pub(super) fn generations(path: &Path) -> io::Result<Vec<Found>> {
    let mut files = family(path)?;
    files.retain(|file| file.suffix.is_empty() || is_rotated(&file.suffix));
    files.sort_by(by_age);
    Ok(files)
}

/// What follows the file with that number, which was last changed then: oldest first.
pub(super) fn successors(path: &Path, id: u64, modified: SystemTime) -> io::Result<Vec<Found>> {
    let mut files = generations(path)?;
    match files.iter().position(|file| file.id == id) {
        Some(place) => drop(files.drain(..=place)),
        // It was deleted or moved elsewhere.
        None => files.retain(|file| file.suffix.is_empty() || file.modified > modified),
    }
    Ok(files)
}

/// Whether a suffix is a number or a date, rather than part of another name such as `.lock` or `.gz`.
fn is_rotated(suffix: &str) -> bool {
    let is_part = |c: char| c.is_ascii_digit() || "-._:+TZ".contains(c);
    suffix.chars().all(is_part) && suffix.contains(|c: char| c.is_ascii_digit())
}

/// A rotation's number: of few digits, unlike a date.
fn counter(suffix: &str) -> Option<u16> {
    let digits = suffix.trim_start_matches(['.', '-', '_']);
    (digits.len() <= 4).then(|| digits.parse().ok()).flatten()
}

fn by_age(one: &Found, other: &Found) -> Ordering {
    let names = match (counter(&one.suffix), counter(&other.suffix)) {
        (Some(one), Some(other)) => other.cmp(&one),
        _ => one.suffix.cmp(&other.suffix),
    };
    let present = one.suffix.is_empty().cmp(&other.suffix.is_empty());
    present.then(one.modified.cmp(&other.modified)).then(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn suffixes(files: &[Found]) -> Vec<&str> {
        files.iter().map(|file| file.suffix.as_str()).collect()
    }

    /// Files with these suffixes, all changed at the same time but the last one, which is the oldest.
    fn folder(suffixes: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("line");
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (age, suffix) in suffixes.iter().rev().enumerate() {
            let file = std::fs::File::create(format!("{}{suffix}", path.display())).expect("made");
            file.set_modified(time + Duration::from_secs(age.min(1) as u64)).expect("set");
        }
        (dir, path)
    }

    #[test]
    fn numbers_fall_dates_rise_and_times_decide() {
        let check = |files: &[&str], expected: &[&str]| {
            let (_dir, path) = folder(files);
            assert_eq!(suffixes(&generations(&path).expect("readable")), expected);
        };
        check(&["", ".1", ".10", ".2", ".1"], &[".10", ".2", ".1", ""]);
        check(
            &["", "-20260106", "-20260105", "-20260107"],
            &["-20260107", "-20260105", "-20260106", ""],
        );
        check(&["", ".lock", ".1.gz", "2", ".bak", "~", ".", ".3"], &[".3", "2", ""]);
    }

    #[test]
    fn the_successors_of_a_deleted_file_are_younger() {
        let (_dir, path) = folder(&["", ".1", ".2"]);
        let files = generations(&path).expect("readable");
        let after = |id, modified| successors(&path, id, modified).expect("readable");
        assert_eq!(suffixes(&after(files[1].id, files[1].modified)), [""]);
        assert_eq!(suffixes(&after(17, files[0].modified)), [".1", ""]);
        assert_eq!(suffixes(&after(17, files[1].modified)), [""]);
    }

    #[test]
    fn a_number_used_again_is_another_file() {
        assert_ne!(mix(17, 1), mix(17, 2));
        assert_ne!(mix(17, 0), mix(18, 0));
        let (_dir, path) = folder(&["", ".1"]);
        let renamed = path.with_extension("2");
        let before = id(&path.metadata().expect("there"));
        std::fs::rename(&path, &renamed).expect("renamed");
        assert_eq!(id(&renamed.metadata().expect("there")), before);
    }
}
