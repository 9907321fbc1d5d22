//! How far an agent has come, for whoever watches it.

use tokio::sync::watch;
use weir_events::GapReason;

/// Counts since the start of a run, all of one instant. Every event that the sampler yields is counted in `oversize` or in
/// `admitted`; `found + taken = acked + dropped + held` at every instant.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Events that have passed the gate: on their way to the disk, or there.
    pub admitted: u64,
    /// Events that are in the spool durably. Only they are sent.
    pub taken: u64,
    /// Events of earlier runs that the spool held at the start.
    pub found: u64,
    /// Events that were confirmed and left the spool.
    pub acked: u64,
    /// Events above the size limit, which were not taken.
    pub oversize: u64,
    /// Taken events that will never be delivered, by the order of [`GapReason::ALL`]; a gap is sent in their place.
    pub dropped: [u64; GapReason::ALL.len()],
    /// Events in the spool.
    pub held: u64,
    /// Events that were sent and are not confirmed.
    pub unconfirmed: u64,
    /// Messages sent, repetitions included.
    pub published: u64,
    /// Of these, those whose number had been sent before.
    pub resent: u64,
    /// Messages that the broker has acknowledged.
    pub pubacks: u64,
    /// Connections that the broker accepted.
    pub connections: u64,
    /// Times that nothing was confirmed for so long that a new connection was tried.
    pub stalls: u64,
    /// Times that the sampler had to wait because the spool was full.
    pub blocked: u64,
    /// Bytes of the spool on disk.
    pub spool_bytes: u64,
    /// When the oldest event in the spool was taken, in microseconds since 1970.
    pub oldest_at: Option<i64>,
    /// Whether the broker is connected.
    pub connected: bool,
}

impl Counts {
    /// Events whose fate is open, those on their way to the disk included.
    pub fn outstanding(&self) -> u64 {
        (self.found + self.admitted).saturating_sub(self.acked + self.dropped())
    }

    /// Taken events that will never be delivered.
    pub fn dropped(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Whether every event is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.found + self.taken == self.acked + self.dropped() + self.held
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
