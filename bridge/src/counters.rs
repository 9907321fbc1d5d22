//! What a running bridge has done so far, for whoever looks on: a metrics page, the demo, a test.
//!
//! One writer, any number of readers, no lock. A reader may see one count a moment before another; at
//! rest, received = forwarded + dead-lettered + returned.

use std::sync::atomic::{AtomicU64, Ordering};

use weir_events::Reason;

use crate::relay::Tally;

/// Counts since the start. Share it in an `Arc`.
#[derive(Debug, Default)]
pub struct BridgeCounters {
    received: AtomicU64,
    forwarded: AtomicU64,
    returned: AtomicU64,
    acknowledged: AtomicU64,
    subscriptions: AtomicU64,
    resets: AtomicU64,
    dead_lettered: [AtomicU64; Reason::ALL.len()],
}

impl BridgeCounters {
    /// Messages received, those included that the broker sent again.
    pub fn received(&self) -> u64 {
        get(&self.received)
    }

    /// Events that are in Kafka.
    pub fn forwarded(&self) -> u64 {
        get(&self.forwarded)
    }

    /// Messages left to the MQTT broker because Kafka did not take them in time; they come again.
    pub fn returned(&self) -> u64 {
        get(&self.returned)
    }

    /// Messages acknowledged to the MQTT broker.
    pub fn acknowledged(&self) -> u64 {
        get(&self.acknowledged)
    }

    /// Connections on which the MQTT broker has confirmed the subscription. From the first one on,
    /// nothing that is published is missed.
    pub fn subscriptions(&self) -> u64 {
        get(&self.subscriptions)
    }

    /// New starts because Kafka did not take a record in time.
    pub fn resets(&self) -> u64 {
        get(&self.resets)
    }

    /// Messages whose dead letter is in Kafka.
    pub fn dead_lettered(&self) -> u64 {
        self.dead_lettered.iter().map(get).sum()
    }

    /// Messages whose dead letter is in Kafka, for one reason.
    pub fn dead_lettered_for(&self, reason: Reason) -> u64 {
        get(self.slot(reason))
    }

    pub(crate) fn set(&self, tally: &Tally) {
        self.received.store(tally.received, Ordering::Relaxed);
        self.forwarded.store(tally.forwarded, Ordering::Relaxed);
        self.returned.store(tally.returned, Ordering::Relaxed);
        self.acknowledged.store(tally.acknowledged, Ordering::Relaxed);
    }

    pub(crate) fn add_dead_letter(&self, reason: Reason) {
        self.slot(reason).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_subscription(&self) {
        self.subscriptions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_reset(&self) {
        self.resets.fetch_add(1, Ordering::Relaxed);
    }

    fn slot(&self, reason: Reason) -> &AtomicU64 {
        // `Reason::ALL` is in the order of the enum.
        &self.dead_lettered[reason as usize]
    }
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_count() {
        let counters = BridgeCounters::default();
        for (times, reason) in Reason::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| counters.add_dead_letter(reason));
        }
        for (times, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(counters.dead_lettered_for(reason), times as u64, "{reason}");
        }
        assert_eq!(counters.dead_lettered(), 136);
    }
}
