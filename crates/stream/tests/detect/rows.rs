//! Random rows: disordered, repeated, with and without error.

use proptest::prelude::*;
use weir_events::{
    Digest, EventId, EventTime, Joined, Key, Measurement, Missing, ModelRef, ModelVersion, Outcome,
    Prediction, RowPosition,
};

/// One joined row.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Row {
    pub(crate) id: u32,
    pub(crate) partition: i32,
    /// Seconds since the epoch.
    pub(crate) time: i64,
    /// Thousandths; none for an unseen level.
    pub(crate) error: Option<u32>,
    pub(crate) level: u8,
}

impl Row {
    pub(crate) fn joined(self) -> Joined {
        let time = EventTime::from_micros(self.time * 1_000_000);
        let measurement = Measurement {
            id: self.event_id(),
            key: self.key(),
            // Before the target's, and in another window often.
            time: EventTime::from_micros((self.time - i64::from(self.id % 50)) * 1_000_000),
            features: vec![],
            level: Some(self.level_name().into()),
        };
        let outcome =
            self.error.map_or(Outcome::Missing(Missing::UnseenLevel), |_| Outcome::Value(1.0));
        let model = ModelRef {
            version: ModelVersion::FIRST,
            digest: Digest::of(b""),
            time: EventTime::EPOCH,
        };
        let error = self.error.map(|error| f64::from(error) / 1000.0);
        Joined {
            prediction: Prediction { measurement, outcome, model, shadow: None },
            actual: 1.0,
            time,
            error,
        }
    }

    pub(crate) fn event_id(self) -> EventId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.id.to_be_bytes());
        EventId::from_bytes(bytes)
    }

    pub(crate) fn key(self) -> Key {
        Key::new(&self.id.to_string()).expect("not empty")
    }

    pub(crate) fn level_name(self) -> String {
        format!("level {}", self.level)
    }

    /// Its position, as the row at this place of the order in which all rows are read.
    pub(crate) fn position(self, place: usize) -> RowPosition {
        RowPosition { partition: self.partition, offset: i64::try_from(place).expect("small") }
    }
}

/// Rows about six seconds apart, of up to so many partitions.
pub(crate) fn rows(len_max: usize, partitions: i32) -> impl Strategy<Value = Vec<Row>> {
    let shift = prop_oneof![6 => 0..20i64, 2 => -60..0i64, 1 => 60..200i64];
    let error = prop_oneof![3 => (0..400u32).prop_map(Some), 1 => Just(None)];
    let draw = (shift, error, 0..4u8, 0..partitions, 0..8usize);
    prop::collection::vec(draw, 0..len_max).prop_map(|draws| {
        let mut rows: Vec<Row> = Vec::new();
        for (place, (shift, error, level, partition, back)) in draws.into_iter().enumerate() {
            let id = u32::try_from(place).expect("small");
            let own = Row { id, partition, time: i64::from(id) * 6 + shift, error, level };
            // One row in eight repeats the last, one in eight the one eight before.
            let repeated = match back {
                0 => place.checked_sub(1),
                1 => place.checked_sub(8),
                _ => None,
            };
            rows.push(repeated.map_or(own, |earlier| rows[earlier]));
        }
        rows
    })
}
