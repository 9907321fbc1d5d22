//! How far an agent has come, for whoever watches it.

use tokio::sync::watch;

/// Counts since the start of a run. Every event that the sampler yields is counted in `taken` or in
/// `oversize`; every taken one ends in `acked` or `rejected`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Events that have passed the gate and will be sent.
    pub taken: u64,
    /// Taken events that the broker has acknowledged.
    pub acked: u64,
    /// Events above the size limit, which were not taken.
    pub oversize: u64,
    /// Taken events that the broker will never accept: too large for it, or refused for their payload.
    pub rejected: u64,
    /// Messages sent, repetitions included.
    pub published: u64,
    /// Connections that the broker accepted.
    pub connections: u64,
}

impl Counts {
    /// Taken events whose fate is open.
    pub fn outstanding(&self) -> u64 {
        self.taken - self.acked - self.rejected
    }
}

/// Shared counts. Cheap to clone; clones share them.
#[derive(Clone, Debug)]
pub struct Progress(watch::Sender<Counts>);

impl Default for Progress {
    fn default() -> Self {
        Self(watch::Sender::new(Counts::default()))
    }
}

impl Progress {
    /// The present counts.
    pub fn counts(&self) -> Counts {
        *self.0.borrow()
    }

    /// For waiting until the counts change, or until they satisfy a condition (`wait_for`).
    pub fn watch(&self) -> watch::Receiver<Counts> {
        self.0.subscribe()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Counts)) {
        self.0.send_modify(change);
    }
}
