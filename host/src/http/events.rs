//! What happens, as it happens: server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::error::RecvError;

use super::Shared;
use super::fault::Fault;

/// Who may listen at once. Each is a connection that stays open.
const LISTENERS_MAX: usize = 64;
/// Between two signs of life on a silent line: proxies close a connection after a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Everything that happens from now on, as server-sent events.
///
/// `joined`, `unjoined`, `window`, `trigger`, `version`, `dead-letter`: one of each, its data a JSON object. `state`: lag,
/// rates or the connection to Kafka have changed. `missed`: the listener was too slow for some of them.
#[utoipa::path(
    get, path = "/events", tag = "look",
    responses(
        (status = 200, description = "an endless stream", content_type = "text/event-stream", body = String),
        (status = 429, description = "too many requests", content_type = "application/problem+json", body = Fault),
        (status = 503, description = "too many listeners", content_type = "application/problem+json", body = Fault),
    )
)]
pub(super) async fn events(
    State(app): Shared,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Fault> {
    let receiver = app.watch.listen();
    if app.watch.listeners() > LISTENERS_MAX {
        let detail = format!("there are {LISTENERS_MAX} listeners; close one");
        return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-listeners", detail));
    }
    // The first event says that the line is open.
    let hello = Arc::<str>::from("{}");
    let stream = unfold((receiver, Some(hello)), |(mut receiver, hello)| async {
        if let Some(data) = hello {
            return Some((Ok(Event::default().event("state").data(&*data)), (receiver, None)));
        }
        let event = match receiver.recv().await {
            Ok(event) => Event::default().event(event.name).data(&*event.data),
            Err(RecvError::Lagged(missed)) => {
                Event::default().event("missed").data(format!("{{\"Events\":{missed}}}"))
            }
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(event), (receiver, None)))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}
