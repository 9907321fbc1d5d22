//! The relay under random schedules, against a model that knows each message's fate by name.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What a schedule may do next; the numbers choose among what is possible.
#[derive(Clone, Copy, Debug)]
enum Step {
    Connect,
    Disconnect,
    Receive {
        dead_letter: bool,
    },
    /// A message that brings nothing to write.
    Pass,
    Deliver(usize),
    Reject(usize),
    Fail(usize),
    /// A report about a ticket that was reported before, or that a reset made void.
    Repeat(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Connect),
        1 => Just(Step::Disconnect),
        8 => any::<bool>().prop_map(|dead_letter| Step::Receive { dead_letter }),
        3 => Just(Step::Pass),
        8 => any::<usize>().prop_map(Step::Deliver),
        2 => any::<usize>().prop_map(Step::Reject),
        1 => any::<usize>().prop_map(Step::Fail),
        1 => any::<usize>().prop_map(Step::Repeat),
    ]
}

/// Messages are numbered as they come; the number is the token.
#[derive(Default)]
struct Model {
    generation: Generation,
    connected: bool,
    /// In receive order: number and the generation that brought it.
    unacknowledged: Vec<(u64, Generation)>,
    delivered: BTreeSet<u64>,
    passed: BTreeSet<u64>,
    open: BTreeMap<Ticket, u64>,
    closed: Vec<Ticket>,
    dead_letters: BTreeSet<u64>,
    received: u64,
}

impl Model {
    fn pick(&self, choice: usize) -> Option<Ticket> {
        let tickets: Vec<_> = self.open.keys().copied().collect();
        tickets.get(choice.checked_rem(tickets.len())?).copied()
    }

    fn close(&mut self, ticket: Ticket) -> u64 {
        self.closed.push(ticket);
        self.open.remove(&ticket).expect("the ticket is open")
    }

    /// What may be acknowledged now: the settled prefix, as far as the present connection brought it.
    fn expected(&mut self) -> Vec<Effect<u64>> {
        let settled = |&&(number, _): &&(u64, Generation)| {
            self.delivered.contains(&number) || self.passed.contains(&number)
        };
        let count = self.unacknowledged.iter().take_while(settled).count();
        self.unacknowledged
            .drain(..count)
            .filter(|&(_, generation)| self.connected && generation == self.generation)
            .map(|(number, _)| Effect::Acknowledge(number))
            .collect()
    }

    fn receive(&mut self, relay: &mut Relay<u64>, dead_letter: bool) {
        let (token, generation) = (self.received, self.generation);
        let refused = dead_letter.then_some(Reason::WrongType);
        let ticket = relay.receive(receipt(generation, token), refused);
        self.received += 1;
        self.unacknowledged.push((token, generation));
        self.open.insert(ticket, token);
        if dead_letter {
            self.dead_letters.insert(token);
        }
    }

    /// The event that a step stands for, and the effects that it must have; none if it is impossible.
    fn play(&mut self, step: Step) -> Option<(Event, Vec<Effect<u64>>)> {
        Some(match step {
            Step::Receive { .. } | Step::Pass => return None,
            Step::Connect => {
                (self.generation, self.connected) = (self.generation + 1, true);
                (Event::Connected(self.generation), vec![])
            }
            Step::Disconnect => {
                self.connected = false;
                (Event::Disconnected, vec![])
            }
            Step::Deliver(choice) => {
                let ticket = self.pick(choice)?;
                let number = self.close(ticket);
                self.delivered.insert(number);
                (Event::Delivered(ticket), self.expected())
            }
            Step::Reject(choice) => {
                let ticket = self.pick(choice)?;
                let effect = if self.dead_letters.insert(self.open[&ticket]) {
                    Effect::ProduceDeadLetter(ticket)
                } else {
                    Effect::Halt(ticket)
                };
                (Event::Rejected(ticket), vec![effect])
            }
            Step::Fail(choice) => {
                let ticket = self.pick(choice)?;
                self.closed.extend(std::mem::take(&mut self.open).into_keys());
                self.unacknowledged.clear();
                self.connected = false;
                (Event::Failed(ticket), vec![Effect::Reset])
            }
            Step::Repeat(choice) => {
                let ticket = *self.closed.get(choice.checked_rem(self.closed.len())?)?;
                let event = match choice % 3 {
                    0 => Event::Delivered(ticket),
                    1 => Event::Rejected(ticket),
                    _ => Event::Failed(ticket),
                };
                (event, vec![])
            }
        })
    }
}

/// Each message has two bytes.
fn receipt(generation: Generation, token: u64) -> Receipt<u64> {
    Receipt { generation, token, bytes: 2, at: Duration::from_secs(token) }
}

const fn window(messages: usize) -> Window {
    Window { messages, bytes: usize::MAX }
}

fn apply(relay: &mut Relay<u64>, event: Event) -> Vec<Effect<u64>> {
    let mut effects = Vec::new();
    relay.apply(event, &mut effects);
    effects
}

proptest! {
    /// The model states the rules as sets and prefixes; so an acknowledgement before its delivery,
    /// out of order, or for another connection is an effect that it does not expect.
    #[test]
    fn every_effect_is_the_models(
        window in 1_usize..6,
        bytes in 1_usize..12,
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut relay = Relay::new(Window { messages: window, bytes });
        let mut model = Model::default();
        let full = |model: &Model| {
            let held = model.unacknowledged.len();
            held >= window || 2 * held >= bytes
        };
        for step in steps {
            if let Step::Receive { dead_letter } = step {
                if relay.has_room() && model.generation > 0 {
                    model.receive(&mut relay, dead_letter);
                }
            } else if let Step::Pass = step {
                if relay.has_room() && model.generation > 0 {
                    let (token, generation) = (model.received, model.generation);
                    model.received += 1;
                    model.unacknowledged.push((token, generation));
                    model.passed.insert(token);
                    let mut effects = Vec::new();
                    relay.pass(receipt(generation, token), Passed::Repeated, &mut effects);
                    prop_assert_eq!(effects, model.expected());
                }
            } else if let Some((event, expected)) = model.play(step) {
                prop_assert_eq!(apply(&mut relay, event), expected, "{:?}", step);
            }
            prop_assert!(model.unacknowledged.len() <= window);
            prop_assert_eq!(relay.has_room(), !full(&model));
            prop_assert_eq!(relay.bytes(), 2 * model.unacknowledged.len());
            let oldest = model.unacknowledged.first().map(|&(number, _)| Duration::from_secs(number));
            prop_assert_eq!(relay.oldest(), oldest);

            let tally = relay.tally();
            let dead = model.delivered.intersection(&model.dead_letters).count() as u64;
            let letters: u64 = tally.dead_lettered.iter().sum();
            prop_assert_eq!(tally.received, model.received);
            prop_assert_eq!(letters, dead);
            prop_assert_eq!(tally.forwarded, model.delivered.len() as u64 - dead);
            prop_assert_eq!(tally.repeated, model.passed.len() as u64);
            prop_assert_eq!(tally.in_flight, model.open.len() as u64);
            let Tally { forwarded, repeated, out_of_order, returned, in_flight, .. } = *tally;
            let sum = forwarded + letters + repeated + out_of_order + returned + in_flight;
            prop_assert_eq!(tally.received, sum);
        }
    }

    /// Whatever the order of the reports, when all have come everything is acknowledged, in the order of receipt.
    #[test]
    fn everything_is_acknowledged_in_the_end(
        reports in (1_usize..40).prop_flat_map(|n| Just((0..n).collect::<Vec<_>>()).prop_shuffle()),
    ) {
        let mut relay = Relay::new(window(reports.len()));
        apply(&mut relay, Event::Connected(7));
        let tokens = 0..reports.len() as u64;
        let tickets: Vec<_> = tokens.map(|token| relay.receive(receipt(7, token), None)).collect();
        let mut effects = Vec::new();
        for report in &reports {
            relay.apply(Event::Delivered(tickets[*report]), &mut effects);
        }
        let all: Vec<_> = (0..reports.len() as u64).map(Effect::Acknowledge).collect();
        prop_assert_eq!(effects, all);
        prop_assert_eq!((relay.tally().in_flight, relay.has_room()), (0, true));
    }
}

/// A message that is still on its way when its connection breaks comes again on the next one. Its first
/// delivery acknowledges nothing, its second acknowledges it.
#[test]
fn a_stale_delivery_acknowledges_nothing() {
    let mut relay = Relay::new(window(2));
    apply(&mut relay, Event::Connected(1));
    let first = relay.receive(receipt(1, 10), None);
    apply(&mut relay, Event::Disconnected);
    apply(&mut relay, Event::Connected(2));
    let again = relay.receive(receipt(2, 11), None);
    assert!(!relay.has_room());
    assert_eq!(apply(&mut relay, Event::Delivered(first)), []);
    assert_eq!(apply(&mut relay, Event::Delivered(again)), [Effect::Acknowledge(11)]);
    assert_eq!(relay.tally().acknowledged, 1);
}
