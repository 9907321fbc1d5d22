//! Watching who has the session: the shell around [`crate::standby`].
//!
//! A watcher is a client of its own, under another client id, and reads only the topic of presence. It leaves
//! nothing behind at the broker.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;
use weir_mqtt::{Connector, LinkError, Presence, Subscriber, SubscriberEvent};
use weir_service::{ConfigError, Shutdown};

use crate::standby::{Patience, Seen, Status, Watch};

/// How long a session that nobody has is left to others, in the mean.
const PAUSE: Duration = Duration::from_secs(1);
/// So many refreshes may be missed.
const REFRESHES: u32 = 3;
/// How long the DISCONNECT of a watcher may take.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// Differs from process to process, so that bridges cut off together do not return together.
pub(crate) fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Which process this is, among all that have its client id.
fn instance() -> &'static str {
    static INSTANCE: OnceLock<String> = OnceLock::new();
    INSTANCE.get_or_init(|| format!("{:016x}", random_seed()))
}

/// How this process tells that it has the session.
pub(crate) fn presence(connector: &Connector) -> Presence {
    let status = |active| Status { instance: instance().to_owned(), active }.to_bytes().into();
    Presence { topic: topic(connector), here: status(true), gone: status(false) }
}

fn topic(connector: &Connector) -> String {
    format!("weir-status/weir-bridge/{}", connector.config().client_id)
}

/// Waits until it is this process's turn. Returns false if it shall end before.
///
/// # Errors
/// If the broker refuses a client that it has never accepted.
pub(crate) async fn turn(
    connector: &Connector,
    accepted: &mut bool,
    shutdown: &Shutdown,
) -> Result<bool, ConfigError> {
    let keep_alive = connector.config().keep_alive;
    // Between half the pause and one and a half.
    let jitter = PAUSE.mul_f64((random_seed() % 1_000) as f64 / 1_000.0);
    let patience = Patience { pause: PAUSE / 2 + jitter, silence: REFRESHES * keep_alive };
    let mut watch = Watch::new(patience, instance());
    let (begin, topic) = (Instant::now(), topic(connector));
    let client_id = format!("{}-standby-{}", connector.config().client_id, instance());
    let mut subscriber = Subscriber::new(&connector.passing(&client_id), &[&topic], random_seed());
    let mut told = None;
    let turn = loop {
        let deadline = watch.deadline().map(|deadline| begin + deadline);
        let event = tokio::select! {
            () = shutdown.cancelled() => break false,
            event = subscriber.next() => event,
            () = tokio::time::sleep_until(deadline.unwrap_or(begin)), if deadline.is_some() => break true,
        };
        let seen = match event {
            SubscriberEvent::Connected { .. } => {
                *accepted = true;
                continue;
            }
            SubscriberEvent::Subscribed { .. } => Seen::Connected,
            SubscriberEvent::Disconnected { error: LinkError::Denied(denial), .. }
                if !*accepted =>
            {
                return Err(ConfigError::value(denial));
            }
            SubscriberEvent::Disconnected { error, .. } => {
                tracing::warn!(%error, "standing by without a connection; trying again");
                Seen::Disconnected
            }
            SubscriberEvent::Message(message) => {
                let status = Status::parse(&message.payload);
                subscriber.acks().ack(message.token);
                let Some(status) = status else { continue };
                Seen::Status(status)
            }
        };
        watch.see(seen, begin.elapsed());
        let active = watch.active().map(str::to_owned);
        if active != told {
            match &active {
                Some(instance) => tracing::info!(instance, "standing by; another bridge is active"),
                None => tracing::info!("standing by; no bridge is active"),
            }
            told = active;
        }
    };
    subscriber.close(CLOSE_GRACE).await;
    Ok(turn)
}
