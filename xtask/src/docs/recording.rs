//! `cargo xtask docs --record`: the demo as it looks on a terminal, `docs/demo.svg`.
//!
//! A recorder runs the program in a terminal of its own and draws what it sees, with the times between. It wants a
//! terminal itself, which `script` gives it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{cargo, execute, fetched, report};

const RECORDING: &str = "docs/demo.svg";

/// Newer setuptools lack what it needs.
const RECORDER: [&str; 2] = ["termtosvg==1.1.0", "setuptools<81"];

/// Columns and rows: the table at the end is to be seen whole.
const GEOMETRY: &str = "110x34";

pub(super) fn record(root: &Path) -> Result<()> {
    let python = fetched::from_python(root, "termtosvg", &RECORDER)?.join("python3");
    let mut build = Command::new(cargo());
    execute(build.args(["build", "--locked", "--package", "weir"]).current_dir(root))?;
    let folder = tempfile::tempdir().context("make a temporary folder")?;
    let program = root.join("target/debug/weir");
    // No picture twice within 0.2 s, and six seconds to read the end.
    let command = format!(
        "{} -m termtosvg {} -g {GEOMETRY} -m 200 -D 6000 -t window_frame -c '{} demo'",
        python.display(),
        root.join(RECORDING).display(),
        program.display()
    );
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    // The demo writes its pictures where it runs.
    execute(script.env("TERM", "xterm-256color").current_dir(folder.path()))
        .context("record a terminal: `script` is in Debian's package bsdutils")?;
    report(&format!("{RECORDING} written"));
    Ok(())
}
