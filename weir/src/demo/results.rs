//! What a run of the demo came to. Everything in it was read from Kafka, as any consumer could.

use std::sync::Arc;

use weir_events::{EventTime, Key, ModelVersion, WindowClosed};
use weir_registry::Manifest;

/// The whole run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    pub(crate) counts: Counts,
    /// The closed windows, in order.
    pub(crate) windows: Vec<WindowClosed>,
    /// The versions, in order; the first is the initial model.
    pub(crate) versions: Vec<Version>,
    /// One for each measurement that was predicted, in the order of prediction.
    pub(crate) predictions: Vec<Predicted>,
}

/// How many events came where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    /// Events of both kinds that the machines sent.
    pub(crate) sent: u64,
    /// Events of both kinds that the bridge wrote to Kafka as events.
    pub(crate) bridged: u64,
    /// Predictions, with or without a number.
    pub(crate) predicted: u64,
    /// Predictions without a number because the level was unknown to the model.
    pub(crate) unseen_level: u64,
    /// Joined rows; each accounts for two events.
    pub(crate) joined: u64,
    /// Events without partner.
    pub(crate) unmatched: u64,
    /// Events that came too late.
    pub(crate) late: u64,
    /// Events that were there already.
    pub(crate) duplicates: u64,
    /// Events that were refused with a reason.
    pub(crate) dead_lettered: u64,
}

/// A model version in the run.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) manifest: Manifest,
    /// The key of the first event that it predicted; none if it predicted none.
    pub(crate) first_id_predicted: Option<Key>,
}

/// One predicted event.
#[derive(Clone, Debug)]
pub(crate) struct Predicted {
    pub(crate) id: Key,
    /// When it was measured.
    pub(crate) measured_at: EventTime,
    /// When it was joined, in event time; none if it was not.
    pub(crate) joined_at: Option<EventTime>,
    /// Its level (the species).
    pub(crate) level: Option<Arc<str>>,
    /// The predicted number; none for an unknown level.
    pub(crate) predicted: Option<f64>,
    /// The measured target; none if it was not joined.
    pub(crate) actual: Option<f64>,
    /// The relative error; none if one of the two is missing.
    pub(crate) error: Option<f64>,
    /// The version that predicted it.
    pub(crate) version: ModelVersion,
}

impl Counts {
    /// Whether every event that was sent is accounted for. MQTT may deliver an event again, which then
    /// counts as a duplicate: what came through is compared with what reached Kafka.
    pub(crate) fn add_up(&self) -> bool {
        let reached = self.bridged + self.dead_lettered;
        reached >= self.sent && self.accounted() == reached
    }

    /// Events whose end is known.
    pub(crate) fn accounted(&self) -> u64 {
        2 * self.joined + self.unmatched + self.late + self.duplicates + self.dead_lettered
    }
}
