//! A process that goes on when this command has ended, found again by its number and its start time.
//!
//! The number alone would not do: after a crash or a restart of the machine it may be somebody else's.
//! Linux only: `/proc` is asked.

use std::fmt;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// A process that runs, or ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Process {
    id: u32,
    /// In ticks since the machine started.
    started: u64,
}

impl Process {
    /// Starts a program that writes to a file. It gets a process group of its own: what a terminal sends to
    /// this command (Ctrl-C) does not reach it.
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let errors = output.try_clone().context("share the log")?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let program = command.get_program().to_owned();
        let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        // A process that nobody waits for keeps its entry, even when it has ended already.
        let (_, started) = look(child.id()).context("find the new process in /proc")?;
        Ok(Self { id: child.id(), started })
    }

    /// The process of a text that [`fmt::Display`] made.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (id, started) = text.trim_end().split_once(' ')?;
        Some(Self { id: id.parse().ok()?, started: started.parse().ok()? })
    }

    pub(super) fn is_alive(self) -> bool {
        look(self.id).is_some_and(|(state, started)| state != 'Z' && started == self.started)
    }

    /// Sends a signal, such as `TERM`, unless the process has ended.
    pub(super) fn signal(self, signal: &str) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        let mut command = Command::new("kill");
        command.arg(format!("-{signal}")).arg(self.id.to_string()).stderr(Stdio::null());
        let sent = command.status().context("run kill")?;
        // It may have ended meanwhile.
        ensure!(sent.success() || !self.is_alive(), "send SIG{signal} to process {}", self.id);
        Ok(())
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.started)
    }
}

/// The state and the start time of a process.
fn look(id: u32) -> Option<(char, u64)> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// Reads `/proc/PID/stat`, see proc(5): the name is in parentheses and may contain some itself, the state
/// comes after it as field 3, the start time is field 22.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_whatever_the_name_of_the_process() {
        let stat = "42 (a) R (b) S 1 42 42 0 -1 4194560 99 0 0 0 1 2 0 0 20 0 1 0 123456 1 2 3\n";
        assert_eq!(parse_stat(stat), Some(('S', 123_456)));
        assert_eq!(parse_stat("42 (a)"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn this_process_is_alive_and_one_that_had_its_number_before_is_not() {
        let id = std::process::id();
        let (_, started) = look(id).unwrap();
        let process = Process { id, started };
        assert!(process.is_alive());
        assert_eq!(Process::parse(&format!("{process}\n")), Some(process));
        let before = Process { id, started: started - 1 };
        assert!(!before.is_alive());
        // Nobody is hit.
        before.signal("KILL").unwrap();
    }

    #[test]
    fn a_process_that_has_ended_is_not_alive() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(&mut Command::new("cat"), &folder.path().join("log")).unwrap();
        process.signal("KILL").unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while process.is_alive() {
            assert!(std::time::Instant::now() < deadline, "still alive");
            std::thread::yield_now();
        }
    }
}
