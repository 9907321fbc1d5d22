//! Fish that pass the line, as the bridge writes them: key, header with the id, JSON with a timestamp.
//!
//! Every two seconds a fish is measured, and weighed a second later. So 30 fish are joined in each
//! minute: fish 0 to 29 in the first window, 30 to 59 in the second, and so on.

use std::time::Duration;

use weir_events::{EventId, EventTime, Key};
use weir_host::model::Row;

pub(crate) const PER_WINDOW: u32 = 30;

#[derive(Clone, Debug)]
pub(crate) struct Fish {
    pub(crate) number: u32,
    pub(crate) species: &'static str,
    pub(crate) weight: f64,
}

/// One record to write.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) key: Vec<u8>,
    pub(crate) id: Option<String>,
    pub(crate) payload: Vec<u8>,
}

impl Fish {
    /// Weights are linear in the features, with a constant for each species: every fit is exact.
    pub(crate) fn new(number: u32, species: &'static str) -> Self {
        let shift = match species {
            "salmon" => 0.0,
            "walleye" => 3.0,
            _ => 6.0,
        };
        let mut fish = Self { number, species, weight: 0.0 };
        fish.weight = 0.04 * fish.length() + 0.05 * fish.height() + shift;
        fish
    }

    pub(crate) fn length(&self) -> f64 {
        80.0 + f64::from(self.number * 7 % 17)
    }

    pub(crate) fn height(&self) -> f64 {
        17.0 + 0.5 * f64::from(self.number * 5 % 7)
    }

    pub(crate) fn key(&self) -> Key {
        Key::new(&self.number.to_string()).expect("not empty")
    }

    /// The id of the measurement, of its prediction and of the joined row.
    pub(crate) fn id(&self) -> EventId {
        id("weir/hall/gate/measurement", &self.key(), &self.measurement_payload())
    }

    pub(crate) fn measured_at(&self) -> EventTime {
        let start: EventTime = "2026-01-05T08:00:00Z".parse().expect("a time");
        start.plus(Duration::from_secs(2) * self.number)
    }

    pub(crate) fn measurement(&self) -> Event {
        event(&self.key(), self.id(), self.measurement_payload())
    }

    pub(crate) fn target(&self) -> Event {
        let payload = format!(
            r#"{{"Species":"{}","Fish_Id":"{}","Weight":{},"Timestamp":"{}"}}"#,
            self.species,
            self.number,
            self.weight,
            self.measured_at().plus(Duration::from_secs(1)),
        );
        event(&self.key(), id("weir/hall/scale/weight", &self.key(), &payload), payload)
    }

    /// As a row of an initial training set.
    pub(crate) fn row(&self) -> Row {
        Row {
            id: self.number.to_string(),
            features: vec![self.length(), self.height()],
            level: Some(self.species.into()),
            target: self.weight,
        }
    }

    fn measurement_payload(&self) -> String {
        format!(
            r#"{{"Species":"{}","Fish_Id":"{}","Length":{},"Height":{},"Timestamp":"{}"}}"#,
            self.species,
            self.number,
            self.length(),
            self.height(),
            self.measured_at(),
        )
    }
}

fn id(mqtt_topic: &str, key: &Key, payload: &str) -> EventId {
    EventId::of_payload(mqtt_topic, key, payload.as_bytes())
}

fn event(key: &Key, id: EventId, payload: String) -> Event {
    Event { key: key.as_str().into(), id: Some(id.to_string()), payload: payload.into_bytes() }
}

/// These fish, all of one species.
pub(crate) fn fish(numbers: std::ops::Range<u32>, species: &'static str) -> Vec<Fish> {
    numbers.map(|number| Fish::new(number, species)).collect()
}

/// Rows of an initial training set with these species.
pub(crate) fn training_rows(species: &[&'static str]) -> Vec<Row> {
    let of_species = |&species: &&'static str| fish(0..20, species);
    species.iter().flat_map(of_species).map(|fish| fish.row()).collect()
}
