//! `cargo xtask mutate`: puts known bugs back, one at a time, and sees that a test catches each.
//!
//! It changes files of the working tree and puts them back, also when something fails. A file with changes that are not
//! committed is not touched. An interrupted run may leave one bug in: `git diff` shows it, `git restore` removes it.

mod bugs;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{report, services, test, workspace_root};
use bugs::{BUGS, Bug};

/// Options of `cargo xtask mutate`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only bugs whose name contains this.
    filter: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let asked = arguments.filter.as_deref().unwrap_or_default();
    let bugs: Vec<&Bug> = BUGS.iter().filter(|bug| bug.name.contains(asked)).collect();
    ensure!(!bugs.is_empty(), "find a bug whose name contains {asked:?}: there is none");
    let servers = if bugs.iter().any(|bug| bug.needs_kafka) {
        test::ensure_tools()?;
        services::up(&[services::Server::KafkaCluster])?
    } else {
        services::up(&[])?
    };
    let tried = try_all(&bugs, &servers.variables);
    let stopped = services::down(&servers.started);
    tried.and(stopped)
}

fn try_all(bugs: &[&Bug], variables: &[(String, String)]) -> Result<()> {
    let mut survivors = Vec::new();
    for bug in bugs {
        let began = Instant::now();
        let caught = attempt(bug, variables).with_context(|| format!("try {}", bug.name))?;
        let word = if caught { "caught" } else { "SURVIVED" };
        let seconds = began.elapsed().as_secs();
        report(&format!("{word:8}  {seconds:4} s  {:28}  {}", bug.name, bug.test.join(" ")));
        if !caught {
            survivors.push(bug.name);
        }
    }
    if !survivors.is_empty() {
        bail!("catch every bug: no test has caught {}", survivors.join(", "));
    }
    report(&format!("{} bugs, all caught", bugs.len()));
    Ok(())
}

/// Whether the test of a bug fails with it. That it passes without it is what `cargo xtask test` shows.
fn attempt(bug: &Bug, variables: &[(String, String)]) -> Result<bool> {
    let file = Changed::apply(bug)?;
    let run = |more: &[&'static str]| -> Result<bool> {
        let mut command = Command::new(crate::cargo());
        command.arg("test").args(bug.test_arguments(more)).current_dir(workspace_root()?);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.status().context("run cargo test")?.success())
    };
    // What does not compile is caught by nobody.
    let compiles = run(&["--no-run"])?;
    let passes = compiles && run(&[])?;
    drop(file);
    ensure!(compiles, "compile it: the bug is no program any more");
    Ok(!passes)
}

/// A file with a bug in it, until this is dropped.
struct Changed {
    path: PathBuf,
    original: String,
}

impl Changed {
    fn apply(bug: &Bug) -> Result<Self> {
        let path = workspace_root()?.join(bug.file);
        let mut git = Command::new("git");
        git.args(["diff", "--quiet", "HEAD", "--"]).arg(&path).current_dir(workspace_root()?);
        let clean = git.status().context("run git")?.success();
        ensure!(clean, "change {}: it has changes that are not committed", bug.file);
        let original = fs::read_to_string(&path).with_context(|| format!("read {}", bug.file))?;
        let changed = bug.change(&original)?;
        fs::write(&path, changed).with_context(|| format!("write {}", bug.file))?;
        Ok(Self { path, original })
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.original) {
            report(&format!("{} still has a bug in it: {error}", self.path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code moves, and the table has to move with it.
    #[test]
    fn every_bug_has_its_place() {
        let root = workspace_root().expect("a workspace");
        for bug in BUGS {
            let text = fs::read_to_string(root.join(bug.file)).expect(bug.file);
            bug.change(&text).unwrap_or_else(|error| panic!("{}: {error:#}", bug.name));
        }
    }
}
