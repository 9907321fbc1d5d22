//! The user's state folder, where the spool is when the settings name no place.
//!
//! A folder that the settings do name is made by the spool, but nothing above it: what is missing there may be a disk that
//! is not mounted.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// Makes what is missing of a folder and of those above it, so that a power cut does not take them back.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new("."));
    make(above)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(above)?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_where_they_are_missing() {
        let home = tempfile::tempdir().expect("temporary folder");
        let folder = home.path().join(".local/state/weir-agent");
        for _ in 0..2 {
            make(&folder).expect("made, or there");
            assert!(folder.is_dir());
        }
        std::fs::write(folder.join("file"), "").expect("written");
        make(&folder.join("file/below")).expect_err("a file is no folder");
    }
}
