//! The ledger under random schedules, against a model that keeps every number in sets.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PACE: Pace = Pace { interval: SECOND, records: 10, senders_max: 1_000 };

fn epoch(number: u8) -> Epoch {
    Epoch::from_bytes([number; 16])
}

fn event(seq: u64, floor: u64) -> Arrival {
    Arrival { stamp: Stamp { epoch: epoch(0), seq, floor }, count: 1, digest: Some(seq) }
}

fn receive(ledger: &mut Ledger, arrival: Arrival, now: Duration) -> Verdict {
    ledger.receive("d", arrival, now, || "ack/d".into())
}

fn answers(ledger: &mut Ledger, now: Duration) -> Vec<(u64, bool)> {
    let mut answers = Vec::new();
    ledger.answer(now, &mut answers);
    answers.iter().map(|answer| (answer.confirmation.through, answer.confirmation.resend)).collect()
}

fn claim(verdict: Verdict) -> Claim {
    match verdict {
        Verdict::New(claim) => claim,
        other => panic!("{other:?}"),
    }
}

/// Takes an event and delivers it.
fn store(ledger: &mut Ledger, seq: u64, now: Duration) {
    let claim = claim(receive(ledger, event(seq, 1), now));
    ledger.delivered(claim, now);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A number relative to the next one, the sender (two devices, two epochs), floor and length.
    Receive {
        sender: u8,
        ahead: i64,
        below: u64,
        gap: u64,
    },
    Deliver(usize),
    Reset,
    Restart,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let ahead = prop_oneof![6 => Just(0_i64), 2 => -4..0_i64, 1 => 1..4_i64];
    let gap = prop_oneof![6 => Just(0_u64), 1 => 1..5_u64];
    prop_oneof![
        8 => (0..4_u8, ahead, 0..12_u64, gap)
            .prop_map(|(sender, ahead, below, gap)| Step::Receive { sender, ahead, below, gap }),
        6 => any::<usize>().prop_map(Step::Deliver),
        1 => Just(Step::Reset),
        1 => Just(Step::Restart),
        3 => (0..1_500_u64).prop_map(Step::Wait),
    ]
}

/// One sender, as sets of numbers.
#[derive(Default, Clone, Debug)]
struct Model {
    known: bool,
    base: u64,
    taken: BTreeSet<u64>,
    delivered: BTreeSet<u64>,
    owed: bool,
}

impl Model {
    fn next(&self) -> u64 {
        self.taken.last().map_or(self.base, |last| last + 1).max(self.base)
    }

    /// The last number of the run of delivered ones that begins at the base.
    fn through(&self) -> u64 {
        let lost = |number: &u64| self.taken.contains(number) && !self.delivered.contains(number);
        (self.base..self.next()).find(lost).unwrap_or(self.next()) - 1
    }
}

fn names(sender: u8) -> (&'static str, Epoch) {
    (["a", "b"][usize::from(sender % 2)], epoch(sender / 2))
}

proptest! {
    #[test]
    fn every_verdict_and_every_confirmation_is_the_models(
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let mut ledger = Ledger::new(PACE);
        let mut models: BTreeMap<u8, Model> = BTreeMap::new();
        let mut open: Vec<(Claim, u8, Vec<u64>)> = Vec::new();
        let mut now = Duration::ZERO;
        for step in steps {
            match step {
                Step::Receive { sender, ahead, below, gap } => {
                    let model = models.entry(sender).or_default();
                    let next = if model.known { model.next() } else { 5 };
                    let seq = next.saturating_add_signed(ahead).max(1);
                    let floor = seq.saturating_sub(below).max(1);
                    if !model.known {
                        *model = Model { known: true, base: floor, ..Model::default() };
                    }
                    model.base = model.base.max(floor);
                    let next = model.next();
                    let last = seq + gap.max(1) - 1;
                    let (device, epoch) = names(sender);
                    let stamp = Stamp { epoch, seq, floor };
                    let digest = (gap == 0).then_some(seq);
                    let arrival = Arrival { stamp, count: gap.max(1), digest };
                    let verdict = ledger.receive(device, arrival, now, || device.to_owned());
                    if seq > next {
                        prop_assert_eq!(verdict, Verdict::TooEarly);
                    } else if last < next {
                        prop_assert_eq!(verdict, Verdict::Repetition);
                    } else {
                        let claim = claim(verdict);
                        let numbers: Vec<u64> = (next..=last).collect();
                        model.taken.extend(&numbers);
                        open.push((claim, sender, numbers));
                    }
                    model.owed |= !matches!(verdict, Verdict::New(_));
                }
                Step::Deliver(choice) if !open.is_empty() => {
                    let (claim, sender, numbers) = open.swap_remove(choice % open.len());
                    ledger.delivered(claim, now);
                    let model = models.get_mut(&sender).expect("known");
                    // Of what is not awaited any more nothing is said.
                    model.owed |= numbers.last() >= Some(&model.base);
                    model.delivered.extend(numbers);
                }
                Step::Deliver(_) => {}
                Step::Reset => {
                    ledger.reset();
                    open.clear();
                    for model in models.values_mut() {
                        let through = model.through();
                        model.taken.retain(|number| *number <= through);
                        model.delivered.retain(|number| *number <= through);
                        model.base = model.base.max(through + 1);
                    }
                }
                Step::Restart => {
                    (ledger, open) = (Ledger::new(PACE), Vec::new());
                    models.clear();
                }
                Step::Wait(millis) => now += Duration::from_millis(millis),
            }
            let mut said = Vec::new();
            ledger.answer(now, &mut said);
            for Answer { topic, confirmation } in said {
                let sender = (0..4).find(|s| names(*s) == (&*topic, confirmation.epoch));
                let model = models.get_mut(&sender.expect("known")).expect("known");
                prop_assert_eq!(confirmation.through, model.through());
                model.owed = false;
            }
        }
        // When all is delivered, whoever sent something since it was last answered is told of everything.
        for (claim, sender, numbers) in open {
            ledger.delivered(claim, now);
            let model = models.get_mut(&sender).expect("known");
            model.owed |= numbers.last() >= Some(&model.base);
            model.delivered.extend(numbers);
        }
        let mut said = Vec::new();
        ledger.answer(now + SECOND, &mut said);
        for (sender, model) in models.iter().filter(|(_, model)| model.owed) {
            let (device, epoch) = names(*sender);
            let confirmation = said.iter().find(|answer| &*answer.topic == device && answer.confirmation.epoch == epoch);
            let through = confirmation.map(|answer| answer.confirmation.through);
            prop_assert_eq!(through, Some(model.next() - 1), "{} {:?}", device, model);
        }
    }

    /// A sender that follows the rules, over a way that loses and repeats, gets everything confirmed.
    #[test]
    fn a_sender_that_begins_again_when_it_is_asked_gets_through(
        faults in proptest::collection::vec(0..4_u8, 0..60), count in 1..40_u64,
    ) {
        let mut ledger = Ledger::new(PACE);
        let mut faults = faults.into_iter();
        let (mut confirmed, mut now, mut written) = (0, Duration::ZERO, Vec::new());
        let mut rounds = 0;
        while confirmed < count {
            rounds += 1;
            prop_assert!(rounds < 200, "stalled at {}", confirmed);
            for seq in confirmed + 1..=count {
                let fault = faults.next().unwrap_or(3);
                let copies = [0, 2, 1, 1][usize::from(fault)];
                for _ in 0..copies {
                    if let Verdict::New(claim) = receive(&mut ledger, event(seq, confirmed + 1), now) {
                        written.push(seq);
                        ledger.delivered(claim, now);
                    }
                }
            }
            now += SECOND;
            if faults.next() != Some(0) {
                let said = answers(&mut ledger, now);
                confirmed = said.iter().map(|(through, _)| *through).max().unwrap_or(confirmed);
            }
        }
        prop_assert_eq!(written, (1..=count).collect::<Vec<_>>());
    }
}

#[test]
fn an_answer_is_given_at_once_after_a_pause_and_then_by_time_or_count() {
    let mut ledger = Ledger::new(PACE);
    store(&mut ledger, 1, Duration::ZERO);
    assert_eq!(answers(&mut ledger, Duration::ZERO), [(1, false)]);
    assert_eq!(ledger.next_answer(), None);

    store(&mut ledger, 2, SECOND / 2);
    assert_eq!(ledger.next_answer(), Some(SECOND));
    assert_eq!(answers(&mut ledger, SECOND / 2), []);
    assert_eq!(answers(&mut ledger, SECOND), [(2, false)]);

    (3..12).for_each(|seq| store(&mut ledger, seq, SECOND));
    assert_eq!(answers(&mut ledger, SECOND), []);
    store(&mut ledger, 12, SECOND);
    assert_eq!(answers(&mut ledger, SECOND), [(12, false)]);
    // The entry of the time that was arranged before says nothing more.
    assert_eq!(answers(&mut ledger, 2 * SECOND), []);
}

#[test]
fn a_repetition_is_answered_again() {
    let mut ledger = Ledger::new(PACE);
    store(&mut ledger, 1, Duration::ZERO);
    assert_eq!(answers(&mut ledger, Duration::ZERO), [(1, false)]);
    assert_eq!(receive(&mut ledger, event(1, 1), 2 * SECOND), Verdict::Repetition);
    assert_eq!(answers(&mut ledger, 2 * SECOND), [(1, false)]);
}

#[test]
fn what_comes_too_early_is_asked_for_again_once_in_an_interval() {
    let mut ledger = Ledger::new(PACE);
    store(&mut ledger, 1, Duration::ZERO);
    assert_eq!(answers(&mut ledger, Duration::ZERO), [(1, false)]);
    let at = SECOND / 4;
    assert_eq!(receive(&mut ledger, event(3, 1), at), Verdict::TooEarly);
    assert_eq!(answers(&mut ledger, at), [(1, true)]);
    assert_eq!(receive(&mut ledger, event(4, 1), at), Verdict::TooEarly);
    assert_eq!(answers(&mut ledger, SECOND), []);
    assert_eq!(answers(&mut ledger, at + SECOND), [(1, true)]);
    // Number 2 is what was asked for.
    assert_eq!(receive(&mut ledger, event(4, 1), at + SECOND), Verdict::TooEarly);
    store(&mut ledger, 2, at + SECOND);
    assert_eq!(answers(&mut ledger, at + 3 * SECOND), [(2, false)]);
}

#[test]
fn nothing_behind_an_undelivered_number_is_confirmed() {
    let mut ledger = Ledger::new(PACE);
    let claims: Vec<Claim> =
        (1..4).map(|seq| claim(receive(&mut ledger, event(seq, 1), Duration::ZERO))).collect();
    ledger.delivered(claims[2], Duration::ZERO);
    ledger.delivered(claims[1], Duration::ZERO);
    assert_eq!(answers(&mut ledger, Duration::ZERO), [(0, false)]);
    ledger.delivered(claims[0], SECOND);
    assert_eq!(answers(&mut ledger, SECOND), [(3, false)]);
}

#[test]
fn after_a_reset_everything_unconfirmed_is_new_again() {
    let mut ledger = Ledger::new(PACE);
    store(&mut ledger, 1, Duration::ZERO);
    let void = claim(receive(&mut ledger, event(2, 1), Duration::ZERO));
    ledger.reset();
    ledger.delivered(void, Duration::ZERO);
    assert_eq!(answers(&mut ledger, Duration::ZERO), [(1, false)]);
    assert_eq!(receive(&mut ledger, event(1, 1), Duration::ZERO), Verdict::Repetition);
    // Other bytes than those that Kafka has not taken are no conflict.
    let again = Arrival { digest: Some(77), ..event(2, 1) };
    claim(receive(&mut ledger, again, Duration::ZERO));
}

#[test]
fn other_bytes_under_a_number_are_a_conflict_while_they_are_remembered() {
    let mut ledger = Ledger::new(PACE);
    let last = RECENT as u64 + 1;
    (1..=last).for_each(|seq| store(&mut ledger, seq, Duration::ZERO));
    let other = |seq| Arrival { digest: Some(0), ..event(seq, 1) };
    assert_eq!(receive(&mut ledger, other(last), Duration::ZERO), Verdict::Conflict);
    assert_eq!(receive(&mut ledger, event(last, 1), Duration::ZERO), Verdict::Repetition);
    assert_eq!(receive(&mut ledger, other(2), Duration::ZERO), Verdict::Conflict);
    assert_eq!(receive(&mut ledger, other(1), Duration::ZERO), Verdict::Repetition);
    store(&mut ledger, last + 1, Duration::ZERO);
}

/// An agent may give up events whose confirmation it has not heard.
#[test]
fn a_gap_over_known_numbers_takes_the_rest() {
    let mut ledger = Ledger::new(PACE);
    (1..=3).for_each(|seq| store(&mut ledger, seq, Duration::ZERO));
    let gap = |seq, count| Arrival { count, digest: None, ..event(seq, 1) };
    assert_eq!(receive(&mut ledger, gap(2, 2), Duration::ZERO), Verdict::Repetition);
    let rest = claim(receive(&mut ledger, gap(2, 9), Duration::ZERO));
    ledger.delivered(rest, Duration::ZERO);
    assert_eq!(answers(&mut ledger, SECOND), [(10, false)]);
    let endless = claim(receive(&mut ledger, gap(11, u64::MAX), SECOND));
    ledger.delivered(endless, SECOND);
    assert_eq!(receive(&mut ledger, event(12, 11), SECOND), Verdict::Repetition);
}

#[test]
fn the_most_silent_senders_are_forgotten_but_never_busy_ones() {
    let mut ledger = Ledger::new(Pace { senders_max: 10, ..PACE });
    let of = |number: u8, seq| {
        let stamp = Stamp { epoch: epoch(number), ..event(seq, 1).stamp };
        Arrival { stamp, ..event(seq, 1) }
    };
    // In flight, and so never forgotten.
    claim(receive(&mut ledger, of(0, 1), Duration::ZERO));
    for number in 1..100 {
        let claim = claim(receive(&mut ledger, of(number, 1), Duration::ZERO));
        ledger.delivered(claim, Duration::ZERO);
        ledger.answer(Duration::ZERO, &mut Vec::new());
        assert!(ledger.senders() <= 10);
    }
    assert_eq!(receive(&mut ledger, of(0, 1), SECOND), Verdict::Repetition);
    assert_eq!(receive(&mut ledger, of(99, 1), SECOND), Verdict::Repetition);
    claim(receive(&mut ledger, of(1, 1), SECOND));
}
