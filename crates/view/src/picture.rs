//! What the topics tell about a line, put together.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use weir_events::{
    EventId, EventIdError, EventTime, Joined, Missing, Outcome, Prediction, Reason, Rejection,
    Schema, Side, TopicNames, Trigger, Unjoined, UnjoinedReason, WindowClosed, relative_error,
};
use weir_registry::{Accepted, Log, Refusal};

use crate::results::{Predicted, Results, Version};

/// Closed windows and versions in a picture of the newest events.
const WINDOWS_MAX: usize = 1_000;
const VERSIONS_MAX: usize = 1_024;
/// Triggers, and dead letters that are told one by one.
const TRIGGERS_MAX: usize = 100;
const LETTERS_MAX: usize = 100;
/// Topics and reasons that dead letters are counted under; both come from outside.
const KINDS_MAX: usize = 200;
/// Bytes of a dead letter that are kept.
const PREVIEW_BYTES_MAX: usize = 256;
/// Events without partner that are known, so that one that is told again after a restart counts once.
const UNMATCHED_MAX: usize = 10_000;

/// A record as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The key, if it is text.
    pub key: Option<&'a str>,
    /// The payload; none for a tombstone.
    pub payload: Option<&'a [u8]>,
    /// The event's id, from the header.
    pub id: Option<&'a str>,
    /// Why it is a dead letter, from the header.
    pub reason: Option<&'a str>,
    /// What was wrong with a dead letter, from the header.
    pub detail: Option<&'a str>,
    /// Where a dead letter came from, from the header.
    pub source: Option<&'a str>,
    /// When it was written.
    pub written_at: EventTime,
}

/// What a record has changed.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// Nothing: it was known, or is of no interest.
    Nothing,
    /// An event of this level was predicted, or not.
    Predicted(Outcome, Option<Arc<str>>),
    /// A row was joined, with this error.
    Joined(Option<f64>),
    /// An event left without a partner.
    Unjoined(UnjoinedReason),
    /// A window closed.
    Window(WindowClosed),
    /// A detector asked for retraining.
    Triggered(Box<Trigger>),
    /// There is a new version.
    Version(Box<Accepted>),
    /// Something was refused.
    DeadLetter,
}

/// A record that was refused by whoever should have taken it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letter {
    /// The topic of dead letters.
    pub topic: String,
    /// Why.
    pub reason: String,
    /// What exactly was wrong.
    pub detail: String,
    /// Where it came from.
    pub source: String,
    /// When it was refused.
    pub at: EventTime,
    /// How the payload begins.
    pub preview: Vec<u8>,
}

/// Why a record tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It has no id.
    #[error("record has no event id")]
    NoId,
    /// Its id is none.
    #[error(transparent)]
    Id(#[from] EventIdError),
    /// Its payload cannot be read.
    #[error(transparent)]
    Payload(#[from] Rejection),
    /// It is of the topic of models and does not count.
    #[error(transparent)]
    Model(#[from] Refusal),
}

/// What is known of a line.
#[derive(Debug)]
pub struct Picture {
    schema: Arc<Schema>,
    topics: TopicNames,
    log: Log,
    /// How many events are kept; none for all.
    newest: Option<usize>,
    results: Results,
    /// The number of each event that is kept, counted from the beginning.
    numbers: HashMap<EventId, usize>,
    /// How many events are not kept any more.
    dropped: usize,
    /// Rows that were seen before their predictions; only where predictions are seen too.
    early: HashMap<EventId, Joined>,
    unmatched: Recent<(EventId, Side)>,
    triggers: VecDeque<Trigger>,
    letters: VecDeque<Letter>,
    kinds: BTreeMap<(String, String), u64>,
}

impl Picture {
    /// A picture of everything, for a bounded run whose predictions are seen too.
    pub fn whole(schema: Arc<Schema>, topics: TopicNames, log: Log) -> Self {
        Self::new(schema, topics, log, None)
    }

    /// A picture of the newest events, at least so many and less than twice as many. It needs no more than joined rows: they hold
    /// their predictions.
    pub fn newest(events: usize, schema: Arc<Schema>, topics: TopicNames, log: Log) -> Self {
        Self::new(schema, topics, log, Some(events))
    }

    fn new(schema: Arc<Schema>, topics: TopicNames, log: Log, newest: Option<usize>) -> Self {
        Self {
            schema,
            topics,
            log,
            newest,
            results: Results::default(),
            numbers: HashMap::new(),
            dropped: 0,
            early: HashMap::new(),
            unmatched: Recent::new(if newest.is_some() { UNMATCHED_MAX } else { usize::MAX }),
            triggers: VecDeque::new(),
            letters: VecDeque::new(),
            kinds: BTreeMap::new(),
        }
    }

    /// Events, windows and versions.
    pub fn results(&self) -> &Results {
        &self.results
    }

    /// The versions of the model.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What detectors asked for, newest first.
    pub fn triggers(&self) -> impl Iterator<Item = &Trigger> {
        self.triggers.iter().rev()
    }

    /// What was refused, newest first.
    pub fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.letters.iter().rev()
    }

    /// How many dead letters there are in each topic for each reason.
    pub fn letter_counts(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.kinds.iter().map(|((topic, reason), count)| (&**topic, &**reason, *count))
    }

    /// The whole run, with the first event of each version.
    pub fn into_results(self) -> Results {
        let mut results = self.results;
        let mut first = HashMap::new();
        for prediction in &results.predictions {
            first.entry(prediction.version).or_insert_with(|| prediction.id.clone());
        }
        for version in &mut results.versions {
            version.first_id_predicted = first.remove(&version.manifest.version);
        }
        results
    }

    /// Takes a record.
    ///
    /// # Errors
    /// If it cannot be read. The picture stays as it was.
    pub fn apply(&mut self, record: &Seen<'_>) -> Result<Change, Unreadable> {
        let payload = record.payload.unwrap_or_default();
        let topics = &self.topics;
        if record.topic == topics.prediction {
            let id = record.id.ok_or(Unreadable::NoId)?.parse()?;
            let prediction = self.schema.decode_prediction(payload, id)?;
            Ok(self.predicted(prediction))
        } else if record.topic == topics.joined {
            let row = self.schema.decode_joined(payload)?;
            Ok(self.joined(row))
        } else if record.topic == topics.unjoined {
            let event = Unjoined::decode(payload)?;
            Ok(self.unjoined(&event))
        } else if record.topic == topics.window {
            let window = WindowClosed::decode(payload)?;
            Ok(self.window(window))
        } else if record.topic == topics.trigger {
            let trigger = self.schema.decode_trigger(payload)?;
            Ok(self.triggered(trigger))
        } else if record.topic == topics.models {
            self.model(record.key.unwrap_or_default(), record.payload)
        } else {
            Ok(self.dead_letter(record))
        }
    }

    fn predicted(&mut self, prediction: Prediction) -> Change {
        let counts = &mut self.results.counts;
        counts.predicted += 1;
        if prediction.outcome == Outcome::Missing(Missing::UnseenLevel) {
            counts.unseen_level += 1;
        }
        let (id, outcome) = (prediction.measurement.id, prediction.outcome);
        let level = prediction.measurement.level.clone();
        // A repeated measurement is predicted again; the first prediction is the one that is joined.
        if let Entry::Vacant(entry) = self.numbers.entry(id) {
            entry.insert(self.dropped + self.results.predictions.len());
            self.results.predictions.push(event(&prediction));
            if let Some(row) = self.early.remove(&id) {
                self.complete(&row);
            }
            self.trim();
        }
        Change::Predicted(outcome, level)
    }

    fn joined(&mut self, row: Joined) -> Change {
        let id = row.prediction.measurement.id;
        let error = row.error;
        if self.numbers.contains_key(&id) {
            return if self.complete(&row) { Change::Joined(error) } else { Change::Nothing };
        }
        if self.newest.is_none() {
            let is_new = self.early.insert(id, row).is_none();
            return if is_new { Change::Joined(error) } else { Change::Nothing };
        }
        self.numbers.insert(id, self.dropped + self.results.predictions.len());
        self.results.predictions.push(event(&row.prediction));
        self.complete(&row);
        self.trim();
        Change::Joined(error)
    }

    /// Adds what was measured to an event that is kept. False if it was known.
    fn complete(&mut self, row: &Joined) -> bool {
        let number = self.numbers.get(&row.prediction.measurement.id);
        let at = number.and_then(|number| number.checked_sub(self.dropped));
        let Some(event) = at.and_then(|at| self.results.predictions.get_mut(at)) else {
            return false;
        };
        if event.joined_at.is_some() {
            return false;
        }
        event.joined_at = Some(row.time);
        event.actual = Some(row.actual);
        event.error = row.error;
        event.shadow = row.prediction.shadow.map(|shadow| {
            let error = shadow.value.map(|value| relative_error(value, row.actual));
            (shadow.version, error)
        });
        self.results.counts.joined += 1;
        true
    }

    fn trim(&mut self) {
        let Some(newest) = self.newest else { return };
        let Some(surplus) = self.results.predictions.len().checked_sub(2 * newest.max(1)) else {
            return;
        };
        let gone = surplus + newest.max(1);
        self.results.predictions.drain(..gone);
        self.dropped += gone;
        self.numbers.retain(|_, number| *number >= self.dropped);
    }

    fn unjoined(&mut self, event: &Unjoined) -> Change {
        // A repetition of an event has the event's id: each record is one event that left.
        let counts = &mut self.results.counts;
        match event.reason {
            UnjoinedReason::Unmatched if self.unmatched.insert((event.id, event.side)) => {
                counts.unmatched += 1;
            }
            // It is told again after a restart.
            UnjoinedReason::Unmatched => return Change::Nothing,
            UnjoinedReason::Late => counts.late += 1,
            // What is sent twice, to the byte, has one id: it is an event that was sent all the same.
            UnjoinedReason::Duplicate | UnjoinedReason::Superseded => counts.duplicates += 1,
        }
        Change::Unjoined(event.reason)
    }

    fn window(&mut self, window: WindowClosed) -> Change {
        let windows = &mut self.results.windows;
        // A detector that begins anew tells again what it had told.
        if windows.iter().rev().take(WINDOWS_MAX).any(|known| *known == window) {
            return Change::Nothing;
        }
        windows.push(window.clone());
        if self.newest.is_some() && windows.len() > WINDOWS_MAX {
            windows.remove(0);
        }
        Change::Window(window)
    }

    fn triggered(&mut self, trigger: Trigger) -> Change {
        if self.triggers.iter().any(|known| known.id == trigger.id) {
            return Change::Nothing;
        }
        if self.triggers.len() == TRIGGERS_MAX {
            self.triggers.pop_front();
        }
        self.triggers.push_back(trigger.clone());
        Change::Triggered(Box::new(trigger))
    }

    fn model(&mut self, key: &str, payload: Option<&[u8]>) -> Result<Change, Unreadable> {
        let Some(accepted) = self.log.apply(key, payload)? else { return Ok(Change::Nothing) };
        let manifest = Arc::unwrap_or_clone(Arc::clone(&accepted.manifest));
        let versions = &mut self.results.versions;
        versions.push(Version { manifest, first_id_predicted: None });
        if self.newest.is_some() && versions.len() > VERSIONS_MAX {
            versions.remove(0);
        }
        Ok(Change::Version(Box::new(accepted)))
    }

    fn dead_letter(&mut self, record: &Seen<'_>) -> Change {
        self.results.counts.dead_lettered += 1;
        let reason = record.reason.and_then(Reason::parse).map_or("unknown", Reason::as_str);
        let kind = (record.topic.to_owned(), reason.to_owned());
        if self.kinds.len() < KINDS_MAX || self.kinds.contains_key(&kind) {
            *self.kinds.entry(kind).or_default() += 1;
        }
        if self.letters.len() == LETTERS_MAX {
            self.letters.pop_front();
        }
        let text = |text: Option<&str>| text.unwrap_or_default().chars().take(400).collect();
        let payload = record.payload.unwrap_or_default();
        self.letters.push_back(Letter {
            topic: record.topic.to_owned(),
            reason: reason.to_owned(),
            detail: text(record.detail),
            source: text(record.source),
            at: record.written_at,
            preview: payload[..payload.len().min(PREVIEW_BYTES_MAX)].to_vec(),
        });
        Change::DeadLetter
    }
}

/// An event that was predicted, and no more yet.
fn event(prediction: &Prediction) -> Predicted {
    let measurement = &prediction.measurement;
    Predicted {
        id: measurement.key.clone(),
        measured_at: measurement.time,
        joined_at: None,
        level: measurement.level.clone(),
        predicted: prediction.outcome.value(),
        actual: None,
        error: None,
        version: prediction.model.version,
        shadow: prediction.shadow.map(|shadow| (shadow.version, None)),
    }
}

/// A set of what came last.
#[derive(Debug)]
struct Recent<T> {
    max: usize,
    known: HashSet<T>,
    order: VecDeque<T>,
}

impl<T: Copy + Eq + std::hash::Hash> Recent<T> {
    fn new(max: usize) -> Self {
        Self { max, known: HashSet::new(), order: VecDeque::new() }
    }

    /// False if it was there.
    fn insert(&mut self, value: T) -> bool {
        if !self.known.insert(value) {
            return false;
        }
        self.order.push_back(value);
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
#[path = "picture_tests.rs"]
mod tests;
