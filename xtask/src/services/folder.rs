//! The folder of one server under `target/services`: its settings, data and logs, which processes it has,
//! and how to reach it. What the folder says survives this command; what it says is checked before use.
//!
//! `env` is written last, when the server has answered: without it the server is not running, whatever
//! its processes do.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::process::Process;
use super::variables::{from_exports, to_exports};

/// How long a server may take to answer. A Java machine on a busy computer takes a minute.
const START: Duration = Duration::from_secs(120);
/// How long a server may take to end after SIGTERM. Nothing that it has is needed again.
const END: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// Lines of a log that are shown when a server does not start.
const TAIL: usize = 30;

/// The folder of a server.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(home: &Path, server: &str) -> Self {
        Self { path: home.join(server) }
    }

    /// Makes the folder anew. Only for a server that is stopped.
    pub(super) fn renew(&self) -> Result<()> {
        remove(&self.path)?;
        private_folder(&self.path)
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.path.join(file)
    }

    /// Writes a file that only its owner may read.
    pub(super) fn write(&self, file: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(file);
        write_private(&path, text)?;
        Ok(path)
    }

    /// Starts a process of the server. It writes to `<process>.log`.
    pub(super) fn start(&self, process: &str, command: &mut Command) -> Result<()> {
        command.current_dir(&self.path);
        let started = Process::start(command, &self.log(process))?;
        self.write(&format!("{process}.pid"), &format!("{started}\n"))?;
        Ok(())
    }

    /// Runs a command of the server to its end. What it prints goes to `<name>.log`.
    pub(super) fn run(&self, name: &str, command: &mut Command) -> Result<()> {
        let log = self.log(name);
        let output = fs::File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let errors = output.try_clone().context("share the log")?;
        let status = command.current_dir(&self.path).stdout(output).stderr(errors).status();
        let status = status.with_context(|| format!("run {}", command.get_program().display()))?;
        if !status.success() {
            bail!("run {} ({status}):\n{}", command.get_program().display(), tail(&log));
        }
        Ok(())
    }

    /// Waits until all is well, or one of the processes has ended, or it lasts too long.
    pub(super) fn await_answer(&self, mut has_answered: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            let processes = self.processes()?;
            if let Some((name, _)) = processes.iter().find(|(_, process)| !process.is_alive()) {
                let log = self.log(name);
                bail!("keep {name} running: it has ended; {}:\n{}", log.display(), tail(&log));
            }
            if has_answered() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let logs = processes.iter().map(|(name, _)| self.log(name));
                let logs: Vec<_> =
                    logs.map(|log| format!("{}:\n{}", log.display(), tail(&log))).collect();
                bail!("get an answer within {} s; {}", START.as_secs(), logs.join("\n"));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Notes that the server answers, and how it is reached.
    pub(super) fn is_up(&self, variables: &[(String, String)]) -> Result<()> {
        self.write("env", &to_exports(variables)).map(drop)
    }

    /// How the server is reached; none if it is not running whole.
    pub(super) fn variables(&self) -> Result<Option<Vec<(String, String)>>> {
        let Ok(text) = fs::read_to_string(self.path("env")) else { return Ok(None) };
        let alive = self.processes()?.iter().all(|(_, process)| process.is_alive());
        Ok(from_exports(&text).filter(|_| alive))
    }

    /// Sends a signal, such as `STOP`, to all processes.
    pub(super) fn signal(&self, signal: &str) -> Result<()> {
        self.processes()?.iter().try_for_each(|(_, process)| process.signal(signal))
    }

    /// Ends the processes of these names as a power cut would, and returns the names.
    pub(super) fn kill(&self, which: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let mut processes = self.processes()?;
        processes.retain(|(name, _)| which(name));
        for (_, process) in &processes {
            process.signal("KILL")?;
        }
        if !await_end(&processes, END) {
            bail!("kill the processes in {}: one does not follow SIGKILL", self.path.display());
        }
        Ok(processes.into_iter().map(|(name, _)| name).collect())
    }

    /// Ends all processes. The logs stay.
    pub(super) fn stop(&self) -> Result<()> {
        let processes = self.processes()?;
        for (signal, patience) in [("TERM", END), ("KILL", END)] {
            for (_, process) in &processes {
                process.signal(signal)?;
            }
            if await_end(&processes, patience) {
                break;
            }
        }
        if let Some((name, process)) = processes.iter().find(|(_, process)| process.is_alive()) {
            bail!("end {name}, process {process}: it does not even follow SIGKILL");
        }
        for file in processes.iter().map(|(name, _)| format!("{name}.pid")).chain(["env".into()]) {
            remove(&self.path(&file))?;
        }
        Ok(())
    }

    /// The logs of its processes, past ones too.
    pub(super) fn logs(&self) -> Result<Vec<PathBuf>> {
        let mut logs = self.files("log")?;
        logs.sort();
        Ok(logs)
    }

    fn log(&self, process: &str) -> PathBuf {
        self.path(&format!("{process}.log"))
    }

    fn processes(&self) -> Result<Vec<(String, Process)>> {
        let mut processes = Vec::new();
        for path in self.files("pid")? {
            let text =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            // Cut off by a crash: written again when the server is started again.
            let Some(process) = Process::parse(&text) else { continue };
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            processes.push((name, process));
        }
        Ok(processes)
    }

    fn files(&self, extension: &str) -> Result<Vec<PathBuf>> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let list = || -> std::io::Result<Vec<PathBuf>> {
            fs::read_dir(&self.path)?.map(|entry| Ok(entry?.path())).collect()
        };
        let files = list().with_context(|| format!("list {}", self.path.display()))?;
        let of_kind = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
        Ok(files.into_iter().filter(of_kind).collect())
    }
}

/// Whether all have ended in time.
fn await_end(processes: &[(String, Process)], patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while processes.iter().any(|(_, process)| process.is_alive()) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
    true
}

/// Makes a folder that nobody else may enter, and those above it.
pub(super) fn private_folder(path: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("create {}", path.display()))
}

/// Writes a file that only its owner may read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    let write = || {
        // Empty until it is private.
        fs::write(path, "")?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        fs::write(path, text)
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// Removes a file or a folder with everything in it, if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path(), "server");
        folder.renew().unwrap();
        (home, folder)
    }

    fn address() -> Vec<(String, String)> {
        vec![("WEIR_TEST_X".into(), "127.0.0.1:1".into())]
    }

    #[test]
    fn a_server_is_running_from_its_answer_until_it_is_stopped() {
        let (_home, folder) = folder();
        assert_eq!(folder.variables().unwrap(), None);
        let mut command = Command::new("tail");
        folder.start("node", command.args(["-f", "/dev/null"])).unwrap();
        assert_eq!(folder.variables().unwrap(), None, "it has not answered");
        folder.await_answer(|| true).unwrap();
        folder.is_up(&address()).unwrap();
        assert_eq!(folder.variables().unwrap(), Some(address()));
        folder.stop().unwrap();
        assert_eq!(folder.variables().unwrap(), None);
        assert_eq!(folder.logs().unwrap().len(), 1);
        folder.stop().unwrap();
    }

    #[test]
    fn a_server_of_which_one_process_has_ended_is_not_running() {
        let (_home, folder) = folder();
        let mut command = Command::new("tail");
        folder.start("one", command.args(["-f", "/dev/null"])).unwrap();
        folder.start("two", &mut Command::new("true")).unwrap();
        folder.is_up(&address()).unwrap();
        let (_, two) =
            folder.processes().unwrap().into_iter().find(|(name, _)| name == "two").unwrap();
        assert!(await_end(&[("two".into(), two)], END));
        assert_eq!(folder.variables().unwrap(), None);
        folder.stop().unwrap();
    }

    #[test]
    fn a_server_that_ends_at_once_shows_the_end_of_its_log() {
        let (_home, folder) = folder();
        let mut command = Command::new("sh");
        folder.start("node", command.args(["-c", "seq 50; exit 1"])).unwrap();
        let error = folder.await_answer(|| false).unwrap_err().to_string();
        assert!(error.ends_with("\n49\n50") && error.contains("node.log:\n21\n"), "{error}");
    }
}
