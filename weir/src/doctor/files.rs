//! Files and folders: who may read them, and whether this user may write. Nothing stays behind.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use weir_host::{HostConfig, Role};
use weir_registry::{Layout, LayoutError};

use super::finding::Report;

/// Bits of a file's mode: what the group and what others may.
const GROUP: u32 = 0o070;
const OTHERS: u32 = 0o007;
const WRITE: u32 = 0o022;

/// Who beside the owner may do something with a file or folder.
#[cfg(unix)]
pub(super) fn mode(path: &Path) -> io::Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

/// Elsewhere than on Unix nothing is known about it.
#[cfg(not(unix))]
pub(super) fn mode(path: &Path) -> io::Result<u32> {
    fs::metadata(path).map(|_| 0o700)
}

pub(super) fn others_may(mode: u32) -> bool {
    mode & OTHERS != 0
}

pub(super) fn group_may(mode: u32) -> bool {
    mode & GROUP != 0
}

/// The path as it is meant, wherever the service is started.
pub(super) fn shown(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Whether a file can be opened to write. It is not changed.
pub(super) fn is_writable(file: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(file).map(drop)
}

/// Whether files can be made in a folder: one without a name is, and is gone at once.
pub(super) fn takes_files(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

/// The folder of a file that is yet to be made.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Checks the directory with the last versions.
pub(super) fn check_models(host: &HostConfig, report: &mut Report) {
    let path = &host.models.path;
    if !host.roles.contains(&Role::Predict) {
        report.skipped("models", "this host does not predict", None);
        return;
    }
    if path.as_os_str().is_empty() {
        let next =
            "name a directory in models.path, so that a host predicts before it has reached Kafka";
        report.warning("models", "no version is kept on disk", next);
        return;
    }
    let place = shown(path);
    let mode = match mode(path) {
        Ok(mode) => mode,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match takes_files(folder_of(path)) {
                Ok(()) => report.ok("models", format!("{place} is not there; the host makes it")),
                Err(error) => {
                    let found = format!("{place} is not there and cannot be made: {error}");
                    report.failed("models", found, "make its folder, writable by the host's user");
                }
            }
            return;
        }
        Err(error) => {
            let next = "give the host's user the right to it";
            return report.failed("models", format!("{place}: {error}"), next);
        }
    };
    if mode & WRITE != 0 {
        let found = format!(
            "{place} can be written by others (mode {mode:o}): they choose which version is the last"
        );
        return report.failed("models", found, format!("chmod go-w {place}"));
    }
    if let Err(error) = takes_files(path) {
        let next = "give it to the user that the host runs as (chown)";
        return report.failed("models", format!("{place} cannot be written: {error}"), next);
    }
    match Layout::read_only(path) {
        Ok(layout) => {
            let found = format!("{place} holds {} versions", layout.versions().len());
            report.ok("models", found);
        }
        Err(LayoutError::Io { .. }) => report.ok("models", format!("{place} is empty")),
        Err(error) => {
            let next = "remove the directory: the host reads all versions from Kafka again";
            report.failed("models", super::chain(&error), next);
        }
    }
}
