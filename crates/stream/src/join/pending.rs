//! Accepted events that wait for their partner, found by key and taken out by age.
//!
//! Invariant: `by_key` names exactly the entries of `queue`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use weir_events::{EventTime, Key};

use super::half::SideEvent;

/// Event time, then order of arrival.
type Place = (EventTime, u64);

#[derive(Debug)]
pub(super) struct Pending<E> {
    queue: BTreeMap<Place, E>,
    by_key: HashMap<Key, Vec<Place>>,
    arrivals: u64,
}

impl<E> Default for Pending<E> {
    fn default() -> Self {
        Self { queue: BTreeMap::new(), by_key: HashMap::new(), arrivals: 0 }
    }
}

impl<E: SideEvent> Pending<E> {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn insert(&mut self, event: E) {
        let place = (event.time(), self.arrivals);
        self.arrivals += 1;
        self.by_key.entry(event.key().clone()).or_insert_with(|| Vec::with_capacity(1)).push(place);
        self.queue.insert(place, event);
    }

    /// Takes the event of this key at most `distance` away. The join sees to it that there is one
    /// at most.
    pub(super) fn take_near(
        &mut self,
        key: &Key,
        time: EventTime,
        distance: Duration,
    ) -> Option<E> {
        let places = self.by_key.get(key)?;
        let place = *places.iter().find(|place| place.0.distance(time) <= distance)?;
        self.forget(key, place);
        self.queue.remove(&place)
    }

    /// Takes the oldest event, if it is older than the limit; without a limit, in any case.
    pub(super) fn take_first_before(&mut self, limit: Option<EventTime>) -> Option<E> {
        let first = self.queue.first_entry()?;
        let place = *first.key();
        if limit.is_some_and(|limit| place.0 >= limit) {
            return None;
        }
        let event = first.remove();
        self.forget(event.key(), place);
        Some(event)
    }

    fn forget(&mut self, key: &Key, place: Place) {
        let Some(places) = self.by_key.get_mut(key) else { return };
        places.retain(|&other| other != place);
        if places.is_empty() {
            self.by_key.remove(key);
        }
    }
}
