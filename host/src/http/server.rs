//! Connections and routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;
use utoipa_swagger_ui::SwaggerUi;
use weir_service::{ConfigError, Shutdown};

use super::fault::Fault;
use super::guard::{Peer, Tokens, admit};
use super::{App, HttpSection, Served, charts, openapi, page};

const CONNECTIONS_MAX: usize = 256;
/// How long a client may take for the head of a request, and may be idle before the next.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 32 << 10;
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a client may be silent within a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last, whatever happens on it. A page that listens to events opens another.
const CONNECTION_TIME: Duration = Duration::from_secs(3600);
/// After an error of `accept`: most often the process has no file left for a while.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// What answers on their way get at the end.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// A bound port, and who may write there.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    tokens: Tokens,
}

impl HttpServer {
    /// Listens where the settings say; none if they turn it off.
    ///
    /// # Errors
    /// If the address is none or cannot be listened to, or the file of tokens cannot be used.
    pub async fn bind(section: &HttpSection) -> anyhow::Result<Option<Self>> {
        let Some(address) = section.address()? else { return Ok(None) };
        let tokens = Tokens::read(&section.token_file)?;
        let listener = TcpListener::bind(address).await.map_err(|error| {
            ConfigError::value(format!("http.listen: cannot listen on {address}: {error}"))
        })?;
        let server = Self { listener, tokens };
        let at = server.address().context("ask for the port")?;
        tracing::info!("page at http://{at}/, interface at http://{at}/swagger");
        if !at.ip().is_loopback() {
            tracing::warn!("whoever reaches this port may read; put TLS before it (docs/http.md)");
        }
        Ok(Some(server))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not know.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, and a moment longer for answers on their way.
    pub(crate) async fn run(self, served: Served, shutdown: Shutdown) {
        let router = router(Arc::new(App::new(served, self.tokens)));
        // Dropping it ends the connections.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                // Errors of a connection are its client's.
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                    Ok((stream, peer)) => {
                        let router = router.clone();
                        let served = serve(stream, peer, router, shutdown.clone());
                        connections.spawn(tokio::time::timeout(CONNECTION_TIME, served));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        let closed = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_GRACE, closed).await.is_err() {
            tracing::debug!(open = connections.len(), "HTTP connections were cut off");
        }
    }
}

async fn serve(
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
    router: Router,
    shutdown: Shutdown,
) {
    let router = router.layer(axum::Extension(Peer(peer)));
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "HTTP connection ended");
    }
}

/// Every route, and what holds for all of them.
fn router(app: Arc<App>) -> Router {
    let (interface, described) = openapi::routes(&app.schema);
    // Swagger's page writes styles into its own elements.
    let swagger: Router<Arc<App>> =
        SwaggerUi::new("/swagger").url("/openapi.json", described).into();
    let swagger = swagger.layer(policy("default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"));
    let page = Router::new()
        .route("/", get(page::whole))
        .route("/page", get(page::parts))
        .route("/charts/{name}", get(charts::get))
        .route("/assets/{name}", get(page::asset))
        .layer(policy(page::POLICY));
    let interface = interface.layer(policy("default-src 'none'; frame-ancestors 'none'"));
    let fixed = |name: HeaderName, value| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    Router::new()
        .merge(interface)
        .merge(page)
        .merge(swagger)
        .fallback(async |request: Request| {
            let path = weir_view::show::text(request.uri().path(), 60);
            Fault::new(
                StatusCode::NOT_FOUND,
                "unknown-path",
                format!("there is no {path}; see /swagger"),
            )
        })
        .method_not_allowed_fallback(async || {
            let detail = "the path knows other methods; see /swagger";
            Fault::new(StatusCode::METHOD_NOT_ALLOWED, "unknown-method", detail)
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(RequestBodyTimeoutLayer::new(BODY_TIMEOUT))
        .layer(from_fn_with_state(Arc::clone(&app), admit))
        .layer(CatchPanicLayer::custom(|_panic: Box<dyn std::any::Any + Send>| {
            use axum::response::IntoResponse as _;
            let detail = "the request could not be worked on; the host's log says why";
            Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
        }))
        .layer(fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(fixed(header::REFERRER_POLICY, "no-referrer"))
        .layer(fixed(header::CACHE_CONTROL, "no-store"))
        .with_state(app)
}

fn policy(text: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    let value = HeaderValue::from_static(text);
    SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, value)
}
