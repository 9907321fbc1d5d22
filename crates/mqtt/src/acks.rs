//! Acknowledging received messages, from anywhere and in any order, without blocking.
//!
//! MQTT demands that PUBACKs go out in the order in which the messages came (MQTT 5, 4.6.0-2), and
//! rumqttd drops the connection and the unacknowledged head when they do not. So an acknowledgement that
//! comes early is held until all earlier ones have come.
//!
//! A packet id means nothing on another connection: an acknowledgement that comes after a reconnect would
//! acknowledge whatever message has that id now. So a token names its subscriber and the generation of
//! its connection, and a stale one is dropped; the broker sends that message again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::v5::Publish;

/// How many messages can await an acknowledgement: there are no more packet ids.
pub(crate) const UNACKED_MAX: usize = u16::MAX as usize;

/// Stands for one received message. Give it to [`Acks::ack`] once the message is safe.
#[derive(Debug)]
#[must_use = "a message that is never acknowledged blocks all later acknowledgements"]
pub struct AckToken {
    /// Whose message it is: generations of two subscribers say nothing about each other.
    state: Arc<Mutex<AckState>>,
    generation: u64,
    /// Place in the connection's order of arrival; none for a message that wants no acknowledgement.
    place: Option<u64>,
}

/// Acknowledges messages of one [`Subscriber`](crate::Subscriber). Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Acks {
    state: Arc<Mutex<AckState>>,
}

#[derive(Debug, Default)]
struct AckState {
    generation: u64,
    client: Option<AsyncClient>,
    order: AckOrder<Publish>,
}

impl Acks {
    /// Acknowledges a message, or drops the acknowledgement if its connection is gone. Never blocks.
    pub fn ack(&self, token: AckToken) {
        let Some(place) = token.place else { return };
        let mut state = self.lock();
        if token.generation != state.generation || !Arc::ptr_eq(&token.state, &self.state) {
            return;
        }
        let AckState { client: Some(client), order, .. } = &mut *state else { return };
        order.mark(place);
        while let Some(publish) = order.pop_ready() {
            // The channel holds UNACKED_MAX, so it refuses only when its event loop has ended; then
            // the connection is gone and the broker sends the message again.
            if client.try_ack(&publish).is_err() {
                return;
            }
        }
    }

    /// How many messages of the present connection await their acknowledgement.
    pub fn outstanding(&self) -> usize {
        self.lock().order.len()
    }

    /// A connection has been accepted: its generation.
    pub(crate) fn connected(&self, client: AsyncClient) -> u64 {
        let mut state = self.lock();
        let generation = state.generation + 1;
        *state = AckState { generation, client: Some(client), order: AckOrder::default() };
        generation
    }

    /// The present connection is over.
    pub(crate) fn disconnected(&self) {
        let mut state = self.lock();
        state.client = None;
        state.order = AckOrder::default();
    }

    /// A message has arrived. `None` when more are unacknowledged than packet ids exist.
    pub(crate) fn received(&self, publish: &Publish) -> Option<AckToken> {
        let mut state = self.lock();
        let generation = state.generation;
        let place = if publish.pkid == 0 {
            None
        } else {
            // All that an acknowledgement needs is the id; the payload must not be kept alive for it.
            let header = Publish { pkid: publish.pkid, qos: publish.qos, ..Publish::default() };
            Some(state.order.push(header)?)
        };
        Some(AckToken { state: Arc::clone(&self.state), generation, place })
    }

    fn lock(&self) -> MutexGuard<'_, AckState> {
        // Nothing panics while it is held, and a half-done change cannot be seen.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Releases items in the order of arrival, whatever the order in which they become ready.
#[derive(Debug)]
struct AckOrder<T> {
    first: u64,
    waiting: VecDeque<(T, bool)>,
}

impl<T> Default for AckOrder<T> {
    fn default() -> Self {
        Self { first: 0, waiting: VecDeque::new() }
    }
}

impl<T> AckOrder<T> {
    fn len(&self) -> usize {
        self.waiting.len()
    }

    fn push(&mut self, item: T) -> Option<u64> {
        if self.waiting.len() >= UNACKED_MAX {
            return None;
        }
        self.waiting.push_back((item, false));
        Some(self.first + self.waiting.len() as u64 - 1)
    }

    fn mark(&mut self, place: u64) {
        let index = place.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some((_, ready)) = index.and_then(|index| self.waiting.get_mut(index)) {
            *ready = true;
        }
    }

    fn pop_ready(&mut self) -> Option<T> {
        self.waiting.front().filter(|(_, ready)| *ready)?;
        self.first += 1;
        self.waiting.pop_front().map(|(item, _)| item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rumqttc::v5::MqttOptions;
    use rumqttc::v5::mqttbytes::QoS;

    proptest! {
        /// The oracle: item n may go exactly when all of 0..=n are marked.
        #[test]
        fn releases_the_marked_prefix(order in Just((0..20_u64).collect::<Vec<_>>()).prop_shuffle()) {
            let mut acks = AckOrder::default();
            for item in 0..20_u64 {
                prop_assert_eq!(acks.push(item), Some(item));
            }
            let mut released = Vec::new();
            for (done, &place) in order.iter().enumerate() {
                acks.mark(place);
                while let Some(item) = acks.pop_ready() {
                    released.push(item);
                }
                let marked = &order[..=done];
                let prefix = (0..20).take_while(|item| marked.contains(item)).count();
                prop_assert_eq!(released.len(), prefix);
            }
            prop_assert!(released.is_sorted() && acks.len() == 0);
        }
    }

    #[test]
    fn refuses_more_than_there_are_packet_ids() {
        let mut acks = AckOrder::default();
        assert!((0..UNACKED_MAX).all(|item| acks.push(item).is_some()));
        assert_eq!(acks.push(0), None);
    }

    /// A late acknowledgement would otherwise acknowledge another message: packet ids start over on
    /// each connection.
    #[test]
    fn an_acknowledgement_of_an_older_connection_is_dropped() {
        let options = MqttOptions::new("test", "localhost", 1883);
        // Kept: with its event loop a client's channel would close.
        let [(one, _loop_one), (two, _loop_two), (foreign, _loop_foreign)] =
            [(); 3].map(|()| AsyncClient::new(options.clone(), 1));
        let (acks, other) = (Acks::default(), Acks::default());
        let message = Publish { pkid: 1, qos: QoS::AtLeastOnce, ..Publish::default() };
        assert_eq!(acks.connected(one), 1);
        let old = acks.received(&message).expect("room");
        assert_eq!(acks.connected(two), 2);
        // The same numbers as the new one's, from another subscriber.
        assert_eq!((other.connected(foreign.clone()), other.connected(foreign)), (1, 2));
        let new = acks.received(&message).expect("room");
        acks.ack(old);
        acks.ack(other.received(&message).expect("room"));
        assert_eq!(acks.outstanding(), 1);
        acks.ack(new);
        assert_eq!(acks.outstanding(), 0);
    }
}
