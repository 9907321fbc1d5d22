//! Files that are there as a whole or not at all, also after the power is gone.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::LayoutError;

/// What files are called until they are complete.
const TEMPORARY: &str = ".new";

fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> LayoutError + 'a {
    move |source| LayoutError::Io { doing, path: path.to_owned(), source }
}

pub(super) fn create_directory(path: &Path) -> Result<(), LayoutError> {
    fs::create_dir_all(path).map_err(io("make the directory", path))
}

/// Locks a directory against other processes, until the file is closed.
pub(super) fn lock(root: &Path) -> Result<File, LayoutError> {
    let path = root.join(".lock");
    let file = File::create(&path).map_err(io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LayoutError::InUse(root.to_owned())),
        Err(TryLockError::Error(source)) => Err(io("lock", &path)(source)),
    }
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), LayoutError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(TEMPORARY);
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(io("write", &temporary))?;
    fs::rename(&temporary, path).map_err(io("write", path))?;
    let directory = path.parent().unwrap_or(path);
    File::open(directory).and_then(|file| file.sync_all()).map_err(io("sync", directory))
}

pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, LayoutError> {
    let file = File::open(path).map_err(io("read", path))?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(io("read", path))?;
    if bytes.len() as u64 > bytes_max {
        let reason = format!("has more than {bytes_max} bytes");
        return Err(LayoutError::Form { path: path.to_owned(), reason });
    }
    Ok(bytes)
}

/// Deletes the files of a directory that are not among these.
pub(super) fn delete_others(directory: &Path, kept: &BTreeSet<PathBuf>) -> Result<(), LayoutError> {
    for entry in fs::read_dir(directory).map_err(io("list", directory))? {
        let path = entry.map_err(io("list", directory))?.path();
        if !kept.contains(&path) {
            fs::remove_file(&path).map_err(io("delete", &path))?;
        }
    }
    Ok(())
}
