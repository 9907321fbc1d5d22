//! What every chore uses: where the workspace is, which cargo runs, and a line for the reader.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub(crate) fn workspace_root() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.parent().context("find the workspace above xtask")?;
    root.canonicalize().context("resolve the path of the workspace")
}

/// The cargo that runs this, so that all use one toolchain.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

#[expect(clippy::print_stdout, reason = "a command for people")]
pub(crate) fn report(line: &str) {
    println!("{line}");
}
