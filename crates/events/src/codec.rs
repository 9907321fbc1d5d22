//! The JSON form of what Weir computes, with the original pipeline's field names.
//!
//! Names that belong to the line come from the schema: with the default one, a joined row reads
//! `Key, Fish_Id, Species, Length, Height, PredictedWeight, ActualWeight, Error, ModelTime, Timestamp`
//! as in the original, followed by the fields that Weir adds. A consumer written for the original
//! reads these records.
//!
//! Numbers are written so that they read back to the same bits; a missing number is `null`.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::decode::{EventKind, Source};
use crate::id::{EventId, Key};
use crate::model::ModelRef;
use crate::records::{
    Joined, Measurement, Missing, Outcome, Prediction, RowPosition, Shadow, Side, Trigger,
    Unjoined, UnjoinedReason, WindowClosed,
};
use crate::rejection::{Reason, Rejection};
use crate::schema::Schema;
use crate::time::EventTime;

type Object = Map<String, Value>;

impl Schema {
    /// The JSON form of a prediction: the measurement's fields and `Prediction {Weight, ModelTime, ...}`.
    pub fn encode_prediction(&self, prediction: &Prediction) -> Vec<u8> {
        let mut json = self.measurement_fields(&prediction.measurement);
        json.insert(self.timestamp.clone(), json!(prediction.measurement.time));
        let mut inner = Object::new();
        inner.insert(self.target.clone(), json!(prediction.outcome.value()));
        insert_model(&mut inner, &prediction.model);
        insert_reason(&mut inner, prediction.outcome);
        json.insert("Prediction".into(), inner.into());
        self.insert_shadow(&mut json, prediction.shadow);
        bytes(&json)
    }

    /// Reads what [`Schema::encode_prediction`] wrote. The id comes from the record's header.
    ///
    /// # Errors
    /// A rejection, as for a payload from outside: another program may have written the record.
    pub fn decode_prediction(&self, payload: &[u8], id: EventId) -> Result<Prediction, Rejection> {
        let decoded =
            self.decode(EventKind::Measurement, payload, &Source::record(EventTime::EPOCH))?;
        let Some(Value::Object(inner)) = decoded.json.get("Prediction") else {
            return Err(Rejection::new(
                Reason::MissingField,
                "Prediction: is missing or no object",
            ));
        };
        let outcome = outcome(inner, &self.target)?;
        let (model, shadow) = (model(inner)?, self.shadow(&decoded.json)?);
        Ok(Prediction { measurement: decoded.into_measurement(id), outcome, model, shadow })
    }

    /// The JSON form of a joined row.
    pub fn encode_joined(&self, row: &Joined) -> Vec<u8> {
        let Prediction { measurement, outcome, model, shadow } = &row.prediction;
        let mut json = Object::new();
        json.insert("Key".into(), json!(measurement.key));
        json.extend(self.measurement_fields(measurement));
        json.insert(format!("Predicted{}", self.target), json!(outcome.value()));
        json.insert(format!("Actual{}", self.target), json!(row.actual));
        json.insert("Error".into(), json!(row.error));
        insert_model(&mut json, model);
        insert_reason(&mut json, *outcome);
        json.insert(self.timestamp.clone(), json!(row.time));
        json.insert("MeasuredAt".into(), json!(measurement.time));
        json.insert("Id".into(), json!(measurement.id));
        self.insert_shadow(&mut json, *shadow);
        bytes(&json)
    }

    /// Reads what [`Schema::encode_joined`] wrote.
    ///
    /// # Errors
    /// A rejection, as for a payload from outside.
    pub fn decode_joined(&self, payload: &[u8]) -> Result<Joined, Rejection> {
        let decoded =
            self.decode(EventKind::Measurement, payload, &Source::record(EventTime::EPOCH))?;
        let json = decoded.json.clone();
        let time = decoded.time;
        let mut measurement = decoded.into_measurement(field(&json, "Id")?);
        measurement.time = field(&json, "MeasuredAt")?;
        let outcome = outcome(&json, &format!("Predicted{}", self.target))?;
        let actual: f64 = field(&json, &format!("Actual{}", self.target))?;
        if actual.is_nan() || actual <= 0.0 {
            let detail = format!("Actual{}: {actual} is not above zero", self.target);
            return Err(Rejection::new(Reason::TargetNotPositive, detail));
        }
        let error = field(&json, "Error")?;
        let (model, shadow) = (model(&json)?, self.shadow(&json)?);
        let prediction = Prediction { measurement, outcome, model, shadow };
        Ok(Joined { prediction, actual, time, error })
    }

    /// The JSON form of a request to retrain: `Key, Species, Fish_Id_Start, Fish_Id_End, ErrorAvg`, and more.
    pub fn encode_trigger(&self, trigger: &Trigger) -> Vec<u8> {
        let mut json = Object::new();
        json.insert("Key".into(), json!(trigger.id));
        if let Some(factor) = &self.factor {
            json.insert(factor.clone(), json!(trigger.levels));
        }
        let [first, last] = self.trigger_ends();
        json.insert(first, json!(trigger.first));
        json.insert(last, json!(trigger.last));
        json.insert("ErrorAvg".into(), json!(trigger.mean_error));
        json.insert("Detector".into(), json!(trigger.detector));
        json.insert("Rows".into(), json!(trigger.rows));
        json.insert("WindowStart".into(), json!(trigger.start));
        json.insert("WindowEnd".into(), json!(trigger.end));
        json.insert("ClosedBy".into(), json!(trigger.closed_by));
        json.insert("ClosedAt".into(), json!(trigger.closed_at));
        json.insert("Partition".into(), json!(trigger.position.partition));
        json.insert("Offset".into(), json!(trigger.position.offset));
        bytes(&json)
    }

    /// Reads what [`Schema::encode_trigger`] wrote.
    ///
    /// # Errors
    /// A rejection, as for a payload from outside.
    pub fn decode_trigger(&self, payload: &[u8]) -> Result<Trigger, Rejection> {
        let json = object(payload)?;
        let [first, last] = self.trigger_ends();
        Ok(Trigger {
            id: field(&json, "Key")?,
            detector: field(&json, "Detector")?,
            levels: self.factor.as_ref().map_or(Ok(Vec::new()), |factor| field(&json, factor))?,
            first: key(&json, &first)?,
            last: key(&json, &last)?,
            mean_error: field(&json, "ErrorAvg")?,
            rows: field(&json, "Rows")?,
            start: field(&json, "WindowStart")?,
            end: field(&json, "WindowEnd")?,
            closed_by: field(&json, "ClosedBy")?,
            closed_at: field(&json, "ClosedAt")?,
            position: RowPosition {
                partition: field(&json, "Partition")?,
                offset: field(&json, "Offset")?,
            },
        })
    }

    /// The fields of a measurement in the order of the original: key, factor, features.
    fn measurement_fields(&self, measurement: &Measurement) -> Object {
        let mut json = Object::new();
        let key = measurement.key.as_str();
        if let [name] = self.key.as_slice() {
            json.insert(name.clone(), json!(key));
        } else {
            // No part of a composed key contains the separator: decoding refuses it.
            json.extend(self.key.iter().cloned().zip(key.split('/').map(Value::from)));
        }
        if let Some(factor) = &self.factor {
            json.insert(factor.clone(), json!(measurement.level.as_deref()));
        }
        for (name, value) in self.features.iter().zip(&measurement.features) {
            json.insert(name.clone(), json!(value));
        }
        json
    }

    /// `Shadow {Weight, ModelVersion, ModelDigest}`, if there is one.
    fn insert_shadow(&self, json: &mut Object, shadow: Option<Shadow>) {
        let Some(Shadow { value, version, digest }) = shadow else { return };
        let shadow =
            json!({ &*self.target: value, "ModelVersion": version, "ModelDigest": digest });
        json.insert("Shadow".into(), shadow);
    }

    fn shadow(&self, json: &Object) -> Result<Option<Shadow>, Rejection> {
        let Some(Value::Object(shadow)) = json.get("Shadow") else { return Ok(None) };
        Ok(Some(Shadow {
            value: field(shadow, &self.target)?,
            version: field(shadow, "ModelVersion")?,
            digest: field(shadow, "ModelDigest")?,
        }))
    }

    fn trigger_ends(&self) -> [String; 2] {
        let id = self.id_field();
        [format!("{id}_Start"), format!("{id}_End")]
    }
}

impl WindowClosed {
    /// The JSON form: `WindowStart, WindowEnd, Rows, ErrorAvg, Triggered`.
    pub fn encode(&self) -> Vec<u8> {
        let json = json!({
            "WindowStart": self.start,
            "WindowEnd": self.end,
            "Rows": self.rows,
            "ErrorAvg": self.mean_error,
            "Triggered": self.triggered,
        });
        json.to_string().into_bytes()
    }

    /// Reads what [`WindowClosed::encode`] wrote.
    ///
    /// # Errors
    /// A rejection, as for a payload from outside.
    pub fn decode(payload: &[u8]) -> Result<Self, Rejection> {
        let json = object(payload)?;
        Ok(Self {
            start: field(&json, "WindowStart")?,
            end: field(&json, "WindowEnd")?,
            rows: field(&json, "Rows")?,
            mean_error: field(&json, "ErrorAvg")?,
            triggered: field(&json, "Triggered")?,
        })
    }
}

impl Unjoined {
    /// The JSON form: `Key, Id, Side, Reason, Timestamp, Value`.
    pub fn encode(&self) -> Vec<u8> {
        let side = match self.side {
            Side::Prediction => "prediction",
            Side::Target => "target",
        };
        let json = json!({
            "Key": self.key,
            "Id": self.id,
            "Side": side,
            "Reason": self.reason.as_str(),
            "Timestamp": self.time,
            "Value": self.value,
        });
        json.to_string().into_bytes()
    }

    /// Reads what [`Unjoined::encode`] wrote.
    ///
    /// # Errors
    /// A rejection, as for a payload from outside.
    pub fn decode(payload: &[u8]) -> Result<Self, Rejection> {
        let json = object(payload)?;
        let side = match field::<String>(&json, "Side")?.as_str() {
            "prediction" => Side::Prediction,
            "target" => Side::Target,
            other => {
                return Err(Rejection::new(Reason::WrongType, format!("Side: {other:?} is none")));
            }
        };
        let text: String = field(&json, "Reason")?;
        let reason = UnjoinedReason::ALL.into_iter().find(|reason| reason.as_str() == text);
        Ok(Self {
            reason: reason.ok_or_else(|| {
                Rejection::new(Reason::WrongType, format!("Reason: {text:?} is none"))
            })?,
            side,
            key: key(&json, "Key")?,
            id: field(&json, "Id")?,
            time: field(&json, "Timestamp")?,
            value: field(&json, "Value")?,
        })
    }
}

fn insert_model(json: &mut Object, model: &ModelRef) {
    json.insert("ModelTime".into(), json!(model.time));
    json.insert("ModelVersion".into(), json!(model.version));
    json.insert("ModelDigest".into(), json!(model.digest));
}

fn insert_reason(json: &mut Object, outcome: Outcome) {
    if let Outcome::Missing(missing) = outcome {
        json.insert("Reason".into(), json!(missing.as_str()));
    }
}

fn model(json: &Object) -> Result<ModelRef, Rejection> {
    Ok(ModelRef {
        version: field(json, "ModelVersion")?,
        digest: field(json, "ModelDigest")?,
        time: field(json, "ModelTime")?,
    })
}

fn outcome(json: &Object, name: &str) -> Result<Outcome, Rejection> {
    if let Some(value) = field::<Option<f64>>(json, name)? {
        return Ok(Outcome::Value(value));
    }
    let text: String = field(json, "Reason")?;
    let missing = Missing::ALL.into_iter().find(|missing| missing.as_str() == text);
    missing
        .map(Outcome::Missing)
        .ok_or_else(|| Rejection::new(Reason::WrongType, format!("Reason: {text:?} is none")))
}

fn key(json: &Object, name: &str) -> Result<Key, Rejection> {
    let text: Arc<str> = field(json, name)?;
    Key::new(&text).ok_or_else(|| Rejection::new(Reason::BadText, format!("{name}: is empty")))
}

/// Reads one field. An absent field reads as `null`, which only an `Option` accepts.
fn field<T: DeserializeOwned>(json: &Object, name: &str) -> Result<T, Rejection> {
    let value = json.get(name).unwrap_or(&Value::Null);
    T::deserialize(value).map_err(|error| {
        let reason = if value.is_null() { Reason::MissingField } else { Reason::WrongType };
        Rejection::new(reason, format!("{name}: {error}"))
    })
}

fn object(payload: &[u8]) -> Result<Object, Rejection> {
    serde_json::from_slice(payload)
        .map_err(|error| Rejection::new(Reason::MalformedJson, error.to_string()))
}

fn bytes(json: &Object) -> Vec<u8> {
    serde_json::to_vec(json).expect("a map of strings to JSON values can be written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, ModelVersion};
    use crate::schema::SchemaConfig;

    fn fish() -> Schema {
        Schema::try_from(&SchemaConfig::fish()).expect("valid")
    }

    fn time(text: &str) -> EventTime {
        text.parse().expect("a time")
    }

    fn joined(outcome: Outcome) -> Joined {
        let measurement = Measurement {
            id: EventId::from_bytes([7; 16]),
            key: Key::new("12").expect("not empty"),
            time: time("2026-01-05T08:00:00Z"),
            features: vec![88.0, 0.1 + 0.2],
            level: Some("salmon".into()),
        };
        let model = ModelRef {
            version: ModelVersion(2),
            digest: Digest::of(b"model"),
            time: time("2026-01-05T07:00:00Z"),
        };
        let error = outcome.value().map(|value| crate::round::relative_error(value, 4.5));
        let shadow =
            Shadow { value: None, version: ModelVersion(3), digest: Digest::of(b"shadow") };
        let shadow = outcome.value().map(|value| Shadow { value: Some(value / 3.0), ..shadow });
        let prediction = Prediction { measurement, outcome, model, shadow };
        Joined { prediction, actual: 4.5, time: time("2026-01-05T08:00:10Z"), error }
    }

    #[test]
    fn joined_rows_carry_the_originals_names_first() {
        let text =
            String::from_utf8(fish().encode_joined(&joined(Outcome::Value(4.6)))).expect("UTF-8");
        let start = r#"{"Key":"12","Fish_Id":"12","Species":"salmon","Length":88.0,"Height":0.30000000000000004,"PredictedWeight":4.6,"ActualWeight":4.5,"Error":0.022,"ModelTime":"2026-01-05T07:00:00Z","ModelVersion":2,"#;
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn every_record_reads_back_the_same() {
        for outcome in [Outcome::Value(4.6), Outcome::Missing(Missing::UnseenLevel)] {
            let row = joined(outcome);
            assert_eq!(fish().decode_joined(&fish().encode_joined(&row)), Ok(row.clone()));
            let prediction = row.prediction;
            let read = fish().decode_prediction(
                &fish().encode_prediction(&prediction),
                prediction.measurement.id,
            );
            assert_eq!(read, Ok(prediction));
        }
        let window = WindowClosed {
            start: time("2026-01-05T08:00:00Z"),
            end: time("2026-01-05T08:01:00Z"),
            rows: 30,
            mean_error: 0.1 + 0.2,
            triggered: true,
        };
        assert_eq!(WindowClosed::decode(&window.encode()), Ok(window));
        for reason in UnjoinedReason::ALL {
            let unjoined = Unjoined {
                reason,
                side: Side::Target,
                key: Key::new("k").expect("not empty"),
                id: EventId::from_bytes([1; 16]),
                time: time("2026-01-05T08:00:00Z"),
                value: Some(0.25),
            };
            assert_eq!(Unjoined::decode(&unjoined.encode()), Ok(unjoined));
        }
        let trigger = Trigger {
            id: "window-mean/2026-01-05T08:00:00Z".into(),
            detector: "window-mean".into(),
            levels: vec!["salmon".into(), "walleye".into()],
            first: Key::new("43").expect("not empty"),
            last: Key::new("72").expect("not empty"),
            mean_error: Some(0.376_1),
            rows: 30,
            start: time("2026-01-05T08:00:00Z"),
            end: time("2026-01-05T08:01:00Z"),
            closed_by: EventId::from_bytes([3; 16]),
            closed_at: time("2026-01-05T08:01:00Z"),
            position: RowPosition { partition: 0, offset: 72 },
        };
        assert_eq!(fish().decode_trigger(&fish().encode_trigger(&trigger)), Ok(trigger));
    }

    #[test]
    fn foreign_bytes_are_refused() {
        for payload in [&b""[..], b"{}", b"[]", b"\xff", br#"{"Key":1}"#] {
            assert!(fish().decode_joined(payload).is_err());
            assert!(fish().decode_trigger(payload).is_err());
            assert!(WindowClosed::decode(payload).is_err());
            assert!(Unjoined::decode(payload).is_err());
        }
    }
}
