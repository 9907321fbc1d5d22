//! Which numbers of which sender are in Kafka, and whom to tell.
//!
//! ```text
//!             through          next
//!                │              │
//!  ──confirmed───┤◄─in flight──►├── too early ──►
//!      repetition or conflict   new
//! ```
//!
//! A sender is one epoch of one device. Its numbers are taken in order only ("go back N"): the next one is new;
//! a lower one is a repetition, or a conflict if other bytes came under it before; a higher one
//! proves that others were lost on the way, so the sender is asked to begin again behind what Kafka has. The
//! floor of a message is the base of a sender that is not known, and lifts that of a known one.
//!
//! A sender is due for a [`Confirmation`] whenever a message of its has come and what that message brings is in Kafka,
//! a repetition too, so that an answer that was lost is given again. It is answered at once after a pause
//! of [`Pace::interval`], else when [`Pace::records`] more numbers are confirmed or the interval has passed. A
//! request to send again has a pace of its own: one for each interval.
//!
//! Invariants:
//! - `through` never passes a number that Kafka has not confirmed and the sender still awaits.
//! - Once everything that was new is delivered, `through` is the last number that was taken.
//! - No more senders are remembered than [`Pace::senders_max`], beside those with something in flight or unanswered.
//!
//! Payloads are told apart by 64 bits of a digest, for the last [`RECENT`] messages of each sender; whatever came
//! before counts as a repetition. A gap has no digest: it stands for events that may have come before.
//! Nothing outlives the process: a bridge that starts anew learns the base from the floors, and what Kafka had is
//! written again under the same id.
//!
//! Pure: no I/O, no clock, no randomness. Times are durations since a moment of the caller's choice.

mod answers;
mod sender;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use weir_events::{Confirmation, Epoch, Stamp};

use answers::Answers;
use sender::{Sender, State};

/// How many of a sender's messages are told apart by their bytes: some seconds of a busy device, where two machines
/// with one spool collide all the time, and 4 KiB for each sender.
pub const RECENT: usize = 256;

/// How often is answered, and how much is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// The pause between two answers to one sender.
    pub interval: Duration,
    /// So many newly confirmed numbers are worth an answer before the pause is over.
    pub records: u64,
    /// How many senders are remembered.
    pub senders_max: usize,
}

/// A stamped message as it comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Its stamp.
    pub stamp: Stamp,
    /// For how many numbers it stands: 1, or the count of a gap.
    pub count: u64,
    /// What its bytes and its topic come to; none for a gap.
    pub digest: Option<u64>,
}

impl Arrival {
    fn last(&self) -> u64 {
        // There has to be a next one.
        self.stamp.seq.saturating_add(self.count.max(1) - 1).min(u64::MAX - 1)
    }
}

/// What to do with a stamped message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is to be written. Give the claim to [`Ledger::delivered`] when Kafka has it.
    New(Claim),
    /// It is in Kafka, or on its way there: nothing to do.
    Repetition,
    /// Numbers before it are missing, and it will come again behind them: nothing to do.
    TooEarly,
    /// Other bytes came under the same number: a dead letter, without a claim.
    Conflict,
}

/// Stands for the numbers that a message brings. Void after [`Ledger::reset`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    slot: usize,
    /// Whose the slot was: it may be another's by now, if the floor has risen above what is in flight.
    owner: u64,
    first: u64,
}

/// A confirmation and where it goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The MQTT topic.
    pub topic: Arc<str>,
    /// What to say.
    pub confirmation: Confirmation,
}

/// Everything that is known about senders.
#[derive(Debug)]
pub struct Ledger {
    pace: Pace,
    by_name: HashMap<(String, Epoch), usize>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    answers: Answers,
    /// Counts messages, to tell who was silent for longest.
    tick: u64,
}

#[derive(Debug)]
struct Slot {
    name: (String, Epoch),
    answer_to: Arc<str>,
    /// Differs from that of every other sender that has ever been in the slot.
    owner: u64,
    used: u64,
    sender: Sender,
}

impl Ledger {
    /// A ledger that knows nobody.
    pub fn new(pace: Pace) -> Self {
        let pace = Pace { records: pace.records.max(1), ..pace };
        let (by_name, slots, free, answers) = Default::default();
        Self { pace, by_name, slots, free, answers, tick: 0 }
    }

    /// How many senders are remembered.
    pub fn senders(&self) -> usize {
        self.by_name.len()
    }

    /// Judges a message of a device that is received at `now`. `answer_to` names the topic of its answers; it is
    /// asked once for each sender.
    pub fn receive(
        &mut self,
        device: &str,
        arrival: Arrival,
        now: Duration,
        answer_to: impl FnOnce() -> String,
    ) -> Verdict {
        self.tick += 1;
        let slot = self.slot(device, &arrival.stamp, answer_to);
        let entry = &mut self.slots[slot];
        entry.used = self.tick;
        entry.sender.lift(arrival.stamp.floor);
        let expected = entry.sender.next;
        let verdict = if arrival.stamp.seq > expected {
            entry.sender.resend = true;
            Verdict::TooEarly
        } else if arrival.last() < expected {
            if entry.sender.conflicts(&arrival) { Verdict::Conflict } else { Verdict::Repetition }
        } else {
            // A gap may begin with numbers whose events have come: the rest of it is new.
            entry.sender.take(&arrival);
            return Verdict::New(Claim { slot, owner: entry.owner, first: expected });
        };
        entry.sender.unanswered = true;
        self.answers.arrange(slot, &mut entry.sender, &self.pace, now);
        verdict
    }

    /// Kafka has what a claim stands for.
    pub fn delivered(&mut self, claim: Claim, now: Duration) {
        let Slot { owner, sender, .. } = &mut self.slots[claim.slot];
        if *owner == claim.owner && sender.delivered(claim.first) {
            self.answers.arrange(claim.slot, sender, &self.pace, now);
        }
    }

    /// What is in flight is given up: everything behind what Kafka has confirmed comes again.
    pub fn reset(&mut self) {
        for slot in &mut self.slots {
            slot.sender.reset();
        }
    }

    /// When [`Ledger::answer`] will have something to say; none if nobody is due.
    pub fn next_answer(&self) -> Option<Duration> {
        self.answers.next()
    }

    /// The answers that are due by `now`. Whoever is given one counts as answered.
    pub fn answer(&mut self, now: Duration, answers: &mut Vec<Answer>) {
        while let Some((arranged, slot)) = self.answers.pop(now) {
            let Slot { name: (_, epoch), answer_to, sender, .. } = &mut self.slots[slot];
            if sender.state != arranged {
                continue;
            }
            let Some((through, resend)) = sender.say(now, &self.pace) else { continue };
            let confirmation = Confirmation { epoch: *epoch, through, resend };
            answers.push(Answer { topic: Arc::clone(answer_to), confirmation });
            if sender.unanswered {
                self.answers.arrange(slot, sender, &self.pace, now);
            }
        }
    }

    fn slot(&mut self, device: &str, stamp: &Stamp, answer_to: impl FnOnce() -> String) -> usize {
        let name = (device.to_owned(), stamp.epoch);
        if let Some(&slot) = self.by_name.get(&name) {
            return slot;
        }
        if self.by_name.len() >= self.pace.senders_max {
            self.forget_idle();
        }
        let entry = Slot {
            name: name.clone(),
            answer_to: answer_to().into(),
            owner: self.tick,
            used: self.tick,
            sender: Sender::new(stamp.floor),
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = entry;
                slot
            }
            None => {
                self.slots.push(entry);
                self.slots.len() - 1
            }
        };
        self.by_name.insert(name, slot);
        slot
    }

    /// Forgets a tenth of the senders, those that were silent for longest: a whole search for each new one
    /// would be a burden that a single client could cause.
    fn forget_idle(&mut self) {
        let idle = |&slot: &usize| self.slots[slot].sender.is_idle();
        let mut idle: Vec<usize> = self.by_name.values().copied().filter(idle).collect();
        let count = (self.pace.senders_max / 10 + 1).min(idle.len());
        if count == 0 {
            return;
        }
        idle.select_nth_unstable_by_key(count - 1, |&slot| self.slots[slot].used);
        for slot in idle.drain(..count) {
            self.by_name.remove(&self.slots[slot].name);
            self.slots[slot].sender.state = State::Quiet;
            self.free.push(slot);
        }
    }
}

#[cfg(test)]
mod tests;
