//! Random topics, and the join as its definition says it: nested loops over the whole history.

use std::time::Duration;

use proptest::prelude::*;
use weir_events::{
    Digest, EventId, EventTime, Key, Measurement, ModelRef, ModelVersion, Outcome, Prediction,
    Side, Target, UnjoinedReason,
};
use weir_stream::{Join, JoinConfig, JoinOutput};

/// One event of a topic; times in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    pub(crate) id: u32,
    pub(crate) key: u8,
    pub(crate) time: i64,
}

/// Both topics, each in its own order, and the spans of the join in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    pub(crate) predictions: Vec<Event>,
    pub(crate) targets: Vec<Event>,
    pub(crate) within: i64,
    pub(crate) lateness: i64,
}

/// What becomes of an event, with its place in its topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Fate {
    Joined { prediction: usize, target: usize },
    Unjoined { time: i64, side: Side, place: usize, reason: UnjoinedReason },
}

impl Topics {
    pub(crate) fn config(&self) -> JoinConfig {
        JoinConfig {
            within: Duration::from_micros(self.within.unsigned_abs()),
            lateness: Duration::from_micros(self.lateness.unsigned_abs()),
            pending_max: 10,
        }
    }

    pub(crate) fn side(&self, side: Side) -> &[Event] {
        match side {
            Side::Prediction => &self.predictions,
            Side::Target => &self.targets,
        }
    }

    /// An order of reading both topics to their ends, made from random choices.
    pub(crate) fn interleaving(&self, choices: &[bool]) -> Vec<(Side, usize)> {
        let mut places = [0..self.predictions.len(), 0..self.targets.len()];
        let mut order = Vec::new();
        for &choice in choices.iter().cycle() {
            let sides = [Side::Prediction, Side::Target];
            let first = usize::from(choice);
            let next = [first, 1 - first]
                .into_iter()
                .find_map(|side| places[side].next().map(|place| (sides[side], place)));
            let Some(next) = next else { break };
            order.push(next);
        }
        order
    }

    pub(crate) fn push(&self, join: &mut Join, side: Side, place: usize) -> Vec<JoinOutput> {
        let offset = i64::try_from(place).expect("small");
        match side {
            Side::Prediction => join.push_prediction(offset, prediction(self.predictions[place])),
            Side::Target => join.push_target(offset, target(self.targets[place])),
        }
    }

    /// The outputs of each push of an order, and of the end, by the definition.
    pub(crate) fn expected(&self, order: &[(Side, usize)]) -> Vec<Vec<Fate>> {
        let reasons = |side| -> Vec<_> {
            (0..self.side(side).len()).map(|place| self.refusal(side, place)).collect()
        };
        let refused = [reasons(Side::Prediction), reasons(Side::Target)];
        let step_of = |side, place| order.iter().position(|&at| at == (side, place)).expect("read");
        let mut fates = vec![Vec::new(); order.len() + 1];
        for (step, &(side, place)) in order.iter().enumerate() {
            let event = self.side(side)[place];
            if let Some(reason) = refused[side as usize][place] {
                fates[step].push(Fate::Unjoined { time: event.time, side, place, reason });
                continue;
            }
            let other = other(side);
            let partner = (0..self.side(other).len()).find(|&partner| {
                let candidate = self.side(other)[partner];
                refused[other as usize][partner].is_none()
                    && candidate.key == event.key
                    && (candidate.time - event.time).abs() <= self.within
            });
            if let Some(partner) = partner {
                let (prediction, target) = match side {
                    Side::Prediction => (place, partner),
                    Side::Target => (partner, place),
                };
                if step_of(other, partner) < step {
                    fates[step].push(Fate::Joined { prediction, target });
                }
                continue;
            }
            let is_beyond = |&(of, place): &(Side, usize)| {
                of == other
                    && self.side(other)[place].time > event.time + self.within + self.lateness
            };
            let beyond = order.iter().position(is_beyond).unwrap_or(order.len());
            let reason = UnjoinedReason::Unmatched;
            let fate = Fate::Unjoined { time: event.time, side, place, reason };
            fates[beyond.max(step)].push(fate);
        }
        for fates in &mut fates {
            // What became of the pushed event itself comes first; unmatched ones by time and side.
            fates.sort_by_key(|&fate| match fate {
                Fate::Unjoined { reason: UnjoinedReason::Unmatched, time, side, place } => {
                    (1, time, side, step_of(side, place))
                }
                _ => (0, 0, Side::Prediction, 0),
            });
        }
        fates
    }

    /// Why an event does not take part; none if it is accepted.
    fn refusal(&self, side: Side, place: usize) -> Option<UnjoinedReason> {
        let topic = self.side(side);
        let event = topic[place];
        let progress = |place: usize| topic[..place].iter().map(|event| event.time).max();
        let is_late = |place: usize| {
            progress(place).is_some_and(|progress| progress > topic[place].time + self.lateness)
        };
        let mut earlier = (0..place).filter(|&earlier| {
            let seen = topic[earlier];
            !is_late(earlier)
                && seen.key == event.key
                && (seen.time - event.time).abs() <= 2 * self.within
                && progress(place) <= Some(seen.time + 2 * self.within + self.lateness)
        });
        if earlier.clone().any(|earlier| topic[earlier] == event) {
            return Some(UnjoinedReason::Superseded);
        }
        if is_late(place) {
            return Some(UnjoinedReason::Late);
        }
        earlier.next().map(|_| UnjoinedReason::Duplicate)
    }
}

pub(crate) fn other(side: Side) -> Side {
    match side {
        Side::Prediction => Side::Target,
        Side::Target => Side::Prediction,
    }
}

/// Topics with everything that goes wrong: disorder, repetition, reuse of keys, missing partners,
/// targets before predictions, jumps ahead.
pub(crate) fn topics(len_max: usize) -> impl Strategy<Value = Topics> {
    // From a key a moment to a key for nearly every event.
    (1..8i64, 0..12i64, 1..40u8).prop_flat_map(move |(within, lateness, keys)| {
        let topic = || prop::collection::vec((shift(), 0..keys, 0..6u8, 1..4usize), 0..len_max);
        (topic(), topic()).prop_map(move |(predictions, targets)| Topics {
            predictions: topic_of(&predictions, 0, keys),
            targets: topic_of(&targets, 1, keys),
            within,
            lateness,
        })
    })
}

/// How far from its due time an event lies.
fn shift() -> impl Strategy<Value = i64> {
    prop_oneof![20 => Just(0i64), 20 => -3..4i64, 4 => -25..5i64, 1 => 5..25i64]
}

/// An event comes every microsecond on average, its key in step with its time, so that both topics
/// have about the same ones; one in six has a random key, one in six repeats an earlier event.
fn topic_of(draws: &[(i64, u8, u8, usize)], side: u32, keys: u8) -> Vec<Event> {
    let mut topic: Vec<Event> = Vec::new();
    for (place, &(shift, key, kind, back)) in draws.iter().enumerate() {
        let due = i64::try_from(place).expect("small");
        let own = Event {
            id: 2 * u32::try_from(place).expect("small") + side,
            key: u8::try_from(due % i64::from(keys)).expect("below keys"),
            time: due + shift,
        };
        topic.push(match kind {
            0 => Event { key, ..own },
            1 => place.checked_sub(back * back).map_or(own, |earlier| topic[earlier]),
            _ => own,
        });
    }
    topic
}

pub(crate) fn event_id(id: u32) -> EventId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&id.to_be_bytes());
    EventId::from_bytes(bytes)
}

pub(crate) fn model() -> ModelRef {
    ModelRef { version: ModelVersion::FIRST, digest: Digest::of(b""), time: EventTime::EPOCH }
}

pub(crate) fn prediction(event: Event) -> Prediction {
    let measurement = Measurement {
        id: event_id(event.id),
        key: Key::new(&event.key.to_string()).expect("not empty"),
        time: EventTime::from_micros(event.time),
        features: vec![f64::from(event.id)],
        level: None,
    };
    Prediction { measurement, outcome: Outcome::Value(1.5), model: model(), shadow: None }
}

pub(crate) fn target(event: Event) -> Target {
    Target {
        id: event_id(event.id),
        key: Key::new(&event.key.to_string()).expect("not empty"),
        time: EventTime::from_micros(event.time),
        value: f64::from(event.id + 1),
    }
}
