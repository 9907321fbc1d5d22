//! The port over real sockets, by hand-written requests: a client library would hide what is on the wire.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Station {
    connected: AtomicBool,
    scrapes: AtomicU64,
}

impl Vitals for Station {
    fn ready(&self) -> Result<(), String> {
        let connected = self.connected.load(Ordering::SeqCst);
        if connected { Ok(()) } else { Err("not connected to the MQTT broker".into()) }
    }

    fn metrics(&self, out: &mut MetricsText<'_>) {
        let scrapes = self.scrapes.fetch_add(1, Ordering::SeqCst) + 1;
        assert_ne!(scrapes, 13, "bad luck");
        out.counter(crate::health::Metric::AgentConnections, scrapes);
    }
}

struct Running {
    address: SocketAddr,
    station: Arc<Station>,
    shutdown: Shutdown,
    server: JoinHandle<()>,
}

async fn bind() -> HealthServer {
    HealthServer::bind(&HealthConfig { listen: "127.0.0.1:0".into() }).await.expect("bound")
}

async fn run(connection_time: Duration) -> Running {
    let server = HealthServer { limits: Limits { connection_time }, ..bind().await };
    let address = server.address().expect("listens");
    let (station, shutdown) = (Arc::new(Station::default()), Shutdown::new());
    let server = tokio::spawn(server.run(station.clone(), shutdown.clone()));
    Running { address, station, shutdown, server }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connected")
    }

    /// Sends `request` and reads to the end of the connection.
    async fn send(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        let read = timeout(PATIENCE, stream.read_to_string(&mut answer));
        read.await.expect("ends").expect("read");
        answer
    }

    async fn ask(&self, method: &str, path: &str) -> (u16, String, String) {
        let answer = self.send(&format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("a status"), head.to_ascii_lowercase(), body.to_owned())
    }

    async fn end(self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.server).await.expect("ends").expect("no panic");
    }
}

#[tokio::test]
async fn life_readiness_and_metrics() {
    let running = run(PATIENCE).await;
    let (status, head, body) = running.ask("GET", "/healthz").await;
    assert_eq!((status, body.as_str()), (200, "alive\n"));
    assert!(head.contains("connection: close"), "{head}");

    let (status, _, body) = running.ask("GET", "/ready").await;
    assert_eq!((status, body.as_str()), (503, "not connected to the MQTT broker\n"));
    running.station.connected.store(true, Ordering::SeqCst);
    assert_eq!(running.ask("GET", "/ready?verbose=1").await.0, 200);

    let (status, head, body) = running.ask("GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.ends_with(
        "# TYPE weir_agent_connections_total counter\nweir_agent_connections_total 1\n"
    ));
    running.end().await;
}

#[tokio::test]
async fn only_reading_and_only_what_there_is() {
    let running = run(PATIENCE).await;
    let (status, head, body) = running.ask("HEAD", "/healthz").await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-length: 6"), "{head}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let (status, head, _) = running.ask(method, "/metrics").await;
        assert_eq!(status, 405, "{method}");
        assert!(head.contains("allow: get, head"), "{head}");
    }
    for path in ["/", "/metrics/", "/healthz/../ready", "//ready"] {
        assert_eq!(running.ask("GET", path).await.0, 404, "{path}");
    }
    assert_eq!(running.station.scrapes.load(Ordering::SeqCst), 0);
    running.end().await;
}

#[tokio::test]
async fn what_is_too_large_or_no_http_is_refused() {
    let running = run(PATIENCE).await;
    let status = |answer: String| answer.split(' ').nth(1).map(str::to_owned);
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
    assert_eq!(status(running.send(&many).await).as_deref(), Some("431"));
    assert_eq!(status(running.send("hello\r\n\r\n").await).as_deref(), Some("400"));

    // Far above the limit: the server must close while the client still sends.
    let mut stream = running.connect().await;
    let flood = async {
        stream.write_all(b"GET /healthz HTTP/1.1\r\na: ").await?;
        loop {
            stream.write_all(&[b'x'; 4096]).await?;
        }
    };
    let refused: io::Result<Infallible> = timeout(PATIENCE, flood).await.expect("is closed");
    assert!(refused.is_err());
    running.end().await;
}

/// Two requests in one go: the second is not answered.
#[tokio::test]
async fn a_connection_is_one_request() {
    let running = run(PATIENCE).await;
    let request = "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let mut stream = running.connect().await;
    stream.write_all(request.repeat(2).as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // What was sent in vain may reset the connection after the answer.
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("ends");
    assert!(read.is_ok() || !answer.is_empty());
    assert_eq!(running.station.scrapes.load(Ordering::SeqCst), 1);
    running.end().await;
}

/// A byte now and then does not keep a connection open.
#[tokio::test]
async fn a_slow_client_is_cut_off() {
    let running = run(Duration::from_millis(300)).await;
    let (mut stream, begun) = (running.connect().await, Instant::now());
    let drip = async {
        stream.write_all(b"GET /healthz HTTP/1.1\r\n").await?;
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        loop {
            pause.tick().await;
            stream.write_all(b"a: b\r\n").await?;
        }
    };
    let cut: io::Result<Infallible> = timeout(PATIENCE, drip).await.expect("is cut off");
    assert!(cut.is_err() && begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    running.end().await;
}

/// The client after the last allowed one waits until the idle ones are cut off, and is served then.
#[tokio::test]
async fn the_seventeenth_client_waits() {
    let connection_time = Duration::from_millis(500);
    let (running, begun) = (run(connection_time).await, Instant::now());
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        idle.push(running.connect().await);
    }
    assert_eq!(running.ask("GET", "/healthz").await.0, 200);
    assert!(begun.elapsed() >= connection_time, "{:?}", begun.elapsed());
    for mut stream in idle {
        let read = timeout(PATIENCE, stream.read(&mut [0])).await.expect("is closed");
        assert_eq!(read.expect("read"), 0);
    }
    running.end().await;
}

#[tokio::test]
async fn a_panic_of_the_service_costs_one_answer() {
    let running = run(PATIENCE).await;
    for scrape in 1..=14 {
        let answer = running.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(answer.is_empty(), scrape == 13, "{answer}");
    }
    running.end().await;
}

#[tokio::test]
async fn the_end_does_not_wait_for_idle_clients() {
    let running = run(PATIENCE * 10).await;
    let idle = running.connect().await;
    // Served after it, so it is accepted by now.
    assert_eq!(running.ask("GET", "/healthz").await.0, 200);
    let address = running.address;
    running.end().await;
    assert!(TcpStream::connect(address).await.is_err(), "still listens");
    drop(idle);
}

#[tokio::test]
async fn a_port_in_use_names_the_setting() {
    let first = bind().await;
    let listen = first.address().expect("listens").to_string();
    let error = HealthServer::bind(&HealthConfig { listen: listen.clone() }).await;
    let message = error.expect_err("refused").to_string();
    assert!(message.contains("health.listen: cannot listen on"), "{message}");
    assert!(message.contains(&listen), "{message}");
}

#[tokio::test]
async fn nothing_listens_when_it_is_off() {
    let off = HealthServer::bind(&HealthConfig { listen: String::new() }).await.expect("off");
    assert_eq!(off.address(), None);
    let result = off.attend(Arc::new(Station::default()), Shutdown::new(), async { 7 }).await;
    assert_eq!(result, 7);
}

/// Until the work has ended the port answers; from the signal on it is not ready.
#[tokio::test]
async fn draining_is_seen_and_served() {
    let server = bind().await;
    let address = server.address().expect("listens");
    let (station, shutdown) = (Arc::new(Station::default()), Shutdown::new());
    station.connected.store(true, Ordering::SeqCst);
    // What the client below uses of it; the server proper is in `attend`.
    let parts = (station.clone(), shutdown.clone());
    let client =
        Running { address, station: parts.0, shutdown: parts.1, server: tokio::spawn(async {}) };
    let work = async {
        assert_eq!(client.ask("GET", "/ready").await.0, 200);
        client.shutdown.cancel();
        let (status, _, body) = client.ask("GET", "/ready").await;
        assert_eq!((status, body.as_str()), (503, "shutting down\n"));
        assert_eq!(client.ask("GET", "/metrics").await.0, 200);
        7
    };
    let result = timeout(PATIENCE, server.attend(station, shutdown, work)).await.expect("ends");
    assert_eq!(result, 7);
    assert!(TcpStream::connect(address).await.is_err(), "still listens");
}
