//! What a run came to, or its newest part. Everything in it was read from Kafka, as any consumer could.

use std::sync::Arc;

use weir_events::{EventTime, Key, ModelVersion, WindowClosed};
use weir_registry::Manifest;

/// A run.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// How many events came where.
    pub counts: Counts,
    /// The closed windows, in order.
    pub windows: Vec<WindowClosed>,
    /// The versions, in order; the first is the initial model.
    pub versions: Vec<Version>,
    /// One for each measurement that was predicted, in the order of prediction.
    pub predictions: Vec<Predicted>,
}

/// How many events came where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Events of both kinds that the machines sent.
    pub sent: u64,
    /// Events of both kinds that the bridge wrote to Kafka as events.
    pub bridged: u64,
    /// Predictions, with or without a number.
    pub predicted: u64,
    /// Predictions without a number because the level was unknown to the model.
    pub unseen_level: u64,
    /// Joined rows; each accounts for two events.
    pub joined: u64,
    /// Events without partner.
    pub unmatched: u64,
    /// Events that came too late.
    pub late: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Events that were refused with a reason.
    pub dead_lettered: u64,
}

/// A model version in the run.
#[derive(Clone, Debug)]
pub struct Version {
    /// Everything that is known about it.
    pub manifest: Manifest,
    /// The key of the first event that it predicted; none if it predicted none.
    pub first_id_predicted: Option<Key>,
}

/// One predicted event.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// Its key.
    pub id: Key,
    /// When it was measured.
    pub measured_at: EventTime,
    /// When it was joined, in event time; none if it was not.
    pub joined_at: Option<EventTime>,
    /// Its level (the species).
    pub level: Option<Arc<str>>,
    /// The predicted number; none for an unknown level.
    pub predicted: Option<f64>,
    /// The measured target; none if it was not joined.
    pub actual: Option<f64>,
    /// The relative error; none if one of the two is missing.
    pub error: Option<f64>,
    /// The version that predicted it.
    pub version: ModelVersion,
    /// The version that predicted it beside that one, unheard, and its error once the target is known.
    pub shadow: Option<(ModelVersion, Option<f64>)>,
}

impl Counts {
    /// Whether every event that was sent is accounted for. MQTT may deliver an event again, which then
    /// counts as a duplicate: what came through is compared with what reached Kafka.
    pub fn add_up(&self) -> bool {
        let reached = self.bridged + self.dead_lettered;
        reached >= self.sent && self.accounted() == reached
    }

    /// Events whose end is known.
    pub fn accounted(&self) -> u64 {
        2 * self.joined + self.unmatched + self.late + self.duplicates + self.dead_lettered
    }
}
