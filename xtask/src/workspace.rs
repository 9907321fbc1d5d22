//! What every chore uses: where the workspace is and what it has, which cargo runs, programs that must succeed,
//! and a line for the reader.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

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

/// Runs a program that must succeed. What it prints is shown.
pub(crate) fn execute(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("run {program}"))?;
    ensure!(status.success(), "{program} failed ({status}); its output above says why");
    Ok(())
}

/// Runs a program that must succeed, and returns what it prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("run {program}"))?;
    ensure!(output.status.success(), "{program} failed ({})", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("read what {program} prints"))
}

/// What cargo says about the workspace.
pub(crate) struct Metadata(Value);

impl Metadata {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut cargo = Command::new(cargo());
        cargo.args(["metadata", "--locked", "--no-deps", "--format-version", "1"]);
        let text = output(cargo.current_dir(root))?;
        Ok(Self(serde_json::from_str(&text).context("read what cargo metadata prints")?))
    }

    /// Where cargo builds: not always `target/`.
    pub(crate) fn target_folder(&self) -> Result<PathBuf> {
        let folder = self.0["target_directory"].as_str().context("find the target directory")?;
        Ok(folder.into())
    }

    /// The folders of our packages.
    pub(crate) fn members(&self) -> Vec<PathBuf> {
        let packages = self.0["packages"].as_array().into_iter().flatten();
        let manifests = packages.filter_map(|package| package["manifest_path"].as_str());
        manifests.filter_map(|path| Some(Path::new(path).parent()?.to_owned())).collect()
    }

    /// The names of our test programs under `tests/`.
    pub(crate) fn test_programs(&self) -> BTreeSet<&str> {
        let packages = self.0["packages"].as_array().into_iter().flatten();
        let targets =
            packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
        let is_test = |target: &&Value| target["kind"] == serde_json::json!(["test"]);
        targets.filter(is_test).filter_map(|target| target["name"].as_str()).collect()
    }

    /// The version of one of our packages.
    pub(crate) fn version(&self, package: &str) -> Result<&str> {
        let mut packages = self.0["packages"].as_array().into_iter().flatten();
        let found = packages.find(|found| found["name"] == package);
        let version = found.and_then(|found| found["version"].as_str());
        version.with_context(|| format!("find the version of {package}"))
    }
}
