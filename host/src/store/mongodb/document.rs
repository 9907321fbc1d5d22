//! The form of a training row in MongoDB.
//!
//! ```text
//! { _id: "9f86d081884c7d65...",                      the event's id: a row that comes again is refused
//!   Key, Fish_Id, Species, Length, Height, PredictedWeight, ActualWeight, Error,
//!   ModelTime, ModelVersion, ModelDigest, Timestamp, MeasuredAt,       as in the topic of joined rows
//!   Weir: { Timestamp, MeasuredAt, ModelTime,        microseconds since the epoch
//!           Partition, Offset } }                    the row's place in that topic
//! ```
//!
//! The fields at the top are for people and their tools. A date of BSON has milliseconds, event time has
//! microseconds: so the exact times are under `Weir`, and they alone are read back. Numbers are doubles and
//! come back to the bit. Reading goes through the schema, as for a record from Kafka: a document that
//! someone has changed is checked like any other input.

use mongodb::bson::{Bson, DateTime, Document, doc};
use serde_json::{Map, Value, json};
use weir_events::{EventTime, RowPosition, Schema};

use super::{Cause, TrainingRow};

/// The subdocument of what only Weir reads.
pub(super) const WEIR: &str = "Weir";
/// Fields of a document that a schema cannot use.
pub(super) const RESERVED: [&str; 2] = ["_id", WEIR];

/// The event's id in the topic of joined rows; here it is `_id`.
const ID: &str = "Id";
const MEASURED_AT: &str = "MeasuredAt";
const MODEL_TIME: &str = "ModelTime";

pub(super) fn encode(schema: &Schema, row: &TrainingRow) -> Document {
    let joined = &row.joined;
    let fields: Map<String, Value> = serde_json::from_slice(&schema.encode_joined(joined))
        .expect("a joined row is written as a JSON object");
    let mut document = doc! { "_id": row.id().to_string() };
    document
        .extend(fields.iter().filter(|(name, _)| *name != ID).map(|(n, v)| (n.clone(), bson(v))));
    let (measured, model) = (joined.prediction.measurement.time, joined.prediction.model.time);
    // In their places: the fields are there already, as text.
    document.insert(schema.timestamp.as_str(), date(joined.time));
    document.insert(MEASURED_AT, date(measured));
    document.insert(MODEL_TIME, date(model));
    document.insert(
        WEIR,
        doc! {
            "Timestamp": joined.time.as_micros(),
            MEASURED_AT: measured.as_micros(),
            MODEL_TIME: model.as_micros(),
            "Partition": row.position.partition,
            "Offset": row.position.offset,
        },
    );
    document
}

pub(super) fn decode(schema: &Schema, document: &Document) -> Result<TrainingRow, Cause> {
    let weir = document.get_document(WEIR)?;
    let time =
        |name| -> Result<Value, Cause> { Ok(json!(EventTime::from_micros(weir.get_i64(name)?))) };
    let mut fields: Map<String, Value> =
        document.iter().filter_map(|(name, value)| Some((name.clone(), json(value)?))).collect();
    fields.insert(ID.into(), document.get_str("_id")?.into());
    fields.insert(schema.timestamp.clone(), time("Timestamp")?);
    fields.insert(MEASURED_AT.into(), time(MEASURED_AT)?);
    fields.insert(MODEL_TIME.into(), time(MODEL_TIME)?);
    let joined = schema
        .decode_joined(&serde_json::to_vec(&fields)?)
        .map_err(|rejection| rejection.to_string())?;
    let position =
        RowPosition { partition: weir.get_i32("Partition")?, offset: weir.get_i64("Offset")? };
    Ok(TrainingRow { joined, position })
}

fn date(time: EventTime) -> DateTime {
    DateTime::from_millis(time.as_millis())
}

/// Joined rows are flat: text, numbers and what is missing.
fn bson(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::String(text) => Bson::String(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Bson::Int64(integer),
            (None, Some(double)) => Bson::Double(double),
            (None, None) => Bson::Null,
        },
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Bson::String(value.to_string()),
    }
}

/// None for what no field of a joined row is: the dates, `Weir`, and what others have added.
fn json(value: &Bson) -> Option<Value> {
    match value {
        Bson::Null => Some(Value::Null),
        Bson::String(text) => Some(json!(text)),
        Bson::Double(number) => Some(json!(number)),
        Bson::Int32(number) => Some(json!(number)),
        Bson::Int64(number) => Some(json!(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::suite::{row, schema};
    use super::*;

    #[test]
    fn a_document_reads_as_the_original_and_comes_back_to_the_microsecond() {
        let row = row(1, 1_767_600_000_123_456, 3, 7);
        let document = encode(&schema(), &row);
        let names: Vec<&str> = document.keys().map(String::as_str).collect();
        let expected = "_id Key Fish_Id Species Length Height PredictedWeight ActualWeight Error \
                        ModelTime ModelVersion ModelDigest Timestamp MeasuredAt Weir";
        assert_eq!(names.join(" "), expected);
        assert_eq!(document.get_str("_id").expect("text"), "00000001000000000000000000000001");
        let shown = document.get_datetime("Timestamp").expect("a date");
        assert_eq!(shown.timestamp_millis(), 1_767_600_000_123);
        assert_eq!(document.get_f64("PredictedWeight").expect("a double"), 1.0 / 3.0);
        assert_eq!(decode(&schema(), &document).expect("reads back"), row);
    }

    /// Servers get a document as these bytes. What equality does not see, -0.0, is kept too.
    #[test]
    fn numbers_keep_every_bit() {
        let numbers = [-0.0, 0.1 + 0.2, f64::MAX, 5e-324, 1e22];
        for number in numbers {
            let mut row = row(1, 5, 0, 0);
            row.joined.prediction.measurement.features[1] = number;
            row.joined.prediction.outcome = weir_events::Outcome::Value(-number);
            let bytes = encode(&schema(), &row).to_vec().expect("BSON");
            let document = Document::from_reader(bytes.as_slice()).expect("BSON");
            let read = decode(&schema(), &document).expect("reads back").joined.prediction;
            assert_eq!(read.measurement.features[1].to_bits(), number.to_bits());
            assert_eq!(read.outcome.value().expect("a number").to_bits(), (-number).to_bits());
        }
    }

    /// A shell that writes 12 where 12.0 stood, and a field that someone has added, do no harm.
    #[test]
    fn what_others_did_is_checked() {
        let mut document = encode(&schema(), &row(1, 5, 0, 0));
        document.insert("Length", 12_i32);
        document.insert("Remark", doc! { "by": "hand" });
        let read = decode(&schema(), &document).expect("reads back");
        assert_eq!(read.joined.prediction.measurement.features[0], 12.0);
        for (name, value) in [("Length", Bson::from(-1.0)), ("Weir", Bson::Null)] {
            let mut changed = document.clone();
            changed.insert(name, value);
            decode(&schema(), &changed).expect_err(name);
        }
    }
}
