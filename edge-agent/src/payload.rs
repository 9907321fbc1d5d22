//! What sources know about the payloads that they pass on: which fields of a line matter to them, how a row of a table
//! becomes JSON, and which times are believed. It judges nothing: that is the bridge's.

mod columns;
mod json;

use std::time::Duration;

use weir_events::{EventTime, Schema};

pub(crate) use columns::{Columns, row};
pub(crate) use json::Line;

/// The levels of the MQTT topic that a key may be composed of. They are the same for all events of an agent.
const TOPIC_LEVELS: [&str; 2] = ["line", "device"];

/// How far ahead of the machine's clock a time may lie and still be believed.
const AHEAD_MAX: Duration = Duration::from_secs(5);

/// A payload's own time, if it is believed.
pub(crate) fn believed(time: EventTime, now: EventTime) -> Option<EventTime> {
    (time <= now.plus(AHEAD_MAX)).then_some(time)
}

/// The fields of the key that a payload must bring itself.
fn own_key(schema: &Schema) -> impl Iterator<Item = &String> {
    schema.key.iter().filter(|name| !TOPIC_LEVELS.contains(&name.as_str()))
}
