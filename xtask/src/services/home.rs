//! Where the servers have what they have, and what they share: the lock, and what is fetched or built once.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::folder::{private_folder, remove};
use super::secrets::Secrets;

/// Where everything is.
pub(super) struct Home {
    /// The repository.
    pub(super) root: PathBuf,
    /// What may be removed when no server runs.
    pub(super) state: PathBuf,
    pub(super) secrets: Secrets,
}

impl Home {
    pub(super) fn new() -> Result<Self> {
        let root = crate::workspace_root()?;
        let state = root.join("target/services");
        private_folder(&state)?;
        let secrets = Secrets::new(&state);
        Ok(Self { root, state, secrets })
    }

    /// The checked-in files that belong to a server.
    pub(super) fn sources(&self, name: &str) -> PathBuf {
        self.root.join("xtask/services").join(name)
    }

    /// What was fetched or built, see [`Home::prepare_once`].
    pub(super) fn prepared(&self, name: &str) -> PathBuf {
        self.state.join("prepared").join(name)
    }

    /// Keeps out other commands like this one until the file is closed.
    pub(super) fn lock(&self) -> Result<File> {
        let path = self.state.join("lock");
        let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another `cargo xtask` that starts or stops servers");
                file.lock().context("wait for the lock of the servers")?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).context("lock the servers");
            }
        }
        Ok(file)
    }

    /// Has a command fill a folder, unless it did so before from the same inputs.
    pub(super) fn prepare_once(
        &self,
        name: &str,
        inputs: &[PathBuf],
        command: impl FnOnce(&Path) -> Command,
    ) -> Result<()> {
        let read = |path: &PathBuf| {
            fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
        };
        let wanted = inputs.iter().map(read).collect::<Result<String>>()?;
        let folder = self.prepared(name);
        // Beside the folder, and written last: what was cut off is done again.
        let stamp = self.prepared(&format!("{name}.inputs"));
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        eprintln!("preparing {name} in {}; this is done once", folder.display());
        remove(&stamp)?;
        remove(&folder)?;
        private_folder(&folder)?;
        let mut command = command(&folder);
        let program = command.get_program().display().to_string();
        // The standard output belongs to the variables.
        command.stdin(Stdio::null()).stdout(std::io::stderr());
        let status = command.status().with_context(|| format!("run {program}"))?;
        if !status.success() {
            bail!("prepare {name}: {program} failed ({status}); its output above says why");
        }
        fs::write(&stamp, wanted).with_context(|| format!("write {}", stamp.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().to_owned();
        (folder, Home { root: state.clone(), secrets: Secrets::new(&state), state })
    }

    #[test]
    fn what_is_prepared_is_prepared_again_only_for_other_inputs() {
        let (_folder, home) = home();
        let input = home.root.join("input");
        let prepare = |program: &str| {
            let inputs = std::slice::from_ref(&input);
            home.prepare_once("x", inputs, |_| Command::new(program))
        };
        fs::write(&input, "1").unwrap();
        assert!(prepare("false").is_err());
        prepare("true").unwrap();
        prepare("false").unwrap();
        fs::write(&input, "2").unwrap();
        assert!(prepare("false").is_err());
    }

    #[test]
    fn a_second_command_waits_for_the_lock() {
        let (_folder, home) = home();
        let lock = home.lock().unwrap();
        let other = File::open(home.state.join("lock")).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        other.try_lock().unwrap();
    }
}
