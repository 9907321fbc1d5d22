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
//! Invariants:
//! - No acknowledgement before the delivery of its own message and of every message received before it
//!   (rumqttd drops a connection that acknowledges out of order).
//! - No acknowledgement for another connection than the one that brought the message: packet ids
//!   are used again, so that a late one would acknowledge a message that nobody has written.
//! - Never more than `window` messages unacknowledged, those of lost connections included.
//! - received = forwarded + dead-lettered + returned + in flight.
//!
//! Pure: no I/O, no clock. The shell in `service` feeds it and performs the effects.

use std::collections::VecDeque;

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

/// Where the messages are that were ever received.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Messages that came, repetitions included.
    pub received: u64,
    /// Those whose event is in Kafka.
    pub forwarded: u64,
    /// Those whose dead letter is in Kafka.
    pub dead_lettered: u64,
    /// Those that a reset left to the MQTT broker, which hands them out again.
    pub returned: u64,
    /// Those that were acknowledged.
    pub acknowledged: u64,
}

impl Tally {
    /// Those that are on their way to Kafka.
    pub fn in_flight(&self) -> u64 {
        self.received - self.forwarded - self.dead_lettered - self.returned
    }
}

#[derive(Debug)]
struct Entry<T> {
    generation: Generation,
    token: T,
    stage: Stage,
    dead_letter: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Sending,
    Settled,
}

/// The state between the two brokers.
#[derive(Debug)]
pub struct Relay<T> {
    window: usize,
    connection: Option<Generation>,
    /// In receive order; the first has the ticket `base`.
    entries: VecDeque<Entry<T>>,
    base: u64,
    tally: Tally,
}

impl<T> Relay<T> {
    /// A relay that holds at most `window` unacknowledged messages, at least one.
    pub fn new(window: usize) -> Self {
        Self {
            window: window.max(1),
            connection: None,
            entries: VecDeque::new(),
            base: 0,
            tally: Tally::default(),
        }
    }

    /// Whether another message may be received. If not, the MQTT broker has to wait.
    pub fn has_room(&self) -> bool {
        self.entries.len() < self.window
    }

    /// The counts so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Takes a message in: its record, or dead letter, is to be sent under the ticket.
    ///
    /// # Panics
    /// If there is no room: the caller must not read then.
    pub fn receive(&mut self, generation: Generation, token: T, dead_letter: bool) -> Ticket {
        assert!(self.has_room(), "the caller receives only while there is room");
        self.tally.received += 1;
        let ticket = Ticket(self.base + self.entries.len() as u64);
        self.entries.push_back(Entry { generation, token, stage: Stage::Sending, dead_letter });
        ticket
    }

    /// Applies an event and appends what to do about it.
    ///
    /// Reports about tickets of before a reset are ignored: their messages come again.
    pub fn apply(&mut self, event: Event, effects: &mut Vec<Effect<T>>) {
        match event {
            Event::Connected(generation) => self.connection = Some(generation),
            Event::Disconnected => self.connection = None,
            Event::Delivered(ticket) => {
                if self.settle(ticket) {
                    self.release(effects);
                }
            }
            Event::Rejected(ticket) => match self.sending(ticket) {
                None => {}
                Some(entry) if entry.dead_letter => effects.push(Effect::Halt(ticket)),
                Some(entry) => {
                    entry.dead_letter = true;
                    effects.push(Effect::ProduceDeadLetter(ticket));
                }
            },
            Event::Failed(ticket) => {
                if self.sending(ticket).is_some() {
                    self.forget();
                    effects.push(Effect::Reset);
                }
            }
        }
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
        if entry.dead_letter {
            self.tally.dead_lettered += 1;
        } else {
            self.tally.forwarded += 1;
        }
        true
    }

    /// Acknowledges from the front as far as everything is settled.
    fn release(&mut self, effects: &mut Vec<Effect<T>>) {
        while self.entries.front().is_some_and(|entry| entry.stage == Stage::Settled) {
            let entry = self.entries.pop_front().expect("there is a front");
            self.base += 1;
            if self.connection == Some(entry.generation) {
                self.tally.acknowledged += 1;
                effects.push(Effect::Acknowledge(entry.token));
            }
        }
    }

    fn forget(&mut self) {
        self.tally.returned = self.tally.received - self.tally.forwarded - self.tally.dead_lettered;
        self.base += self.entries.len() as u64;
        self.entries.clear();
        self.connection = None;
    }
}

#[cfg(test)]
mod tests;
