//! The HTTP port: `/healthz`, `/ready`, `/metrics`, by GET and HEAD, and nothing else.
//!
//! The protocol is hyper's. A connection answers one request and is closed; probes and scrapers come every few
//! seconds at most, and there is no idle connection to keep count of.
//!
//! **Invariants.** At most [`CONNECTIONS_MAX`] connections are open; the next waits in the kernel's queue.
//! Each is closed after [`Limits::connection_time`], whatever it sends or does not read: sixteen slow clients
//! delay the next by that time. A request's head is at most [`HEAD_BYTES_MAX`] long, and its body is not read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{HealthConfig, MetricsText, Vitals, metrics, supervise};
use crate::{ConfigError, Shutdown};

const CONNECTIONS_MAX: usize = 16;
/// The least that hyper takes; with it the connections hold 128 KiB at most.
const HEAD_BYTES_MAX: usize = 8192;
const HEADERS_MAX: usize = 32;
/// After an error of `accept`: most often the process has no file left for a while.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// What answers on their way get at the end. A client that has said nothing yet costs as much.
const CLOSE_GRACE: Duration = Duration::from_millis(200);

const TEXT: &str = "text/plain; charset=utf-8";

/// Bounds that tests make smaller.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connection_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        // Prometheus and orchestrators give up after 1 to 10 s.
        Self { connection_time: Duration::from_secs(5) }
    }
}

/// A bound port that answers once it [runs](Self::run), or none if the settings turn it off.
#[derive(Debug)]
pub struct HealthServer {
    listener: Option<TcpListener>,
    limits: Limits,
}

impl HealthServer {
    /// Listens where the settings say.
    ///
    /// # Errors
    /// If the address is none, or cannot be listened to; a port in use is such a case.
    pub async fn bind(config: &HealthConfig) -> Result<Self, ConfigError> {
        let limits = Limits::default();
        let Some(address) = config.address()? else { return Ok(Self { listener: None, limits }) };
        let listener = TcpListener::bind(address).await.map_err(|error| {
            ConfigError::value(format!("health.listen: cannot listen on {address}: {error}"))
        })?;
        let server = Self { listener: Some(listener), limits };
        if let Some(address) = server.address() {
            tracing::info!(%address, "serving /healthz, /ready and /metrics");
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `shutdown`, and a moment longer for answers on their way.
    pub async fn run(self, vitals: Arc<dyn Vitals>, shutdown: Shutdown) {
        let Some(listener) = &self.listener else { return shutdown.cancelled().await };
        // Dropping it ends the connections.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                // A connection that ended: its errors, panics of `vitals` included, are its client's.
                Some(_) = connections.join_next() => {}
                accepted = accept(listener), if connections.len() < CONNECTIONS_MAX => {
                    let connection = serve(accepted, vitals.clone());
                    connections.spawn(tokio::time::timeout(self.limits.connection_time, connection));
                }
            }
        }
        let closed = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_GRACE, closed).await.is_err() {
            tracing::debug!(open = connections.len(), "health connections were cut off");
        }
    }

    /// Runs `work` to its end, which `shutdown` begins; meanwhile serves, and tells systemd. While the work
    /// drains, the port goes on to answer, and `/ready` says so.
    ///
    /// All of it is one task: see [`supervise`].
    pub async fn attend<T>(
        self,
        vitals: Arc<dyn Vitals>,
        shutdown: Shutdown,
        work: impl Future<Output = T>,
    ) -> T {
        let served = Shutdown::new();
        let draining = Draining { vitals: vitals.clone(), shutdown: shutdown.clone() };
        let serving = self.run(Arc::new(draining), served.clone());
        let working = async {
            let result = tokio::select! {
                result = work => result,
                never = supervise(vitals, shutdown) => match never {},
            };
            served.cancel();
            result
        };
        tokio::join!(working, serving).0
    }
}

/// The next client. Errors of `accept` pass, so they are waited out.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => tracing::warn!(%error, "no connection for health can be accepted"),
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

async fn serve(stream: TcpStream, vitals: Arc<dyn Vitals>) {
    let service = service_fn(|request| std::future::ready(answer(&request, &vitals)));
    let served = http1::Builder::new()
        .keep_alive(false)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a health connection broke off");
    }
}

fn answer(
    request: &Request<Incoming>,
    vitals: &Arc<dyn Vitals>,
) -> Result<Response<String>, Infallible> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    Ok(match request.uri().path() {
        "/healthz" | "/ready" | "/metrics" if !is_read => {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refusal
        }
        "/healthz" => text(StatusCode::OK, "alive"),
        "/ready" => match vitals.ready() {
            Ok(()) => text(StatusCode::OK, "ready"),
            Err(missing) => text(StatusCode::SERVICE_UNAVAILABLE, &missing),
        },
        "/metrics" => match metrics::render(vitals.clone()) {
            Ok(page) => response(StatusCode::OK, metrics::CONTENT_TYPE, page),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written"),
        },
        _ => text(StatusCode::NOT_FOUND, "try /healthz, /ready or /metrics"),
    })
}

fn text(status: StatusCode, sentence: &str) -> Response<String> {
    response(status, TEXT, format!("{sentence}\n"))
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A service that is not ready once it is told to end.
struct Draining {
    vitals: Arc<dyn Vitals>,
    shutdown: Shutdown,
}

impl Vitals for Draining {
    fn ready(&self) -> Result<(), String> {
        if self.shutdown.is_cancelled() { Err("shutting down".into()) } else { self.vitals.ready() }
    }

    fn metrics(&self, out: &mut MetricsText<'_>) {
        self.vitals.metrics(out);
    }
}

#[cfg(test)]
mod tests;
