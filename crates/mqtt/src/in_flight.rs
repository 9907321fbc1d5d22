//! Which published message a PUBACK is for.
//!
//! rumqttc numbers packets itself and tells the number only in an event when it sends one. Events come in the
//! order of publishing, so the n-th such event belongs to the n-th message. The window reaches from
//! the oldest unacknowledged message to the newest: while it is no longer than the packet ids in use,
//! no two messages in it share an id, whatever the order of the PUBACKs.

use std::collections::VecDeque;

/// The published messages from the oldest unacknowledged one on.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    slots: VecDeque<Slot>,
}

#[derive(Debug)]
struct Slot {
    seq: u64,
    packet_id: Option<u16>,
    done: bool,
}

impl InFlight {
    /// The length of the window, acknowledged messages within it included.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// A message was handed to the client.
    pub(crate) fn published(&mut self, seq: u64) {
        self.slots.push_back(Slot { seq, packet_id: None, done: false });
    }

    /// The client has sent a message under this id. False if it was none of ours.
    pub(crate) fn sent(&mut self, packet_id: u16) -> bool {
        let slot = self.slots.iter_mut().find(|slot| slot.packet_id.is_none());
        slot.map(|slot| slot.packet_id = Some(packet_id)).is_some()
    }

    /// The broker has answered the message with this id. `None` if there is none.
    pub(crate) fn answered(&mut self, packet_id: u16) -> Option<u64> {
        let awaited = |slot: &&mut Slot| slot.packet_id == Some(packet_id) && !slot.done;
        let slot = self.slots.iter_mut().find(awaited)?;
        slot.done = true;
        let seq = slot.seq;
        while self.slots.front().is_some_and(|slot| slot.done) {
            self.slots.pop_front();
        }
        Some(seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_window_counts_from_the_oldest_unanswered() {
        let mut window = InFlight::default();
        for seq in 10..14 {
            window.published(seq);
        }
        assert!((1..=4).all(|id| window.sent(id)) && !window.sent(5));
        assert_eq!((window.answered(3), window.answered(3)), (Some(12), None));
        assert_eq!(window.len(), 4);
        assert_eq!((window.answered(1), window.len()), (Some(10), 3));
        assert_eq!((window.answered(2), window.len()), (Some(11), 1));
    }

    proptest! {
        /// Packet ids cycle as in rumqttc; the oracle maps the id in use to its message.
        #[test]
        fn ids_in_a_full_window_stay_distinct(window_max in 1_u16..8, picks in prop::collection::vec(any::<prop::sample::Index>(), 1..200)) {
            let mut window = InFlight::default();
            let mut open: Vec<(u16, u64)> = Vec::new();
            let mut seq = 0_u64;
            for pick in picks {
                while window.len() < usize::from(window_max) {
                    let id = u16::try_from(seq % u64::from(window_max)).expect("small") + 1;
                    prop_assert!(open.iter().all(|&(used, _)| used != id));
                    window.published(seq);
                    prop_assert!(window.sent(id));
                    open.push((id, seq));
                    seq += 1;
                }
                let (id, expected) = open.swap_remove(pick.index(open.len()));
                prop_assert_eq!(window.answered(id), Some(expected));
            }
        }
    }
}
