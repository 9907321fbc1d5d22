//! What has been taken and not yet acknowledged: a pure state machine.
//!
//! Records leave in the order in which they came. A cursor says which is to be sent next; after any
//! connection error it returns to the oldest unacknowledged record, and everything from there on is sent
//! again, in order, whatever was acknowledged in between. So first deliveries are in order and nothing
//! is lost; repetitions are left to the consumer, which knows events by their id.
//!
//! The queue is bounded: when it is full the sampler has to wait. It is in memory. The durable spool takes
//! its place with the same operations: `push` returns after the record is on disk, `done` moves
//! the send window, and the end-to-end acknowledgement deletes.

use std::collections::VecDeque;

use crate::sampler::Event;

/// A taken event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its number, from 0 in the order of taking.
    pub seq: u64,
    /// What is sent.
    pub event: Event,
}

/// The outbox is full; the event is handed back.
#[derive(Debug, thiserror::Error)]
#[error("the outbox is full")]
pub struct Full(pub Event);

/// Taken events, from the oldest unacknowledged one to the newest.
#[derive(Debug)]
pub struct Outbox {
    records: VecDeque<Slot>,
    next_seq: u64,
    /// Index of the next record to send.
    cursor: usize,
    bound: usize,
}

#[derive(Debug)]
struct Slot {
    record: Record,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Open,
    /// On the present connection: a new one starts anew, for the broker may have forgotten.
    Acked,
    /// For ever.
    GivenUp,
}

/// What a step settled for good.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Settled {
    /// Acknowledged records that left.
    pub acked: u64,
    /// Records given up now.
    pub given_up: u64,
}

impl Outbox {
    /// An empty outbox for at most `bound` records.
    pub fn new(bound: usize) -> Self {
        Self { records: VecDeque::new(), next_seq: 0, cursor: 0, bound }
    }

    /// Takes an event.
    ///
    /// # Errors
    /// When it is full.
    pub fn push(&mut self, event: Event) -> Result<u64, Full> {
        if self.is_full() {
            return Err(Full(event));
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        self.records.push_back(Slot { record: Record { seq, event }, fate: Fate::Open });
        Ok(seq)
    }

    /// The next record to send on the present connection.
    pub fn next_unsent(&self) -> Option<&Record> {
        self.records.get(self.cursor).map(|slot| &slot.record)
    }

    /// [`Outbox::next_unsent`] has been handed to the connection.
    pub fn sent(&mut self) {
        self.cursor = (self.cursor + 1).min(self.records.len());
        self.skip_given_up();
    }

    /// A record was acknowledged. It settles when every record before it has. Unknown numbers are ignored.
    pub fn done(&mut self, seq: u64) -> Settled {
        if let Some(slot) = self.slot(seq)
            && slot.fate == Fate::Open
        {
            slot.fate = Fate::Acked;
        }
        Settled { acked: self.retire(), given_up: 0 }
    }

    /// A record can never be delivered: it is not sent again. Settles at once, and once.
    pub fn give_up(&mut self, seq: u64) -> Settled {
        let mut given_up = 0;
        if let Some(slot) = self.slot(seq)
            && slot.fate != Fate::GivenUp
        {
            slot.fate = Fate::GivenUp;
            given_up = 1;
        }
        Settled { acked: self.retire(), given_up }
    }

    /// The connection is gone: everything from the oldest open record on is to be sent again.
    pub fn lost(&mut self) {
        self.cursor = 0;
        for slot in &mut self.records {
            if slot.fate == Fate::Acked {
                slot.fate = Fate::Open;
            }
        }
        self.skip_given_up();
    }

    fn slot(&mut self, seq: u64) -> Option<&mut Slot> {
        let first = self.next_seq - self.records.len() as u64;
        let index = usize::try_from(seq.checked_sub(first)?).ok()?;
        self.records.get_mut(index)
    }

    /// Lets settled records leave from the front. Returns how many of them were acknowledged.
    fn retire(&mut self) -> u64 {
        let mut acked = 0;
        while let Some(slot) = self.records.pop_front_if(|slot| slot.fate != Fate::Open) {
            acked += u64::from(slot.fate == Fate::Acked);
            self.cursor = self.cursor.saturating_sub(1);
        }
        self.skip_given_up();
        acked
    }

    fn skip_given_up(&mut self) {
        while self.records.get(self.cursor).is_some_and(|slot| slot.fate == Fate::GivenUp) {
            self.cursor += 1;
        }
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether everything taken has been acknowledged.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether the sampler has to wait.
    pub fn is_full(&self) -> bool {
        self.records.len() >= self.bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::Position;
    use bytes::Bytes;
    use proptest::prelude::*;
    use weir_events::{EventKind, EventTime};

    fn event() -> Event {
        Event {
            kind: EventKind::Measurement,
            payload: Bytes::new(),
            at: EventTime::EPOCH,
            position: Position::default(),
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take,
        Send,
        /// The broker receives the next message on the wire.
        Receive,
        /// A PUBACK arrives: which of those under way.
        Ack(prop::sample::Index),
        /// The connection breaks: what is on the wire, and PUBACKs under way, are lost.
        Break,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Take),
            6 => Just(Step::Send),
            6 => Just(Step::Receive),
            5 => any::<prop::sample::Index>().prop_map(Step::Ack),
            1 => Just(Step::Break),
        ]
    }

    /// An outbox, the wire and a broker.
    struct World {
        outbox: Outbox,
        taken: u64,
        wire: VecDeque<u64>,
        acks: Vec<u64>,
        /// Every message the broker ever received, repetitions included.
        received: Vec<u64>,
    }

    impl World {
        fn new(bound: usize) -> Self {
            let outbox = Outbox::new(bound);
            Self { outbox, taken: 0, wire: VecDeque::new(), acks: Vec::new(), received: Vec::new() }
        }

        fn apply(&mut self, step: &Step) {
            match step {
                Step::Take => match self.outbox.push(event()) {
                    Ok(seq) => {
                        assert_eq!(seq, self.taken);
                        self.taken += 1;
                    }
                    Err(Full(_)) => assert!(self.outbox.is_full()),
                },
                Step::Send => {
                    if let Some(record) = self.outbox.next_unsent() {
                        self.wire.push_back(record.seq);
                        self.outbox.sent();
                    }
                }
                Step::Receive => {
                    if let Some(seq) = self.wire.pop_front() {
                        self.received.push(seq);
                        self.acks.push(seq);
                    }
                }
                Step::Ack(index) if !self.acks.is_empty() => {
                    let seq = self.acks.remove(index.index(self.acks.len()));
                    self.outbox.done(seq);
                }
                Step::Ack(_) => {}
                Step::Break => {
                    self.wire.clear();
                    self.acks.clear();
                    self.outbox.lost();
                }
            }
        }

        fn first_deliveries(&self) -> Vec<u64> {
            let mut seen = std::collections::BTreeSet::new();
            self.received.iter().copied().filter(|&seq| seen.insert(seq)).collect()
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_first_deliveries_are_in_order_and_the_bound_holds(
            bound in 1_usize..12,
            steps in prop::collection::vec(step(), 0..300),
        ) {
            let mut world = World::new(bound);
            for step in &steps {
                world.apply(step);
                prop_assert!(world.outbox.len() <= bound);
                // What was taken has either reached the broker or is still held.
                let held = world.outbox.len() as u64;
                let reached = world.first_deliveries();
                for seq in 0..world.taken - held {
                    prop_assert!(reached.contains(&seq), "{seq} was dropped before the broker had it");
                }
            }
            // The network heals.
            world.apply(&Step::Break);
            while !world.outbox.is_empty() {
                world.apply(&Step::Send);
                world.apply(&Step::Receive);
                for seq in std::mem::take(&mut world.acks) {
                    world.outbox.done(seq);
                }
            }
            prop_assert_eq!(world.first_deliveries(), (0..world.taken).collect::<Vec<_>>());
        }
    }

    /// Two acknowledgements out of order, then a break: the second record is sent again too, so that
    /// the order holds whatever the broker did with it.
    #[test]
    fn a_break_resends_from_the_oldest_unacknowledged() {
        let mut outbox = Outbox::new(3);
        for _ in 0..3 {
            outbox.push(event()).expect("room");
            outbox.sent();
        }
        outbox.done(1);
        assert_eq!((outbox.len(), outbox.next_unsent()), (3, None));
        outbox.lost();
        let mut resent = Vec::new();
        while let Some(record) = outbox.next_unsent() {
            resent.push(record.seq);
            outbox.sent();
        }
        assert_eq!(resent, [0, 1, 2]);
    }
}
