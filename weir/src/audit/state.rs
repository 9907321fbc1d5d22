//! What is known of each event: the pure part of the audit.
//!
//! An [`Audit`] is given records of the topics in any order between topics; those of one topic in the order of their
//! offsets. Of several predictions with one id the first that is given counts. An id has one key, and a key one
//! partition, so that this is the first in the topic; a topic that was given more partitions meanwhile may differ.
//!
//! Memory is proportional to the number of events: an id of 16 bytes and an [`Event`] of 32 for each, in a table that
//! is about half full or more, and is there twice for a moment when it grows. Beside it only what is wrong, what was
//! done twice, and the ranges of offsets take room.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::num::NonZeroU32;

use weir_events::{Digest, EventId, ModelVersion, RowPosition};

use super::report::{
    Contradiction, Counts, Listed, Missing, Range, Repeated, Report, Served, Superseded, Version,
};

/// Where a record was read that is no event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Topic {
    Measurement,
    Prediction,
    Joined,
}

/// The number of a model, from 1 on: short, and with room for "none".
type Number = NonZeroU32;

/// What is known of an event. There is one for each id: small things only.
#[derive(Clone, Copy, Default, Debug)]
struct Event {
    /// Stands for the content of the first joined row, if there is one.
    content: u64,
    /// Where its first measurement lies, if there is one.
    offset: i64,
    partition: i32,
    /// The model of the first prediction.
    first: Option<Number>,
    /// The model of the first joined row.
    joined: Option<Number>,
    is_measured: bool,
    is_dead: bool,
}

impl Event {
    fn is_missing(&self) -> bool {
        self.is_measured && !self.is_dead && self.first.is_none()
    }

    fn place(&self) -> RowPosition {
        RowPosition { partition: self.partition, offset: self.offset }
    }
}

/// A prediction that came when there was one with its id.
#[derive(Clone, Copy, Debug)]
struct Later {
    id: EventId,
    place: RowPosition,
    model: Number,
}

/// Takes records, and tells what is wrong with them.
#[derive(Debug)]
pub(super) struct Audit {
    /// Of each list so many are kept for the report; all are counted.
    listed_max: usize,
    events: HashMap<EventId, Event>,
    /// The models by their numbers, from 1 on, and back.
    models: Vec<Served>,
    numbers: HashMap<Served, Number>,
    ranges: BTreeMap<i32, Vec<Range>>,
    later: Vec<Later>,
    repeated: Listed<Repeated>,
    contradictions: Listed<Contradiction>,
    counts: Counts,
    missing: u64,
    is_cut: bool,
}

impl Audit {
    pub(super) fn new(listed_max: usize) -> Self {
        Self {
            listed_max,
            events: HashMap::new(),
            models: Vec::new(),
            numbers: HashMap::new(),
            ranges: BTreeMap::new(),
            later: Vec::new(),
            repeated: Listed::default(),
            contradictions: Listed::default(),
            counts: Counts::default(),
            missing: 0,
            is_cut: false,
        }
    }

    /// A measurement that can be read.
    pub(super) fn measurement(&mut self, id: EventId, place: RowPosition) {
        self.counts.measurements += 1;
        self.update(id, |event| {
            if !event.is_measured {
                event.is_measured = true;
                (event.partition, event.offset) = (place.partition, place.offset);
            }
        });
    }

    /// A measurement that was set aside.
    pub(super) fn dead_letter(&mut self, id: EventId) {
        self.update(id, |event| event.is_dead = true);
    }

    /// A prediction.
    pub(super) fn prediction(&mut self, id: EventId, place: RowPosition, model: Served) {
        self.counts.predictions += 1;
        self.extend_range(place, model);
        let number = self.number(model);
        let before = self.update(id, |event| {
            event.first.get_or_insert(number);
        });
        if before.first.is_some() {
            self.later.push(Later { id, place, model: number });
        }
    }

    /// A joined row. `content` is the digest of all that it says.
    pub(super) fn joined(
        &mut self,
        id: EventId,
        place: RowPosition,
        model: Served,
        content: Digest,
    ) {
        self.counts.joined += 1;
        let number = self.number(model);
        let content = short(content);
        let before = self.update(id, |event| {
            if event.joined.is_none() {
                (event.joined, event.content) = (Some(number), content);
            }
        });
        let Some(first) = before.joined else { return };
        let RowPosition { partition, offset } = place;
        if first != number {
            let first = self.model(first);
            let found = Contradiction::TwoModels { id, partition, offset, first, other: model };
            self.contradictions.add(found, self.listed_max);
        } else if before.content != content {
            let found = Contradiction::TwoContents { id, partition, offset, model };
            self.contradictions.add(found, self.listed_max);
        } else {
            self.repeated.add(Repeated { id, partition, offset, model }, self.listed_max);
        }
    }

    /// A record that is not what its topic should hold.
    pub(super) fn unreadable(&mut self, topic: Topic) {
        match topic {
            Topic::Measurement => self.counts.unreadable_measurements += 1,
            Topic::Prediction => self.counts.unreadable_predictions += 1,
            Topic::Joined => self.counts.unreadable_joined += 1,
        }
    }

    /// The oldest predictions have been deleted: rows that may have used one of them cannot be judged.
    pub(super) fn predictions_are_cut(&mut self) {
        self.is_cut = true;
    }

    /// Events without prediction so far.
    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// What the records come to.
    pub(super) fn report(mut self) -> Report {
        let (missing, superseded) = (self.list_missing(), self.list_superseded());
        self.check_rows();
        let versions = self.check_versions();
        let is_ok = missing.count == 0 && self.contradictions.count == 0;
        Report {
            ok: is_ok,
            counts: self.counts,
            predictions_cut: self.is_cut,
            served: self.ranges.into_values().flatten().collect(),
            versions,
            missing,
            superseded,
            repeated: self.repeated,
            contradictions: self.contradictions,
        }
    }

    /// Changes what is known of an event. Returns what was known before.
    fn update(&mut self, id: EventId, change: impl FnOnce(&mut Event)) -> Event {
        let event = self.events.entry(id).or_default();
        let before = *event;
        change(event);
        match (before.is_missing(), event.is_missing()) {
            (false, true) => self.missing += 1,
            (true, false) => self.missing -= 1,
            _ => {}
        }
        before
    }

    fn number(&mut self, model: Served) -> Number {
        *self.numbers.entry(model).or_insert_with(|| {
            self.models.push(model);
            let count = u32::try_from(self.models.len()).ok().and_then(Number::new);
            count.expect("fewer models than a u32 counts: each has a record, which took longer")
        })
    }

    fn model(&self, number: Number) -> Served {
        self.models[number.get() as usize - 1]
    }

    fn extend_range(&mut self, place: RowPosition, model: Served) {
        let RowPosition { partition, offset } = place;
        let ranges = self.ranges.entry(partition).or_default();
        match ranges.last_mut() {
            Some(last) if last.model == model => {
                last.to = offset;
                last.records += 1;
            }
            _ => ranges.push(Range { partition, from: offset, to: offset, records: 1, model }),
        }
    }

    /// Counts the events, and lists those without prediction, by their place.
    fn list_missing(&mut self) -> Listed<Missing> {
        let mut missing = Vec::new();
        for (id, event) in self.events.iter().filter(|(_, event)| event.is_measured) {
            self.counts.events += 1;
            if event.is_missing() {
                missing.push((event.place(), *id));
            } else if event.first.is_some() {
                self.counts.predicted += 1;
            } else {
                self.counts.dead_lettered += 1;
            }
        }
        missing.sort_unstable();
        let shown = missing.into_iter().map(|(RowPosition { partition, offset }, id)| Missing {
            id,
            partition,
            offset,
        });
        Listed::of(shown, self.listed_max)
    }

    fn list_superseded(&mut self) -> Listed<Superseded> {
        self.later.sort_unstable_by_key(|later| later.place);
        let shown = self.later.iter().map(|&Later { id, place, model }| {
            let first = self.events[&id].first.expect("one that came before it");
            let RowPosition { partition, offset } = place;
            Superseded { id, partition, offset, model: self.model(model), first: self.model(first) }
        });
        Listed::of(shown, self.listed_max)
    }

    /// Checks that each joined row has used the first prediction of its event.
    fn check_rows(&mut self) {
        let later: HashSet<(EventId, Number)> =
            self.later.iter().map(|later| (later.id, later.model)).collect();
        let mut found = Vec::new();
        for (&id, event) in &self.events {
            let Some(number) = event.joined else { continue };
            if event.first == Some(number) {
                continue;
            }
            // The one that it has used may be gone, unless it is there and came later.
            if self.is_cut && !later.contains(&(id, number)) {
                self.counts.not_judged += 1;
                continue;
            }
            let joined = self.model(number);
            found.push(match event.first {
                Some(first) => {
                    (id, Contradiction::NotFirst { id, joined, first: self.model(first) })
                }
                None => (id, Contradiction::NoPrediction { id, joined }),
            });
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        for (_, contradiction) in found {
            self.contradictions.add(contradiction, self.listed_max);
        }
    }

    /// Lists the versions, and checks that each has one digest.
    fn check_versions(&mut self) -> Vec<Version> {
        let mut digests: BTreeMap<ModelVersion, BTreeSet<Digest>> = BTreeMap::new();
        for model in &self.models {
            digests.entry(model.version).or_default().insert(model.digest);
        }
        let mut predictions: HashMap<ModelVersion, u64> = HashMap::new();
        for range in self.ranges.values().flatten() {
            *predictions.entry(range.model.version).or_default() += range.records;
        }
        let mut versions = Vec::new();
        for (version, digests) in digests {
            let digests: Vec<_> = digests.into_iter().collect();
            if digests.len() > 1 {
                let found = Contradiction::TwoDigests { version, digests: digests.clone() };
                self.contradictions.add(found, self.listed_max);
            }
            let predictions = predictions.get(&version).copied().unwrap_or(0);
            versions.push(Version { version, digests, predictions });
        }
        versions
    }
}

/// Enough of a digest to tell contents apart that nobody has made to look alike.
fn short(digest: Digest) -> u64 {
    let (head, _) = digest.as_bytes().split_first_chunk().expect("a digest has 32 bytes");
    u64::from_be_bytes(*head)
}

#[cfg(test)]
mod size {
    use super::Event;

    #[test]
    fn an_event_is_as_small_as_the_head_of_this_file_says() {
        assert_eq!(size_of::<Event>(), 32);
    }
}
