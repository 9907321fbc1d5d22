//! Asks a store again until it has done as asked: a server may be away for a while.
//!
//! What the caller holds stays held meanwhile. A person who reads the log sees one line when the trouble
//! begins, when its reason changes and from time to time, and one when it is over.

use std::error::Error;
use std::time::{Duration, Instant};

use weir_service::Shutdown;

use super::StoreError;

const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// The same trouble is told again after this time only.
const REPEAT: Duration = Duration::from_secs(30);

/// Repeats a request until it succeeds. None if the host shuts down first.
///
/// # Errors
/// If the configuration is wrong, so that repeating is of no use.
pub(crate) async fn until_done<T, F: Future<Output = Result<T, StoreError>>>(
    shutdown: &Shutdown,
    mut request: impl FnMut() -> F,
) -> Result<Option<T>, StoreError> {
    let (began, mut pause) = (Instant::now(), PAUSE_MIN);
    let mut told: Option<(String, Instant)> = None;
    loop {
        let answer = tokio::select! {
            answer = request() => answer,
            () = shutdown.cancelled() => return Ok(None),
        };
        let error = match answer {
            Ok(done) => {
                if told.is_some() {
                    let after = began.elapsed();
                    tracing::info!(?after, "the store of training rows is back");
                }
                return Ok(Some(done));
            }
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => chain(&error),
        };
        if !told.as_ref().is_some_and(|(before, at)| *before == error && at.elapsed() < REPEAT) {
            tracing::warn!(error, "the store of training rows is away; trying until it is back");
            told = Some((error, Instant::now()));
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return Ok(None),
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn chain(error: &StoreError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use weir_service::ConfigError;

    use super::*;

    fn failure(source: impl Into<super::super::Cause>) -> StoreError {
        StoreError { action: "insert", source: source.into() }
    }

    #[tokio::test]
    async fn a_request_is_repeated_until_it_succeeds() {
        let mut answers = [Ok("stored"), Err(failure("away"))].into_iter().rev();
        let mut request = || std::future::ready(answers.next().expect("not asked again"));
        let done = until_done(&Shutdown::new(), &mut request).await;
        assert_eq!(done.expect("not fatal"), Some("stored"));
    }

    #[tokio::test]
    async fn shutdown_ends_it_and_a_wrong_setting_at_once() {
        let shutdown = Shutdown::new();
        let away = until_done(&shutdown, || {
            shutdown.cancel();
            std::future::ready(Err::<(), _>(failure("away")))
        });
        assert_eq!(away.await.expect("not fatal"), None);
        let wrong =
            || std::future::ready(Err::<(), _>(failure(ConfigError::value("store.uri: wrong"))));
        let error = until_done(&Shutdown::new(), wrong).await.expect_err("fatal");
        assert_eq!(chain(&error), "insert training rows: use the configuration: store.uri: wrong");
    }
}
