//! Targets of the pinned toolchain: what rustup adds when a chore builds for another machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{execute, output, report};

/// Adds a target to the toolchain if it is missing.
pub(crate) fn ensure(root: &Path, target: &str) -> Result<()> {
    if sysroot(root)?.join("lib/rustlib").join(target).exists() {
        return Ok(());
    }
    report(&format!("adding the target: rustup target add {target}"));
    execute(Command::new("rustup").args(["target", "add", target]).current_dir(root))
}

pub(crate) fn sysroot(root: &Path) -> Result<PathBuf> {
    let mut rustc = Command::new("rustc");
    let path = output(rustc.args(["--print", "sysroot"]).current_dir(root))?;
    Ok(PathBuf::from(path.trim_end()))
}
