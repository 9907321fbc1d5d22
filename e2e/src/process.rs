//! Our programs as processes: their logs are read as they come, and none outlives its test.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A test that waits longer than this has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a service may take to end in order.
pub const GRACE: Duration = Duration::from_secs(10);

/// The command of this name that was built with this test.
///
/// # Panics
/// If it was not built.
pub fn built(name: &str) -> PathBuf {
    // Tests lie in `deps`, programs beside it.
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.ancestors().nth(2).expect("tests lie two levels down");
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is missing; build it with: cargo build --workspace --bins",
        path.display()
    );
    path
}

/// A process whose log is read as it comes. Killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    log: String,
    /// Where an agent has its spool, if its settings do not say.
    state: Option<tempfile::TempDir>,
}

impl Process {
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        Self::start_with(name, arguments, &[])
    }

    /// The same with variables in its environment.
    pub fn start_with(name: &str, arguments: &[&str], environment: &[(&str, String)]) -> Self {
        let mut command = Command::new(built(name));
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let state = tempfile::tempdir().expect("a folder");
        command.env("STATE_DIRECTORY", state.path()).args(arguments);
        let mut process = Self::start_command(name, &mut command);
        process.state = Some(state);
        process
    }

    /// Starts a program that is not ours.
    pub fn start_command(name: &str, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let errors = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // Ends when the process does: nobody else holds the other end.
            errors.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { name: name.to_owned(), child, lines, log: String::new(), state: None }
    }

    /// What it has logged, as far as it was read.
    pub fn log(&self) -> &str {
        &self.log
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads the log until a line holds this text.
    pub fn await_line(&mut self, text: &str) {
        self.read_until(PATIENCE, |line| line.contains(text));
        assert!(self.log.contains(text), "{} ended early:\n{}", self.name, self.log);
    }

    /// Where it serves its metrics, as its log tells. Its `health.listen` must be set: port 0 is any free one.
    ///
    /// # Panics
    /// If it does not tell.
    pub fn health(&mut self) -> SocketAddr {
        const TOLD: &str = "serving /healthz";
        if !self.log.contains(TOLD) {
            self.await_line(TOLD);
        }
        let line = self.log.lines().find(|line| line.contains(TOLD)).expect("just found");
        let (_, address) = line.rsplit_once("address=").expect("an address");
        address.trim().parse().expect("an address")
    }

    /// Reads the log until the end of the process, or until a line is the one.
    fn read_until(&mut self, patience: Duration, is_it: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.log.push_str(&line);
                    self.log.push('\n');
                    if is_it(&line) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("waited too long for {}:\n{}", self.name, self.log)
                }
            }
        }
    }

    /// Waits for the end. Returns the exit status, and what was printed.
    pub fn ended(&mut self, patience: Duration) -> (ExitStatus, String) {
        self.read_until(patience, |_| false);
        let mut printed = String::new();
        let mut output = self.child.stdout.take().expect("piped");
        output.read_to_string(&mut printed).expect("UTF-8");
        (self.child.wait().expect("waited for"), printed)
    }

    /// The most memory that the process has had resident so far, in KiB; 0 when it has ended.
    pub fn memory_peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    }

    /// The memory that the process has resident now, in KiB; 0 when it has ended.
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let now = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        now.and_then(|now| now.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("asked").is_none()
    }

    /// Waits for its end, but no longer than that. Returns whether a signal ended it.
    ///
    /// # Panics
    /// If the process cannot be asked.
    pub fn died_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("asked") {
                return status.code().is_none();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Waits for its end. Returns whether a signal ended it.
    pub fn died(&mut self) -> bool {
        let (status, _) = self.ended(PATIENCE);
        status.code().is_none()
    }

    /// Kills it as a power cut would (SIGKILL).
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
    }

    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Asks for an orderly end, which must come in time.
    pub fn terminate(mut self) {
        self.signal("-TERM");
        let (status, _) = self.ended(GRACE);
        assert_eq!(status.code(), Some(0), "{}:\n{}", self.name, self.log);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either may fail, if the process has ended: that is as well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a command to its end and returns its exit code, its output and its log.
pub fn run(name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    run_with(name, arguments, &[])
}

/// The same with variables in its environment.
pub fn run_with(
    name: &str,
    arguments: &[&str],
    environment: &[(&str, String)],
) -> (Option<i32>, String, String) {
    let mut process = Process::start_with(name, arguments, environment);
    let (status, printed) = process.ended(PATIENCE);
    (status.code(), printed, std::mem::take(&mut process.log))
}

/// Runs a command that must succeed.
pub fn complete(name: &str, arguments: &[&str]) -> String {
    let (code, printed, log) = run(name, arguments);
    assert_eq!(code, Some(0), "{name} {arguments:?}:\n{log}");
    printed
}
