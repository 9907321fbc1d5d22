//! A program of ours as a process, and what it uses.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::process::{Child, Command};

/// The program of this name beside this one.
pub(super) fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find this program")?;
    let path = own.with_file_name(name);
    ensure!(
        path.exists(),
        "find {}: build it beside this program (see weir bench --help)",
        path.display()
    );
    Ok(path)
}

/// A running program. It is killed when dropped.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    pid: u32,
}

/// What a program has used so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// Processor time, in seconds.
    pub(super) cpu_seconds: f64,
    /// The most memory that was resident, in KiB, the program's own pages included.
    pub(super) peak_kib: u64,
}

impl Program {
    pub(super) fn start(
        path: &Path,
        arguments: &[&str],
        settings: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(path);
        command.args(arguments).envs(settings.iter().map(|(name, value)| (name, value)));
        command.env("RUST_LOG", "error").stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("start {}", path.display()))?;
        let pid = child.id().context("it ended at once")?;
        Ok(Self { child, pid })
    }

    /// What it prints.
    pub(super) fn output(&mut self) -> Option<tokio::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Reads `/proc`: Linux alone.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.pid);
            std::fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        let stat = read("stat")?;
        // The name, in parentheses, may hold anything; the 14th and 15th fields are ticks of 10 ms.
        let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks: u64 =
            fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let status = read("status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 ticks")]
        Ok(Usage {
            cpu_seconds: ticks as f64 / 100.0,
            peak_kib: peak.context("VmHWM of a process")?,
        })
    }

    /// Asks it to end, and waits.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let asked = Command::new("kill").args(["-TERM", &self.pid.to_string()]).status().await;
        asked.context("ask a program to end")?;
        let status = self.child.wait().await.context("wait for a program's end")?;
        ensure!(status.success(), "end a program in order: {status}");
        Ok(())
    }
}
