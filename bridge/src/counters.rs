//! What a running bridge has done so far, for whoever looks on: a metrics page, the demo, a test.
//!
//! Everything is changed and read under one lock, after each batch of messages; the counts of several MQTT brokers
//! are kept apart and summed. So in every [`BridgeCounters::snapshot`]: received = forwarded + dead-lettered + repeated + out of order + returned + in flight.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_events::Reason;

use crate::relay::Tally;

/// Counts since the start. Share it in an `Arc`.
#[derive(Debug, Default)]
pub struct BridgeCounters {
    brokers: Mutex<Vec<Latest>>,
}

#[derive(Debug)]
struct Latest {
    broker: Arc<str>,
    snapshot: Snapshot,
    oldest: Option<Instant>,
}

/// All counts of one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// Where the messages are that were ever received.
    pub messages: Tally,
    /// The memory of what is unacknowledged, in bytes.
    pub in_flight_bytes: usize,
    /// For how long the oldest unacknowledged message has been here; none if there is none.
    pub oldest_unacknowledged: Option<Duration>,
    /// Confirmations that were sent to agents.
    pub confirmations: u64,
    /// Messages whose number another one had. Each is a dead letter.
    pub conflicts: u64,
    /// New starts because Kafka did not take a record in time.
    pub resets: u64,
    /// Senders that are remembered: devices, twice while they pass on to a new spool.
    pub senders: usize,
    /// Connections on which an MQTT broker has confirmed the subscription.
    pub subscriptions: u64,
    /// MQTT brokers that hold the subscription now.
    pub connected: usize,
}

impl Snapshot {
    fn add(&mut self, other: &Self) {
        self.messages.add(&other.messages);
        self.in_flight_bytes += other.in_flight_bytes;
        self.oldest_unacknowledged = self.oldest_unacknowledged.max(other.oldest_unacknowledged);
        self.confirmations += other.confirmations;
        self.conflicts += other.conflicts;
        self.resets += other.resets;
        self.senders += other.senders;
        self.subscriptions += other.subscriptions;
        self.connected += other.connected;
    }

    /// Messages whose dead letter is in Kafka.
    pub fn dead_lettered(&self) -> u64 {
        self.messages.dead_lettered.iter().sum()
    }

    /// Messages whose dead letter is in Kafka, for one reason.
    pub fn dead_lettered_for(&self, reason: Reason) -> u64 {
        self.messages.dead_lettered[reason as usize]
    }
}

impl BridgeCounters {
    /// All counts of this moment, those of all MQTT brokers together.
    pub fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        self.lock().iter().for_each(|latest| sum.add(&latest.now()));
        sum
    }

    /// All counts of this moment, for each MQTT broker with its name in the settings.
    pub fn brokers(&self) -> Vec<(Arc<str>, Snapshot)> {
        let named = |latest: &Latest| (Arc::clone(&latest.broker), latest.now());
        self.lock().iter().map(named).collect()
    }

    /// Messages received, those included that the broker sent again.
    pub fn received(&self) -> u64 {
        self.snapshot().messages.received
    }

    /// Events that are in Kafka.
    pub fn forwarded(&self) -> u64 {
        self.snapshot().messages.forwarded
    }

    /// Messages that had come before, or came too early: nothing was written for them.
    pub fn passed(&self) -> u64 {
        let messages = self.snapshot().messages;
        messages.repeated + messages.out_of_order
    }

    /// Messages left to the MQTT broker because Kafka did not take them in time; they come again.
    pub fn returned(&self) -> u64 {
        self.snapshot().messages.returned
    }

    /// Messages acknowledged to the MQTT broker.
    pub fn acknowledged(&self) -> u64 {
        self.snapshot().messages.acknowledged
    }

    /// Connections on which the MQTT broker has confirmed the subscription. From the first one on,
    /// nothing that is published is missed.
    pub fn subscriptions(&self) -> u64 {
        self.snapshot().subscriptions
    }

    /// New starts because Kafka did not take a record in time.
    pub fn resets(&self) -> u64 {
        self.snapshot().resets
    }

    /// Messages whose dead letter is in Kafka.
    pub fn dead_lettered(&self) -> u64 {
        self.snapshot().dead_lettered()
    }

    /// Messages whose dead letter is in Kafka, for one reason.
    pub fn dead_lettered_for(&self, reason: Reason) -> u64 {
        self.snapshot().dead_lettered_for(reason)
    }

    pub(crate) fn set(&self, broker: &Arc<str>, snapshot: Snapshot, oldest: Option<Instant>) {
        let mut brokers = self.lock();
        let latest = Latest { broker: Arc::clone(broker), snapshot, oldest };
        // There are few of them.
        match brokers.iter_mut().find(|latest| latest.broker == *broker) {
            Some(place) => *place = latest,
            None => brokers.push(latest),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Latest>> {
        // What is in it was whole when it was put there.
        self.brokers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Latest {
    fn now(&self) -> Snapshot {
        let oldest_unacknowledged = self.oldest.map(|since| since.elapsed());
        Snapshot { oldest_unacknowledged, ..self.snapshot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_count() {
        let counters = BridgeCounters::default();
        let dead_lettered = std::array::from_fn(|place| place as u64);
        let messages = Tally { dead_lettered, ..Tally::default() };
        counters.set(&"a".into(), Snapshot { messages, ..Snapshot::default() }, None);
        for (times, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(counters.dead_lettered_for(reason), times as u64, "{reason}");
        }
        assert_eq!(counters.dead_lettered(), 136);
    }

    #[test]
    fn brokers_are_summed() {
        let counters = BridgeCounters::default();
        let told = |received| {
            let messages = Tally { received, ..Tally::default() };
            Snapshot { messages, connected: 1, ..Snapshot::default() }
        };
        counters.set(&"a".into(), told(1), None);
        counters.set(&"b".into(), told(2), Some(Instant::now()));
        counters.set(&"a".into(), told(4), None);
        let sum = counters.snapshot();
        assert_eq!((sum.messages.received, sum.connected), (6, 2));
        assert!(sum.oldest_unacknowledged.is_some());
        let names: Vec<_> = counters.brokers().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a".into(), "b".into()]);
    }
}
