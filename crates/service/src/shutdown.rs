//! Orderly ends: one token that every task watches.

/// Cancelled when the service shall end. Cheap to clone.
pub use tokio_util::sync::CancellationToken as Shutdown;

/// A token that SIGTERM or SIGINT cancels. A second signal ends the process at once.
///
/// # Errors
/// If the signals cannot be listened to.
pub fn shutdown_on_signals() -> std::io::Result<Shutdown> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = Shutdown::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        for attempt in 1.. {
            let signal = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if attempt > 1 {
                tracing::warn!(signal, "ending at once");
                std::process::exit(i32::from(crate::EXIT_FAILED));
            }
            tracing::info!(signal, "shutting down; a second signal ends at once");
            token.cancel();
        }
    });
    Ok(shutdown)
}
