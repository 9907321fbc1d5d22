//! A Mosquitto of one test's own, which may be killed: it keeps nothing on disk, so that it forgets everything then.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::PATIENCE;

/// A running broker. Killed when it is dropped.
#[derive(Debug)]
pub struct Mosquitto {
    child: Child,
    address: SocketAddr,
    config: PathBuf,
    _folder: tempfile::TempDir,
}

impl Mosquitto {
    /// Starts one on a free port of the loopback. `settings` are further lines of its configuration.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(settings: &str) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("mosquitto.conf");
        let port = address.port();
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\n{settings}\n");
        std::fs::write(&config, text).expect("written");
        let child = spawn(&config, address);
        Self { child, address, config, _folder: folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it (SIGKILL) and starts it again: sessions and queues are gone.
    ///
    /// # Panics
    /// If it does not start.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
        self.child = spawn(&self.config, self.address);
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // Either may fail, if it has ended: that is as well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(config: &PathBuf, address: SocketAddr) -> Child {
    // Debian has it where ordinary users do not look.
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("mosquitto");
    command.arg("-c").arg(config).env("PATH", path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().expect("mosquitto runs; `cargo xtask tools` installs it");
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "mosquitto does not listen on {address}");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}
