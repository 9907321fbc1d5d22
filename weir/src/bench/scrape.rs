//! Reads a service's metrics, and waits for one of them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Without any change for this long, something is wrong.
const STALL: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// An address on loopback that was free a moment ago.
pub(super) async fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("find a free port")?;
    listener.local_addr().context("find a free port")
}

/// The page of metrics, by name with labels.
async fn page(address: SocketAddr) -> anyhow::Result<HashMap<String, f64>> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let line = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// How fast a counter rose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rise {
    /// By how much, from its first value above zero.
    pub(super) by: f64,
    /// In which time.
    pub(super) took: Duration,
}

impl Rise {
    pub(super) fn per_second(&self) -> f64 {
        self.by / self.took.as_secs_f64()
    }
}

/// Waits until a counter has reached a value.
pub(super) async fn rise(address: SocketAddr, name: &str, to: f64) -> anyhow::Result<Rise> {
    let mut first: Option<(Instant, f64)> = None;
    let (mut last, mut changed) = (0.0, Instant::now());
    loop {
        // Until it listens there is no page.
        let value =
            page(address).await.ok().and_then(|page| page.get(name).copied()).unwrap_or(0.0);
        let now = Instant::now();
        if value > 0.0 && first.is_none() {
            first = Some((now, value));
        }
        if value >= to {
            let (began, from) = first.unwrap_or((now, value));
            return Ok(Rise { by: value - from, took: now - began });
        }
        if value > last {
            (last, changed) = (value, now);
        }
        if changed.elapsed() > STALL {
            bail!("wait for {name}: it stands at {last} of {to}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until a service says that it is ready.
pub(super) async fn ready(address: SocketAddr) -> anyhow::Result<()> {
    let began = Instant::now();
    while began.elapsed() < STALL {
        let asked = async {
            let mut stream = TcpStream::connect(address).await?;
            stream
                .write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            std::io::Result::Ok(text.starts_with("HTTP/1.1 200"))
        };
        if asked.await.is_ok_and(|ready| ready) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("wait for a service to be ready");
}
