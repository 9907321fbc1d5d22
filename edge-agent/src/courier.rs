//! What is to be sent next, and what need not be kept any more: a pure state machine.
//!
//! ```text
//!              released │ sent, not confirmed        │ on disk, not sent
//!  numbers  ────────────┼────────────────────────────┼───────────────────────►
//!                     floor                        cursor              last
//! ```
//! Two cursors run over the numbers of the spool. `cursor` is the next number to send; it goes back to `floor` after any
//! error of the connection, when the bridge asks for it, and when nothing was confirmed for a while. `floor` is
//! the lowest number that is not confirmed; it moves on with the bridge's [`Confirmation`], which it gives when Kafka has
//! the record, and nothing is deleted before that: a PUBACK proves only that a broker has it in its memory. For sites without
//! a bridge PUBACKs can stand for confirmations ([`Until::Broker`]).
//!
//! Invariants:
//! - A number is released only if it and all before it were sent and confirmed.
//! - Numbers are first sent in order, and an epoch only when the one before it is wholly confirmed: a bridge cannot
//!   order numbers of different epochs.
//! - At most `allowance` numbers are sent and not confirmed. It is halved when something has to be sent again for lack
//!   of a confirmation, and grows by what is confirmed, as in TCP: a broker whose queue holds less than that drops what
//!   it cannot hold, and would do so again.
//! - A stall is told ever later while nothing is confirmed (2, 4, 8 times): Kafka may be away for hours.
//!
//! No I/O, no clock: the present is an argument, as time since some beginning.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_events::{Confirmation, Epoch, Stamp};

/// Until when a record is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// Until a bridge has confirmed that Kafka has it.
    Kafka,
    /// Until the MQTT broker has acknowledged it.
    Broker,
}

/// The bounds of what is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CourierSettings {
    /// Until when records are kept.
    pub until: Until,
    /// The most records that may be sent and not confirmed.
    pub unconfirmed_max: u64,
    /// The fewest to which that is reduced.
    pub unconfirmed_min: u64,
    /// How long nothing may be confirmed, while something is awaited, before it is sent again.
    pub stall: Duration,
}

/// Stalls are told after at most this many times the setting.
const STALL_FACTOR_MAX: u32 = 8;
/// How often a bridge may have everything sent again: what was on the way when it asked comes first.
const RESEND_PAUSE: Duration = Duration::from_secs(1);

/// The numbers of one epoch that are not released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The opening of the spool that gave the numbers.
    pub epoch: Epoch,
    /// The lowest.
    pub first: u64,
    /// The highest; below `first` if there is none.
    pub last: u64,
}

/// The state between spool and connection.
#[derive(Debug)]
pub struct Courier {
    settings: CourierSettings,
    /// In order; the numbers go on from one to the next. Only the first one's are sent.
    spans: VecDeque<Span>,
    cursor: u64,
    /// The highest number that was ever sent: a confirmation of more is none.
    sent: u64,
    allowance: u64,
    /// Since when a confirmation is awaited.
    waiting_since: Duration,
    stalls: u32,
    resent_at: Option<Duration>,
    /// First number, and how many, of what awaits its PUBACK, and whether it has it. For [`Until::Broker`].
    open: VecDeque<(u64, u64, bool)>,
}

impl Courier {
    /// A courier for what a spool holds.
    pub fn new(settings: CourierSettings, spans: impl IntoIterator<Item = Span>) -> Self {
        let spans: VecDeque<Span> = spans.into_iter().collect();
        let cursor = spans.front().map_or(1, |span| span.first);
        Self {
            settings,
            spans,
            cursor,
            sent: 0,
            allowance: settings.unconfirmed_max,
            waiting_since: Duration::ZERO,
            stalls: 0,
            resent_at: None,
            open: VecDeque::new(),
        }
    }

    /// The spool holds durably everything up to this number of its present epoch, and it has begun at `first`.
    pub fn stored(&mut self, epoch: Epoch, first: u64, last: u64) {
        match self.spans.back_mut() {
            Some(span) if span.epoch == epoch => span.last = span.last.max(last),
            _ => {
                if self.spans.is_empty() {
                    self.cursor = first;
                }
                self.spans.push_back(Span { epoch, first, last });
            }
        }
        self.advance();
    }

    /// The next number to send, if one may go.
    pub fn next_unsent(&self) -> Option<u64> {
        let span = self.spans.front()?;
        let allowed = self.cursor <= span.last && self.cursor - span.first < self.allowance;
        allowed.then_some(self.cursor)
    }

    /// How the message with the number that is next is stamped.
    ///
    /// # Panics
    /// If there is nothing to send.
    pub fn stamp(&self) -> Stamp {
        let span = self.spans.front().expect("something is next");
        Stamp { epoch: span.epoch, seq: self.cursor, floor: span.first }
    }

    /// How many of `count` numbers from the next one on one message may stand for: no gap reaches into another epoch.
    pub fn clip(&self, count: u64) -> u64 {
        let span = self.spans.front();
        count.min(span.map_or(0, |span| (span.last + 1).saturating_sub(self.cursor)))
    }

    /// A message for the next `count` numbers has been handed to the connection.
    pub fn sent(&mut self, count: u64, now: Duration) {
        if !self.is_waiting() {
            self.waiting_since = now;
        }
        if self.settings.until == Until::Broker {
            self.open.push_back((self.cursor, count, false));
        }
        self.cursor += count;
        self.sent = self.sent.max(self.cursor - 1);
    }

    /// The broker has acknowledged the message with this number. Returns what may be released: nothing where a bridge confirms.
    pub fn acked(&mut self, seq: u64, now: Duration) -> Option<u64> {
        let slot = self.open.iter_mut().find(|(first, _, acked)| *first == seq && !acked)?;
        slot.2 = true;
        let mut through = None;
        while let Some((first, count, _)) = self.open.pop_front_if(|(_, _, acked)| *acked) {
            through = Some(first + count - 1);
        }
        self.progress(through?, now)
    }

    /// A bridge has confirmed numbers. Returns what may be released.
    pub fn confirmed(&mut self, confirmation: &Confirmation, now: Duration) -> Option<u64> {
        let span = self.spans.front().filter(|span| span.epoch == confirmation.epoch)?;
        let released = if confirmation.through >= span.first {
            self.progress(confirmation.through.min(self.sent), now)
        } else {
            None
        };
        self.resend_on_demand(confirmation, now);
        released
    }

    fn progress(&mut self, through: u64, now: Duration) -> Option<u64> {
        let span = self.spans.front_mut()?;
        let through = through.min(span.last);
        let confirmed = (through + 1).checked_sub(span.first).filter(|count| *count > 0)?;
        span.first = through + 1;
        self.cursor = self.cursor.max(span.first);
        self.allowance = (self.allowance + confirmed).min(self.settings.unconfirmed_max);
        (self.waiting_since, self.stalls) = (now, 0);
        self.advance();
        Some(through)
    }

    fn resend_on_demand(&mut self, confirmation: &Confirmation, now: Duration) {
        let Some(span) = self.spans.front() else { return };
        let missing = confirmation.resend
            && confirmation.epoch == span.epoch
            && confirmation.through + 1 == span.first
            && self.is_waiting();
        let lately = self.resent_at.is_some_and(|at| now < at + RESEND_PAUSE);
        if missing && !lately {
            self.cursor = span.first;
            self.resent_at = Some(now);
            self.shrink();
        }
    }

    /// The connection is gone: everything from the floor on is to be sent again.
    pub fn lost(&mut self) {
        self.open.clear();
        if let Some(span) = self.spans.front() {
            self.cursor = span.first;
        }
    }

    /// When [`Courier::stall`] has something to say, if nothing is confirmed until then.
    pub fn stall_at(&self) -> Option<Duration> {
        let factor = 2_u32.saturating_pow(self.stalls).min(STALL_FACTOR_MAX);
        self.is_waiting().then(|| self.waiting_since + self.settings.stall * factor)
    }

    /// Whether nothing was confirmed for too long. Then the connection is to be given up and a new one to be tried: a broker
    /// that drops what it has acknowledged reports no error.
    pub fn stall(&mut self, now: Duration) -> bool {
        let stalled = self.stall_at().is_some_and(|at| at <= now);
        if stalled {
            self.stalls += 1;
            self.waiting_since = now;
            self.shrink();
        }
        stalled
    }

    /// Whether something was sent on this connection and is not confirmed.
    fn is_waiting(&self) -> bool {
        self.spans.front().is_some_and(|span| self.cursor > span.first)
    }

    fn shrink(&mut self) {
        self.allowance = (self.allowance / 2).max(self.settings.unconfirmed_min);
    }

    /// Goes on to the next epoch when one is confirmed to its end.
    fn advance(&mut self) {
        while let [span, next, ..] = self.spans.make_contiguous()
            && span.first > span.last
        {
            self.cursor = next.first;
            self.spans.pop_front();
        }
    }

    /// The lowest number that is not confirmed.
    pub fn floor(&self) -> u64 {
        self.spans.front().map_or(1, |span| span.first)
    }

    /// How many numbers are sent and not confirmed.
    pub fn unconfirmed(&self) -> u64 {
        self.spans.front().map_or(0, |span| self.cursor - span.first)
    }

    /// Whether everything is confirmed.
    pub fn is_done(&self) -> bool {
        self.spans.iter().all(|span| span.first > span.last)
    }
}

#[cfg(test)]
mod schedules;
#[cfg(test)]
mod tests;
