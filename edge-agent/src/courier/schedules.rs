//! Thousands of random histories of an agent, a broker, a bridge and Kafka, none of which can be trusted: connections
//! break, brokers forget and drop what they have acknowledged, bridges forget what they know, agents lose power, answers
//! are lost, delayed and repeated. The same seed gives the same history.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;

/// Histories, and steps in each. `WEIR_SCHEDULES` asks for more of them.
const HISTORIES: u64 = 20_000;
const STEPS: usize = 400;

/// An epoch and a number: what identifies a record.
type Id = (u8, u64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sent {
    epoch: u8,
    stamp: Stamp,
    /// How many numbers it stands for: more than one is a gap.
    count: u64,
}

/// A bridge that takes numbers in order, as `bridge` does it. What it has not given to Kafka is not acknowledged to the broker.
#[derive(Default)]
struct Bridge {
    expected: BTreeMap<u8, u64>,
    /// Written to Kafka and not confirmed by it.
    writing: VecDeque<Sent>,
    through: BTreeMap<u8, u64>,
}

struct World {
    random: ChaCha8Rng,
    now: Duration,
    courier: Courier,
    epoch: u8,
    /// Durable numbers, by epoch; dropped ones have none.
    stored: BTreeMap<u64, u8>,
    last: u64,
    /// Not durable yet.
    fresh: u64,
    released: u64,
    dropped: BTreeSet<u64>,
    connected: bool,
    wire: VecDeque<Sent>,
    pubacks: VecDeque<u64>,
    queue: VecDeque<Sent>,
    queue_max: usize,
    bridge: Bridge,
    answers: Vec<Confirmation>,
    kafka: Vec<Id>,
}

fn epoch(name: u8) -> Epoch {
    Epoch::from_bytes([name; 16])
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let queue_max = [4, 20, usize::MAX][random.next_u32() as usize % 3];
        Self {
            random,
            now: Duration::ZERO,
            courier: Courier::new(settings(), []),
            epoch: 1,
            stored: BTreeMap::new(),
            last: 0,
            fresh: 0,
            released: 0,
            dropped: BTreeSet::new(),
            connected: false,
            wire: VecDeque::new(),
            pubacks: VecDeque::new(),
            queue: VecDeque::new(),
            queue_max,
            bridge: Bridge::default(),
            answers: Vec::new(),
            kafka: Vec::new(),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.next_u32() as usize % bound
    }

    fn store(&mut self) {
        for _ in 0..std::mem::take(&mut self.fresh) {
            self.last += 1;
            self.stored.insert(self.last, self.epoch);
        }
        let first = self.stored.iter().find(|(_, name)| **name == self.epoch);
        if let Some((first, _)) = first.map(|(first, name)| (*first, *name)) {
            self.courier.stored(epoch(self.epoch), first, self.last);
        }
    }

    /// The agent sends one message: a record, or a gap where records were dropped.
    fn send(&mut self) {
        let Some(seq) = self.courier.next_unsent().filter(|_| self.connected) else { return };
        let missing = (seq..=self.last).take_while(|seq| self.dropped.contains(seq)).count();
        let count = self.courier.clip(missing.max(1) as u64);
        let stamp = self.courier.stamp();
        let name = stamp.epoch.as_bytes()[0];
        self.wire.push_back(Sent { epoch: name, stamp, count });
        self.courier.sent(count, self.now);
    }

    /// The broker receives: it acknowledges, and drops what its queue cannot hold.
    fn route(&mut self) {
        let Some(sent) = self.wire.pop_front() else { return };
        self.pubacks.push_back(sent.stamp.seq);
        if self.queue.len() < self.queue_max {
            self.queue.push_back(sent);
        }
    }

    fn receive(&mut self) {
        let Some(sent) = self.queue.pop_front() else { return };
        let Sent { epoch: name, stamp, count } = sent;
        let expected = self.bridge.expected.entry(name).or_insert(stamp.floor);
        *expected = (*expected).max(stamp.floor);
        let through = self.bridge.through.entry(name).or_insert(stamp.floor - 1);
        *through = (*through).max(stamp.floor - 1);
        let early = stamp.seq > *expected;
        if stamp.seq <= *expected && stamp.seq + count > *expected {
            *expected = stamp.seq + count;
            self.bridge.writing.push_back(sent);
        }
        let through = *through;
        self.answers.push(Confirmation { epoch: epoch(name), through, resend: early });
    }

    fn deliver(&mut self) {
        let Some(Sent { epoch: name, stamp, count }) = self.bridge.writing.pop_front() else {
            return;
        };
        self.kafka.extend((stamp.seq..stamp.seq + count).map(|seq| (name, seq)));
        let through = self.bridge.through.entry(name).or_default();
        *through = (*through).max(stamp.seq + count - 1);
        let through = *through;
        self.answers.push(Confirmation { epoch: epoch(name), through, resend: false });
    }

    /// The agent hears an answer: any one of those under way.
    fn hear(&mut self) {
        if self.answers.is_empty() || !self.connected {
            return;
        }
        let index = self.below(self.answers.len());
        let answer = self.answers[index];
        // Now and then it comes once more.
        if self.below(8) > 0 {
            self.answers.remove(index);
        }
        if let Some(through) = self.courier.confirmed(&answer, self.now) {
            self.release(through);
        }
    }

    fn release(&mut self, through: u64) {
        for seq in self.released + 1..=through {
            let id = (self.stored[&seq], seq);
            assert!(self.kafka.contains(&id), "{id:?} was released before Kafka had it");
        }
        self.released = through;
    }

    fn disconnect(&mut self) {
        self.connected = false;
        // What is on the way to the broker may still arrive, or not.
        let arrives = self.below(self.wire.len() + 1);
        for _ in 0..arrives {
            self.route();
        }
        self.wire.clear();
        self.pubacks.clear();
        self.courier.lost();
    }

    fn power_cut(&mut self) {
        self.disconnect();
        self.fresh = 0;
        let mut spans: Vec<Span> = Vec::new();
        for (&seq, &name) in self.stored.range(self.released + 1..) {
            match spans.last_mut() {
                Some(span) if span.epoch == epoch(name) => span.last = seq,
                _ => spans.push(Span { epoch: epoch(name), first: seq, last: seq }),
            }
        }
        self.courier = Courier::new(settings(), spans);
        self.epoch += 1;
    }

    /// The bridge ends. The broker hands out again what was not acknowledged: what it had not written.
    fn bridge_ends(&mut self) {
        let Bridge { writing, .. } = std::mem::take(&mut self.bridge);
        for sent in writing.into_iter().rev() {
            self.queue.push_front(sent);
        }
    }

    /// The oldest records that are still there are dropped for their quota.
    fn drop_oldest(&mut self) {
        let count = self.below(4);
        let held: Vec<u64> = (self.released + 1..=self.last)
            .filter(|seq| !self.dropped.contains(seq))
            .take(count)
            .collect();
        self.dropped.extend(held);
    }

    fn step(&mut self) {
        match self.below(100) {
            0..16 => self.fresh += 1,
            16..28 => self.store(),
            28..44 => self.send(),
            44..58 => self.route(),
            58..72 => self.receive(),
            72..82 => self.deliver(),
            82..90 => self.hear(),
            90 if !self.answers.is_empty() => {
                let index = self.below(self.answers.len());
                self.answers.remove(index);
            }
            91..93 => self.connected = true,
            93 => self.disconnect(),
            94 if self.below(3) == 0 => self.power_cut(),
            95 if self.below(3) == 0 => self.bridge_ends(),
            // The broker is killed and forgets all.
            96 if self.below(3) == 0 => {
                self.queue.clear();
                self.disconnect();
            }
            97 => self.drop_oldest(),
            _ => {
                self.now += Duration::from_secs(1);
                if self.connected && self.courier.stall(self.now) {
                    self.disconnect();
                }
            }
        }
        // A gap is one message, however many numbers it stands for.
        let gaps = self.dropped.len() as u64;
        assert!(self.courier.unconfirmed() <= settings().unconfirmed_max + gaps);
    }

    /// All goes well from now on. However it stands, everything ends in Kafka.
    fn heal(&mut self) {
        self.store();
        for _ in 0..10_000 {
            if self.courier.is_done() {
                return;
            }
            self.connected = true;
            self.send();
            self.route();
            self.receive();
            self.deliver();
            self.hear();
            self.now += Duration::from_millis(100);
            if self.courier.stall(self.now) {
                self.disconnect();
            }
        }
        panic!("it stands still at {:?}", self.courier);
    }

    fn check(&self) {
        let mut seen = BTreeSet::new();
        let first: Vec<u64> =
            self.kafka.iter().filter(|id| seen.insert(**id)).map(|(_, seq)| *seq).collect();
        let all: Vec<u64> = self.stored.keys().copied().collect();
        assert_eq!(first, all, "first deliveries are complete and in order");
        assert!(seen.iter().all(|(name, seq)| self.stored[seq] == *name));
    }
}

fn settings() -> CourierSettings {
    CourierSettings {
        until: Until::Kafka,
        unconfirmed_max: 12,
        unconfirmed_min: 2,
        stall: Duration::from_secs(5),
    }
}

#[test]
fn nothing_is_lost_and_first_deliveries_are_in_order() {
    let asked = std::env::var("WEIR_SCHEDULES").ok().and_then(|text| text.parse().ok());
    for seed in 0..asked.unwrap_or(HISTORIES) {
        let history = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..STEPS {
                world.step();
            }
            world.heal();
            world.check();
        });
        if let Err(failure) = history {
            eprintln!("the history of seed {seed} fails");
            std::panic::resume_unwind(failure);
        }
    }
}
