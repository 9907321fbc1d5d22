//! What systemd is told about a service: readiness, a line of status, signs of life.
//!
//! For units with `Type=notify`, and `WatchdogSec=` if wanted. Without `NOTIFY_SOCKET` in the environment
//! nothing is sent and nothing looked at. Sending waits for no answer, but for room in systemd's local socket,
//! as the C library's does.
//!
//! **Invariants.** `READY=1` is sent once, when the service is ready for the first time: what depends on it
//! starts then. That it is not ready later is status, no reason to end it. Signs of life go on while it
//! drains.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;

use super::Vitals;
use crate::Shutdown;

/// How often the service is looked at, unless the watchdog wants to hear from it more often.
const PERIOD: Duration = Duration::from_millis(500);

/// What a service that is ready says in its status.
const READY: &str = "ready";
/// What it says from the moment it is told to end.
const STOPPING: &str = "shutting down";

/// Tells systemd about the service, if systemd started it and wants to know, until this future is dropped.
///
/// It should run beside the service's work, in the same task: a work that is stuck gives no sign of life then.
pub async fn supervise(vitals: Arc<dyn Vitals>, shutdown: Shutdown) -> Infallible {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return std::future::pending().await;
    }
    let watchdog = sd_notify::watchdog_enabled();
    // systemd's manual: at half of the time. A third leaves room for one that is late.
    let period = watchdog.map_or(PERIOD, |limit| PERIOD.min(limit / 3));
    let mut ticks = tokio::time::interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut report = Report::default();
    let mut is_heard = true;
    loop {
        if shutdown.is_cancelled() {
            ticks.tick().await;
        } else {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.cancelled() => {}
            }
        }
        let next = report.next(vitals.ready(), shutdown.is_cancelled());
        match send(&report, &next, watchdog.is_some()) {
            Ok(()) => (report, is_heard) = (next, true),
            // The same is sent again at the next tick; one line in the log is enough.
            Err(error) if is_heard => {
                tracing::warn!(%error, "systemd cannot be told about this service; trying on");
                is_heard = false;
            }
            Err(_) => {}
        }
    }
}

/// What systemd has been told.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Report {
    was_ready: bool,
    is_stopping: bool,
    status: String,
}

impl Report {
    fn next(&self, ready: Result<(), String>, is_stopping: bool) -> Self {
        let was_ready = self.was_ready || (ready.is_ok() && !is_stopping);
        let status = match ready {
            _ if is_stopping => STOPPING.to_owned(),
            Ok(()) => READY.to_owned(),
            Err(missing) => one_line(&missing),
        };
        Self { was_ready, is_stopping, status }
    }
}

/// A reason can hold a server's words, and a line break would begin another message to systemd.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Sends what differs between the two reports, and a sign of life.
fn send(old: &Report, new: &Report, watchdog: bool) -> io::Result<()> {
    let mut states = Vec::new();
    if new.was_ready && !old.was_ready {
        states.push(NotifyState::Ready);
    }
    if new.is_stopping && !old.is_stopping {
        states.push(NotifyState::Stopping);
    }
    if new.status != old.status {
        states.push(NotifyState::Status(&new.status));
    }
    if watchdog {
        states.push(NotifyState::Watchdog);
    }
    if states.is_empty() { Ok(()) } else { sd_notify::notify(&states) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::net::UnixDatagram;
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::MetricsText;
    use super::*;

    /// Is not ready, then ready, then not again, then told to end; one step for each look at it.
    struct Life {
        looks: AtomicU32,
        shutdown: Shutdown,
        end: Shutdown,
    }

    impl Vitals for Life {
        fn ready(&self) -> Result<(), String> {
            match self.looks.fetch_add(1, Ordering::SeqCst) {
                0 => return Err("not connected:\nMAINPID=1".into()),
                1 => {}
                2 => return Err("connection lost".into()),
                3 => self.shutdown.cancel(),
                _ => self.end.cancel(),
            }
            Ok(())
        }
        fn metrics(&self, _out: &mut MetricsText<'_>) {}
    }

    /// Without systemd the service is not even looked at. With it, this is the service of the tests below:
    /// systemd's variables are a process's, so they start this test as a process.
    #[tokio::test]
    async fn service() {
        let (looks, shutdown, end) = (AtomicU32::new(0), Shutdown::new(), Shutdown::new());
        let life = Arc::new(Life { looks, shutdown: shutdown.clone(), end: end.clone() });
        let supervised = supervise(life.clone(), shutdown);
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            // Long enough for a first look, which does not wait.
            tokio::time::timeout(Duration::ZERO, supervised).await.expect_err("waits");
            assert_eq!(life.looks.load(Ordering::SeqCst), 0);
            return;
        }
        tokio::select! {
            never = supervised => match never {},
            () = end.cancelled() => {}
        }
    }

    /// What the service says to a socket, one list of lines for each message.
    fn messages(watchdog: &[(&str, &str)]) -> Vec<Vec<String>> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("notify");
        let receiver = UnixDatagram::bind(&path).expect("bound");
        let service = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "health::notify::tests::service"])
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .env("NOTIFY_SOCKET", &path)
            .envs(watchdog.iter().copied())
            .stdout(Stdio::null())
            .spawn();
        let mut service = service.expect("started");
        // Read on while it runs: a full socket would stop it. Afterwards, what is left.
        receiver.set_read_timeout(Some(Duration::from_millis(50))).expect("set");
        let (mut messages, mut status) = (Vec::new(), None);
        loop {
            let mut buffer = [0; 4096];
            match receiver.recv(&mut buffer) {
                Ok(length) => {
                    let text = std::str::from_utf8(&buffer[..length]).expect("text");
                    messages.push(text.lines().map(str::to_owned).collect());
                }
                Err(_) if status.is_some() => break,
                Err(_) => status = service.try_wait().expect("waited for"),
            }
        }
        assert!(status.expect("ended").success());
        messages
    }

    #[test]
    fn systemd_hears_of_readiness_status_life_and_the_end() {
        let watchdog = [("WATCHDOG_USEC", "150000")];
        let messages = messages(&watchdog);
        let is_alive = |message: &Vec<String>| message.last().is_some_and(|l| l == "WATCHDOG=1");
        assert!(messages.len() >= 4 && messages.iter().all(is_alive), "{messages:?}");
        let news: Vec<_> = messages.iter().flatten().filter(|line| *line != "WATCHDOG=1").collect();
        let expected = [
            "STATUS=not connected: MAINPID=1",
            "READY=1",
            "STATUS=ready",
            "STATUS=connection lost",
            "STOPPING=1",
            "STATUS=shutting down",
        ];
        assert_eq!(news, expected);
    }

    #[test]
    fn no_watchdog_means_no_signs_of_life() {
        // Somebody else's watchdog is none either.
        let watchdog = [("WATCHDOG_USEC", "150000"), ("WATCHDOG_PID", "1")];
        let lines: BTreeSet<_> = messages(&watchdog).into_iter().flatten().collect();
        assert!(lines.contains("READY=1") && !lines.contains("WATCHDOG=1"), "{lines:?}");
    }
}
