//! One connection attempt: one client, polled by one task.
//!
//! rumqttc's event loop is not safe to cancel in the middle of a write (a packet that is already booked
//! as sent would never reach the socket), so it is never polled inside a `select!` of ours: a task owns
//! it and hands on what matters through a bounded channel. The task ends with its first error, and
//! the client with it; whoever wants to go on opens another [`Connection`]. This is why rumqttc's own
//! resending, which loses messages, never comes into play.
//!
//! When the receiver does not keep up the task waits, and with it the socket: the bound on memory does
//! not depend on the broker keeping to a receive maximum (Mosquitto 2.0.11 does not). The channel is bounded by
//! messages and by their bytes. While the task waits it answers no pings; a broker that fills the channel beyond
//! what it was told may take the connection for dead, and hands everything out again on the next one.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use crate::connector::{Connector, Session};
use crate::error::LinkError;
use crate::presence::Presence;

/// How many bytes of received messages may wait in the channel. One message may be larger; it goes alone.
const WAITING_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// What a message takes beside its topic and payload.
const MESSAGE_BYTES: usize = 256;

/// An event on its way, with its part of [`WAITING_BYTES_MAX`].
type Waiting = (LinkEvent, Option<OwnedSemaphorePermit>);

/// What the polling task hands on.
pub(crate) type LinkEvent = Result<Event, LinkError>;

/// A client, and the task that polls its event loop. Dropping it closes the socket.
pub(crate) struct Connection {
    pub(crate) client: AsyncClient,
    events: mpsc::Receiver<Waiting>,
    task: Option<AbortOnDropHandle<()>>,
}

impl Connection {
    /// Starts to connect. `requests` is how many packets may wait to be sent, `events` how many events
    /// may wait to be received.
    pub(crate) fn open(
        connector: &Connector,
        session: Session,
        presence: Option<&Presence>,
        requests: usize,
        events: usize,
    ) -> Self {
        let mut options = connector.options(session);
        if let Some(presence) = presence {
            options.set_last_will(presence.will());
        }
        let (client, event_loop) = AsyncClient::new(options, requests);
        let (sender, receiver) = mpsc::channel(events);
        let task = AbortOnDropHandle::new(tokio::spawn(poll(event_loop, sender)));
        Self { client, events: receiver, task: Some(task) }
    }

    /// The next event; after an error or the end of a closed connection, `None`. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<LinkEvent> {
        if let Some((event, _)) = self.events.recv().await {
            return Some(event);
        }
        let ended = self.task.as_mut()?.await;
        self.task = None;
        match ended {
            Err(error) if error.is_panic() => Some(Err(LinkError::Panicked)),
            _ => None,
        }
    }

    /// The next event, if it has come. The end of the connection is told by [`Connection::next`] alone.
    pub(crate) fn ready(&mut self) -> Option<LinkEvent> {
        self.events.try_recv().ok().map(|(event, _)| event)
    }

    /// Sends what is queued and a DISCONNECT, and waits for that, but not longer than `grace`.
    pub(crate) async fn close(mut self, grace: Duration) {
        if self.client.try_disconnect().is_err() {
            return;
        }
        let drained = async { while self.events.recv().await.is_some() {} };
        // Whether in time or not, the connection is over: dropping it closes the socket.
        tokio::time::timeout(grace, drained).await.ok();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

async fn poll(mut event_loop: EventLoop, events: mpsc::Sender<Waiting>) {
    let room = Arc::new(Semaphore::new(WAITING_BYTES_MAX as usize));
    loop {
        // Version 5's loop has no timeout for writing: a half-open socket with a full buffer would
        // block it and its own keep-alive for ever. The broker may have changed the keep-alive.
        let silence = 2 * event_loop.options.keep_alive();
        let event = match tokio::time::timeout(silence, event_loop.poll()).await {
            Ok(Ok(event)) => Ok(event),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(LinkError::Silent(silence)),
        };
        let last = matches!(event, Err(_) | Ok(Event::Outgoing(Outgoing::Disconnect)));
        if matters(&event) {
            let share = match bytes(&event) {
                0 => None,
                // Never closed, so that it always ends with a share.
                bytes => Arc::clone(&room).acquire_many_owned(bytes).await.ok(),
            };
            if events.send((event, share)).await.is_err() {
                return;
            }
        }
        if last {
            return;
        }
    }
}

/// What a received message takes of [`WAITING_BYTES_MAX`]; nothing for other events.
fn bytes(event: &LinkEvent) -> u32 {
    let Ok(Event::Incoming(Packet::Publish(publish))) = event else { return 0 };
    let bytes = publish.topic.len() + publish.payload.len() + MESSAGE_BYTES;
    u32::try_from(bytes).unwrap_or(u32::MAX).min(WAITING_BYTES_MAX)
}

fn matters(event: &LinkEvent) -> bool {
    match event {
        Err(_) => true,
        Ok(Event::Outgoing(outgoing)) => {
            // Id 0 is a message at most once: nobody waits for more of it.
            matches!(outgoing, Outgoing::Publish(1..) | Outgoing::AwaitAck(_))
        }
        Ok(Event::Incoming(packet)) => matches!(
            packet,
            Packet::ConnAck(_) | Packet::Publish(_) | Packet::PubAck(_) | Packet::SubAck(_)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::Publish;

    #[test]
    fn a_message_takes_its_bytes_and_never_more_than_there_are() {
        let message = |size: usize| {
            let publish = Publish::new("t", QoS::AtLeastOnce, vec![0; size], None);
            bytes(&Ok(Event::Incoming(Packet::Publish(publish))))
        };
        assert_eq!(message(1_000), 1_257);
        assert_eq!(message(5_000_000), WAITING_BYTES_MAX);
        assert_eq!(bytes(&Ok(Event::Outgoing(Outgoing::PingReq))), 0);
    }
}
