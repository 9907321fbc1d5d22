//! When a bridge that stands by takes the session over.
//!
//! Two bridges with one client id may run on two machines; the MQTT broker lets one of them have the session. Whoever has
//! it tells so on a retained topic (its *presence*: at once, every keep-alive, and as a last will that it has gone).
//! A bridge begins as one that watches, and becomes one again whenever its connection ends: brokers need not say (and
//! Mosquitto 2.0.11 and rumqttd do not) that they have given the session to somebody else.
//!
//! ```text
//!       nobody there but itself, gone, or silent: after a pause
//!   watching ──────────────────────────────────────────► active
//!       ▲                                                   │
//!       └───── the connection has ended, or Kafka failed ───┘
//! ```
//!
//! Races, and why they end well:
//! - Both begin at once, or see the other go at once: each waits a random part of a pause. If both take over, the
//!   connection of the first ends; it watches, sees the other, and stays.
//! - The last will of a connection that was taken over comes after the birth of its successor: it names another instance
//!   than the one that was seen last, and is ignored. (It comes only from brokers that ignore the will's delay.)
//! - A broker that was restarted has forgotten what was retained: after the pause a watcher takes over from one
//!   that is just coming back, and that one watches.
//! - A broker that was restarted remembers one that died meanwhile: nobody refreshes it, and silence ends it.
//! - While the watcher itself has no connection it decides nothing; its clock of silence begins anew.
//!
//! Invariant: as long as one instance is heard at least every [`Patience::silence`], nobody else takes over.
//!
//! Pure: no I/O, no clock, no randomness.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is retained on the topic of presence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Which process.
    pub instance: String,
    /// Whether it has the session.
    pub active: bool,
}

impl Status {
    /// Its JSON form.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a status is JSON")
    }

    /// Reads its JSON form; none if it is none.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}

/// How long is waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Before the session of nobody is taken: a random part of a second or two.
    pub pause: Duration,
    /// Until one that is there and says nothing counts as gone: some refreshes.
    pub silence: Duration,
}

/// Something that a watcher learns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// Its own connection is there: what is retained comes next, if anything does.
    Connected,
    /// Its own connection is gone.
    Disconnected,
    /// Somebody's status.
    Status(Status),
}

/// A bridge that watches.
#[derive(Debug)]
pub struct Watch {
    patience: Patience,
    /// Who watches.
    own: String,
    /// Who else has the session, as far as is known.
    active: Option<String>,
    deadline: Option<Duration>,
}

impl Watch {
    /// Begins to watch, without a connection.
    pub fn new(patience: Patience, own: &str) -> Self {
        Self { patience, own: own.to_owned(), active: None, deadline: None }
    }

    /// Notes what was seen at `now`.
    pub fn see(&mut self, seen: Seen, now: Duration) {
        let Patience { pause, silence } = self.patience;
        match seen {
            Seen::Connected => self.deadline = Some(now + pause),
            Seen::Disconnected => (self.active, self.deadline) = (None, None),
            // What it has told itself before its connection ended: nobody has told anything since.
            Seen::Status(Status { instance, active: true }) if instance == self.own => {}
            Seen::Status(Status { instance, active: true }) => {
                self.active = Some(instance);
                self.deadline = Some(now + silence);
            }
            Seen::Status(Status { instance, active: false }) => {
                if self.active.as_ref().is_none_or(|active| *active == instance) {
                    self.active = None;
                    self.deadline = Some(now + pause);
                }
            }
        }
    }

    /// When to take the session over, unless something else is seen before; none while nothing is known.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Who else has the session, as far as is known.
    pub fn active(&self) -> Option<&str> {
        self.active.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    const PATIENCE: Patience = Patience { pause: SECOND, silence: Duration::from_secs(45) };

    fn status(instance: &str, active: bool) -> Seen {
        Seen::Status(Status { instance: instance.into(), active })
    }

    /// The deadline after these have been seen, a second apart, counted from the last.
    fn deadline(seen: impl IntoIterator<Item = Seen>) -> Option<Duration> {
        let (mut watch, mut now) = (Watch::new(PATIENCE, "own"), Duration::ZERO);
        for seen in seen {
            now += SECOND;
            watch.see(seen, now);
        }
        watch.deadline().map(|deadline| deadline - now)
    }

    #[test]
    fn nobodys_session_is_taken_after_a_pause() {
        assert_eq!(deadline([Seen::Connected]), Some(PATIENCE.pause));
        assert_eq!(deadline([Seen::Connected, status("a", false)]), Some(PATIENCE.pause));
        let gone = [Seen::Connected, status("a", true), status("a", false)];
        assert_eq!(deadline(gone), Some(PATIENCE.pause));
    }

    #[test]
    fn one_that_is_there_is_given_time_to_speak() {
        let seen = [Seen::Connected, status("a", true)];
        assert_eq!(deadline(seen.clone()), Some(PATIENCE.silence));
        assert_eq!(deadline(seen.into_iter().chain([status("a", true)])), Some(PATIENCE.silence));
    }

    #[test]
    fn what_it_told_itself_does_not_hold_it_back() {
        assert_eq!(deadline([Seen::Connected, status("own", true)]), Some(Duration::ZERO));
        let taken = [Seen::Connected, status("own", true), status("a", true)];
        assert_eq!(deadline(taken), Some(PATIENCE.silence));
    }

    #[test]
    fn the_late_will_of_another_is_ignored() {
        let seen = [Seen::Connected, status("a", true), status("b", true), status("a", false)];
        assert_eq!(deadline(seen), Some(PATIENCE.silence - SECOND));
    }

    #[test]
    fn without_a_connection_nothing_is_decided() {
        assert_eq!(deadline([]), None);
        assert_eq!(deadline([Seen::Connected, status("a", true), Seen::Disconnected]), None);
        let back = [Seen::Connected, status("a", true), Seen::Disconnected, Seen::Connected];
        assert_eq!(deadline(back), Some(PATIENCE.pause));
    }

    #[test]
    fn a_status_reads_back() {
        let status = Status { instance: "a-1".into(), active: true };
        assert_eq!(status.to_bytes(), br#"{"instance":"a-1","active":true}"#);
        assert_eq!(Status::parse(&status.to_bytes()), Some(status));
        assert_eq!(Status::parse(b"x"), None);
    }

    /// A line of several bridges and a broker that hands out statuses late: one is active in the end, and stays so.
    #[derive(Clone, Debug)]
    enum Step {
        Kill(usize),
        Start(usize),
        /// The broker is away for a moment, with or without what it had retained.
        Restart(bool),
        Wait(u64),
    }

    struct Process {
        watch: Watch,
        active: bool,
        alive: bool,
        refresh: Duration,
    }

    struct Site {
        processes: Vec<Process>,
        retained: Option<Status>,
        now: Duration,
        switches: usize,
    }

    impl Site {
        fn tell(&mut self, status: Status) {
            self.retained = Some(status.clone());
            for process in self.processes.iter_mut().filter(|p| p.alive && !p.active) {
                process.watch.see(Seen::Status(status.clone()), self.now);
            }
        }

        fn watch(&mut self, number: usize) {
            // Random parts of the pause.
            let patience =
                Patience { pause: SECOND + 100 * Duration::from_millis(number as u64), ..PATIENCE };
            let (now, retained) = (self.now, self.retained.clone());
            let process = &mut self.processes[number];
            (process.alive, process.active, process.watch) =
                (true, false, Watch::new(patience, &number.to_string()));
            process.watch.see(Seen::Connected, now);
            retained.into_iter().for_each(|status| process.watch.see(Seen::Status(status), now));
        }

        fn run(&mut self, seconds: u64) {
            for _ in 0..seconds * 10 {
                self.now += Duration::from_millis(100);
                for number in 0..self.processes.len() {
                    let process = &mut self.processes[number];
                    let due = process.watch.deadline().is_some_and(|deadline| deadline <= self.now);
                    if process.alive && !process.active && due {
                        self.take_over(number);
                    } else if process.alive && process.active && process.refresh <= self.now {
                        process.refresh = self.now + 15 * SECOND;
                        self.tell(Status { instance: number.to_string(), active: true });
                    }
                }
            }
        }

        fn take_over(&mut self, number: usize) {
            self.switches += 1;
            let before = self.processes.iter().position(|process| process.active);
            let process = &mut self.processes[number];
            (process.active, process.refresh) = (true, self.now + 15 * SECOND);
            self.tell(Status { instance: number.to_string(), active: true });
            if let Some(before) = before {
                self.watch(before);
            }
        }

        fn active(&self) -> usize {
            self.processes.iter().filter(|process| process.active).count()
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_usize).prop_map(Step::Kill),
            (0..3_usize).prop_map(Step::Start),
            any::<bool>().prop_map(Step::Restart),
            (0..60_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn one_is_active_in_the_end_and_stays(steps in proptest::collection::vec(step(), 0..20)) {
            let process = || Process {
                watch: Watch::new(PATIENCE, ""), active: false, alive: false, refresh: Duration::ZERO,
            };
            let processes = (0..3).map(|_| process()).collect();
            let (now, switches) = (Duration::ZERO, 0);
            let mut site = Site { processes, retained: None, now, switches };
            site.watch(0);
            for step in steps {
                match step {
                    Step::Kill(number) => {
                        let process = &mut site.processes[number];
                        process.alive = false;
                        if std::mem::take(&mut process.active) {
                            site.tell(Status { instance: number.to_string(), active: false });
                        }
                    }
                    Step::Start(number) if !site.processes[number].alive => site.watch(number),
                    Step::Start(_) => {}
                    Step::Restart(forgets) => {
                        if forgets {
                            site.retained = None;
                        }
                        for number in 0..3 {
                            let process = &site.processes[number];
                            // The active one comes back a moment later and says so with its next refresh.
                            if process.alive && !process.active {
                                site.watch(number);
                            }
                        }
                    }
                    Step::Wait(seconds) => site.run(seconds),
                }
                prop_assert!(site.active() <= 1);
            }
            site.run(60);
            let alive = site.processes.iter().filter(|process| process.alive).count();
            prop_assert_eq!(site.active(), alive.min(1));
            let switches = site.switches;
            site.run(600);
            prop_assert_eq!(site.switches, switches, "the session goes back and forth");
        }
    }
}
