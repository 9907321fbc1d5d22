//! Which sender is to be answered when.
//!
//! A heap of times. An entry that its sender no longer stands by (it was answered before, or its time has been moved
//! forward) is found out when it is popped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::Pace;
use super::sender::{Sender, State};

#[derive(Default, Debug)]
pub(super) struct Answers {
    heap: BinaryHeap<Reverse<(Duration, usize)>>,
}

impl Answers {
    /// Sees to it that the sender is popped when it is due.
    pub(super) fn arrange(&mut self, slot: usize, sender: &mut Sender, pace: &Pace, now: Duration) {
        let due = sender.due(pace).max(now);
        if let State::Arranged(before) = sender.state
            && before <= due
        {
            return;
        }
        sender.state = State::Arranged(due);
        self.heap.push(Reverse((due, slot)));
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    /// An entry that is due by `now`; it counts only if the sender still stands by it.
    pub(super) fn pop(&mut self, now: Duration) -> Option<(State, usize)> {
        self.next().filter(|due| *due <= now)?;
        self.heap.pop().map(|Reverse((due, slot))| (State::Arranged(due), slot))
    }
}
