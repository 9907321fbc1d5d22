//! Which MQTT message may be acknowledged, and when.
//!
//! ```text
//!  received ──► sending ──delivered──────────────► settled ──► acknowledged, in receive order
//!                 │  └───rejected──► dead letter ──delivered──┘
//!                 └──────failed (transient)──► reset: nothing is acknowledged, all is forgotten
//! ```
//!
//! The broker forgets a message once it is acknowledged, so the acknowledgement waits for Kafka's
//! delivery report of the event or of the dead letter that stands for it. After a transient failure
//! the bridge holds nothing back by itself: it gives up the connection, and the broker's session hands
//! everything unacknowledged to the next one. What had been written is then written again under the
//! same id, which is harmless behind Kafka.
//!
//! A repetition of what is in Kafka or on its way there brings nothing to write. It has its place in the order
//! of receipt all the same, so that it is acknowledged after the first copy has been delivered.
//!
//! Invariants:
//! - No acknowledgement before the delivery of its own message and of every message received before it
//!   (rumqttd drops a connection that acknowledges out of order).
//! - No acknowledgement for another connection than the one that brought the message: packet ids
//!   are used again, so that a late one would acknowledge a message that nobody has written.
//! - Never more than `window` messages unacknowledged, those of lost connections included, and no further one once
//!   they hold `bytes_max` bytes.
//! - At every moment: received = forwarded + dead-lettered + repeated + out of order + returned + in flight.
//!
//! Pure: no I/O, no clock. The shell in `service` feeds it and performs the effects.

use std::collections::VecDeque;
use std::time::Duration;

use weir_events::Reason;

/// A connection to the MQTT broker, counted from the first; as the subscriber counts them.
pub type Generation = u64;

/// Names a received message between the relay and whoever sends it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(u64);

/// What happened, beside the receipt of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The MQTT broker was reached.
    Connected(Generation),
    /// The MQTT broker was lost.
    Disconnected,
    /// Kafka has stored the record, or the dead letter, of a message.
    Delivered(Ticket),
    /// Kafka will never take the record of a message.
    Rejected(Ticket),
    /// Kafka did not take the record of a message this time.
    Failed(Ticket),
}

/// What to do about it, in this order. `T` is what acknowledges a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect<T> {
    /// Send a dead letter for a message whose record Kafka refuses.
    ProduceDeadLetter(Ticket),
    /// Acknowledge a message.
    Acknowledge(T),
    /// Throw away the Kafka producer and the MQTT connection, and begin anew. Tickets are void.
    Reset,
    /// Stop the process: Kafka refuses even the dead letter, so that nothing can be done with the message.
    Halt(Ticket),
}

/// Why there is nothing to write for a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passed {
    /// It came before.
    Repeated,
    /// It came too early, and comes again.
    OutOfOrder,
}

/// How much may be unacknowledged at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Messages; at least one is let in.
    pub messages: usize,
    /// Bytes. The message that reaches it is still let in.
    pub bytes: usize,
}

/// A message as it is taken in. `T` is what acknowledges it.
#[derive(Debug)]
pub struct Receipt<T> {
    /// The connection that brought it.
    pub generation: Generation,
    /// What acknowledges it.
    pub token: T,
    /// How much memory it takes.
    pub bytes: usize,
    /// When it came, since a moment of the caller's choice.
    pub at: Duration,
}

/// Where the messages are that were ever received.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Messages that came, repetitions included.
    pub received: u64,
    /// Those whose event is in Kafka.
    pub forwarded: u64,
    /// Those whose dead letter is in Kafka, in the order of [`Reason::ALL`].
    pub dead_lettered: [u64; Reason::ALL.len()],
    /// Those that had come before.
    pub repeated: u64,
    /// Those that came before one that is missing.
    pub out_of_order: u64,
    /// Those that a reset left to the MQTT broker, which hands them out again.
    pub returned: u64,
    /// Those that are on their way to Kafka.
    pub in_flight: u64,
    /// Those that were acknowledged.
    pub acknowledged: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { received, forwarded, repeated, out_of_order, returned, in_flight, .. } = self;
        *received += other.received;
        *forwarded += other.forwarded;
        *repeated += other.repeated;
        *out_of_order += other.out_of_order;
        *returned += other.returned;
        *in_flight += other.in_flight;
        self.acknowledged += other.acknowledged;
        for (sum, count) in self.dead_lettered.iter_mut().zip(other.dead_lettered) {
            *sum += count;
        }
    }
}

#[derive(Debug)]
struct Entry<T> {
    receipt: Receipt<T>,
    stage: Stage,
    refused: Option<Reason>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Sending,
    Settled,
}

/// The state between the two brokers.
#[derive(Debug)]
pub struct Relay<T> {
    window: Window,
    connection: Option<Generation>,
    /// In receive order; the first has the ticket `base`.
    entries: VecDeque<Entry<T>>,
    base: u64,
    /// What the entries hold.
    bytes: usize,
    tally: Tally,
}

impl<T> Relay<T> {
    /// A relay that holds no more than this unacknowledged.
    pub fn new(window: Window) -> Self {
        let window = Window { messages: window.messages.max(1), bytes: window.bytes.max(1) };
        let (entries, tally) = Default::default();
        Self { window, connection: None, entries, base: 0, bytes: 0, tally }
    }

    /// Whether another message may be received. If not, the MQTT broker has to wait.
    pub fn has_room(&self) -> bool {
        self.entries.len() < self.window.messages && self.bytes < self.window.bytes
    }

    /// The counts so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The memory of what is unacknowledged.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest message came that is unacknowledged.
    pub fn oldest(&self) -> Option<Duration> {
        self.entries.front().map(|entry| entry.receipt.at)
    }

    /// Takes a message in: its record, or the dead letter for this reason, is to be sent under the ticket.
    ///
    /// # Panics
    /// If there is no room: the caller must not read then.
    pub fn receive(&mut self, receipt: Receipt<T>, refused: Option<Reason>) -> Ticket {
        let ticket = Ticket(self.base + self.entries.len() as u64);
        self.tally.in_flight += 1;
        self.push(receipt, Stage::Sending, refused);
        ticket
    }

    /// Takes a message in that brings nothing to write.
    ///
    /// # Panics
    /// If there is no room: the caller must not read then.
    pub fn pass(&mut self, receipt: Receipt<T>, passed: Passed, effects: &mut Vec<Effect<T>>) {
        match passed {
            Passed::Repeated => self.tally.repeated += 1,
            Passed::OutOfOrder => self.tally.out_of_order += 1,
        }
        self.push(receipt, Stage::Settled, None);
        self.release(effects);
    }

    fn push(&mut self, receipt: Receipt<T>, stage: Stage, refused: Option<Reason>) {
        assert!(self.has_room(), "the caller receives only while there is room");
        self.tally.received += 1;
        self.bytes += receipt.bytes;
        self.entries.push_back(Entry { receipt, stage, refused });
    }

    /// Applies an event and appends what to do about it. Returns whether it meant anything.
    ///
    /// Reports about tickets of before a reset are ignored: their messages come again.
    pub fn apply(&mut self, event: Event, effects: &mut Vec<Effect<T>>) -> bool {
        match event {
            Event::Connected(generation) => self.connection = Some(generation),
            Event::Disconnected => self.connection = None,
            Event::Delivered(ticket) => {
                if !self.settle(ticket) {
                    return false;
                }
                self.release(effects);
            }
            Event::Rejected(ticket) => match self.sending(ticket) {
                None => return false,
                Some(entry) if entry.refused.is_some() => effects.push(Effect::Halt(ticket)),
                Some(entry) => {
                    entry.refused = Some(Reason::RefusedByKafka);
                    effects.push(Effect::ProduceDeadLetter(ticket));
                }
            },
            Event::Failed(ticket) => {
                if self.sending(ticket).is_none() {
                    return false;
                }
                self.forget();
                effects.push(Effect::Reset);
            }
        }
        true
    }

    /// Leaves everything that is unacknowledged to the MQTT broker, as a reset does.
    pub fn give_up(&mut self) {
        self.forget();
    }

    fn sending(&mut self, ticket: Ticket) -> Option<&mut Entry<T>> {
        let index = ticket.0.checked_sub(self.base)?;
        let entry = self.entries.get_mut(usize::try_from(index).ok()?)?;
        (entry.stage == Stage::Sending).then_some(entry)
    }

    fn settle(&mut self, ticket: Ticket) -> bool {
        let Some(entry) = self.sending(ticket) else {
            return false;
        };
        entry.stage = Stage::Settled;
        let refused = entry.refused;
        self.tally.in_flight -= 1;
        match refused {
            // `Reason::ALL` is in the order of the enum.
            Some(reason) => self.tally.dead_lettered[reason as usize] += 1,
            None => self.tally.forwarded += 1,
        }
        true
    }

    /// Acknowledges from the front as far as everything is settled.
    fn release(&mut self, effects: &mut Vec<Effect<T>>) {
        while self.entries.front().is_some_and(|entry| entry.stage == Stage::Settled) {
            let Entry { receipt, .. } = self.entries.pop_front().expect("there is a front");
            self.base += 1;
            self.bytes -= receipt.bytes;
            if self.connection == Some(receipt.generation) {
                self.tally.acknowledged += 1;
                effects.push(Effect::Acknowledge(receipt.token));
            }
        }
    }

    fn forget(&mut self) {
        self.tally.returned += std::mem::take(&mut self.tally.in_flight);
        self.base += self.entries.len() as u64;
        self.bytes = 0;
        self.entries.clear();
        self.connection = None;
    }
}

#[cfg(test)]
mod tests;
