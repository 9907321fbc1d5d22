//! Which events a side has seen lately, so that a repetition is known.
//!
//! Remembers key, id and time of the events that were not late, also of duplicates: a key counts as
//! new only after silence. Nothing is forgotten before the caller says; an event out of order may be
//! kept a little longer, until those that arrived before it are forgotten.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use weir_events::{EventId, EventTime, Key, UnjoinedReason};

/// One event seen.
type Seen = (EventTime, EventId);

#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Each list is sorted, so that a key that floods the topic costs no more than others.
    by_key: HashMap<Key, VecDeque<Seen>>,
    /// In order of arrival: nearly that of time, and far cheaper to keep than a heap.
    arrived: VecDeque<(EventTime, Key)>,
}

impl Memory {
    /// Remembers an event, and says why it does not count as new: exactly this event was seen, or
    /// another of its key at most `distance` away.
    pub(super) fn remember(
        &mut self,
        key: &Key,
        id: EventId,
        time: EventTime,
        distance: Duration,
    ) -> Option<UnjoinedReason> {
        // Most keys come once: room for one, not for the four that growing would take.
        let seen = self.by_key.entry(key.clone()).or_insert_with(|| VecDeque::with_capacity(1));
        let nearest_from = time.minus(distance);
        let first = seen.partition_point(|&(seen, _)| seen < nearest_from);
        let is_near = seen.get(first).is_some_and(|&(seen, _)| seen <= time.plus(distance));
        let Err(place) = seen.binary_search(&(time, id)) else {
            return Some(UnjoinedReason::Superseded);
        };
        seen.insert(place, (time, id));
        self.arrived.push_back((time, key.clone()));
        is_near.then_some(UnjoinedReason::Duplicate)
    }

    /// Whether exactly this event was seen.
    pub(super) fn holds(&self, key: &Key, id: EventId, time: EventTime) -> bool {
        self.by_key.get(key).is_some_and(|seen| seen.binary_search(&(time, id)).is_ok())
    }

    /// Forgets what is older than this.
    pub(super) fn forget_before(&mut self, limit: EventTime) {
        while let Some((_, key)) = self.arrived.pop_front_if(|(time, _)| *time < limit) {
            let Some(seen) = self.by_key.get_mut(&key) else { continue };
            while seen.front().is_some_and(|&(time, _)| time < limit) {
                seen.pop_front();
            }
            if seen.is_empty() {
                self.by_key.remove(&key);
            }
        }
    }
}
