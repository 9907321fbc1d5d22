//! One joined event as one line of text. Pure.

use weir_events::{Joined, Outcome, Schema};

use weir_view::show;

/// The most characters of a key or level. Longer ones are cut, wider than their column from 12 on.
const TEXT_MAX: usize = 24;
/// What stands for a number or text that there is none of.
const NONE: &str = "-";

/// The names of the columns, as wide as [`columns`] makes them.
pub(super) fn header(schema: &Schema) -> String {
    let factor = schema.factor.as_deref().map_or(String::new(), |name| show::text(name, TEXT_MAX));
    let names = ["time", "key", &factor, "predicted", "actual", "error", "model"];
    aligned(names.map(str::to_owned))
}

/// For people.
pub(super) fn columns(schema: &Schema, payload: &[u8]) -> Result<String, String> {
    let row = read(schema, payload)?;
    let measurement = &row.prediction.measurement;
    let predicted = match row.prediction.outcome {
        Outcome::Value(value) => show::significant(value),
        Outcome::Missing(missing) => missing.as_str().to_owned(),
    };
    Ok(aligned([
        show::instant(row.time),
        show::text(measurement.key.as_str(), TEXT_MAX),
        show::text(measurement.level.as_deref().unwrap_or(NONE), TEXT_MAX),
        predicted,
        show::significant(row.actual),
        row.error.map_or(NONE.to_owned(), |error| format!("{error:.3}")),
        row.prediction.model.version.to_string(),
    ]))
}

/// For programs: the same fields, with every digit of a number, separated by tabs.
pub(super) fn fields(schema: &Schema, payload: &[u8]) -> Result<String, String> {
    let row = read(schema, payload)?;
    let measurement = &row.prediction.measurement;
    let predicted = match row.prediction.outcome {
        Outcome::Value(value) => value.to_string(),
        Outcome::Missing(missing) => missing.as_str().to_owned(),
    };
    let fields = [
        row.time.to_string(),
        show::text(measurement.key.as_str(), usize::MAX),
        show::text(measurement.level.as_deref().unwrap_or(NONE), usize::MAX),
        predicted,
        row.actual.to_string(),
        row.error.map_or(NONE.to_owned(), |error| error.to_string()),
        row.prediction.model.version.to_string(),
    ];
    Ok(fields.join("\t"))
}

/// The record itself.
pub(super) fn json(payload: &[u8]) -> Result<String, String> {
    show::json(payload).ok_or_else(|| "it is no JSON object".to_owned())
}

fn read(schema: &Schema, payload: &[u8]) -> Result<Joined, String> {
    schema.decode_joined(payload).map_err(|rejection| show::text(&rejection.to_string(), 200))
}

/// A terminal shows events as they come, so widths cannot follow them. The predicted column holds the longest
/// reason.
fn aligned([time, key, level, predicted, actual, error, model]: [String; 7]) -> String {
    format!(
        "{time:<19}  {key:<12}  {level:<12}  {predicted:>12}  {actual:>10}  {error:>6}  {model}"
    )
}

#[cfg(test)]
mod tests {
    use weir_events::{
        Digest, EventId, Key, Measurement, Missing, ModelRef, ModelVersion, Prediction,
        SchemaConfig,
    };

    use super::*;

    fn schema() -> Schema {
        Schema::try_from(&SchemaConfig::fish()).expect("valid")
    }

    fn payload(key: &str, level: &str, outcome: Outcome) -> Vec<u8> {
        let measurement = Measurement {
            id: EventId::from_bytes([7; 16]),
            key: Key::new(key).expect("not empty"),
            time: "2026-01-05T08:00:00Z".parse().expect("a time"),
            features: vec![81.2, 18.4],
            level: Some(level.into()),
        };
        let time = "2026-01-05T07:00:00Z".parse().expect("a time");
        let model = ModelRef { version: ModelVersion(2), digest: Digest::of(b"model"), time };
        schema().encode_joined(&Joined {
            prediction: Prediction { measurement, outcome, model, shadow: None },
            actual: 5210.0,
            time: "2026-01-05T08:00:10.5Z".parse().expect("a time"),
            error: outcome.value().map(|value| weir_events::relative_error(value, 5210.0)),
        })
    }

    #[test]
    fn columns_stand_under_their_names() {
        let columns = |key: &str, level: &str, outcome| {
            columns(&schema(), &payload(key, level, outcome)).expect("a row")
        };
        let lines = [
            header(&schema()),
            columns("17", "salmon", Outcome::Value(5_123.456_789)),
            columns("18", "walleye", Outcome::Missing(Missing::UnseenLevel)),
            columns("19", "a\u{202e}b", Outcome::Value(4.5)),
            columns(&"x".repeat(256), "salmon", Outcome::Value(5_210.0)),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        time                 key           Species          predicted      actual   error  model
        2026-01-05 08:00:10  17            salmon              5123.5      5210.0   0.017  v2
        2026-01-05 08:00:10  18            walleye       unseen-level      5210.0       -  v2
        2026-01-05 08:00:10  19            a\u{202e}b          4.5000      5210.0   0.999  v2
        2026-01-05 08:00:10  xxxxxxxxxxxxxxxxxxxxxxx…  salmon              5210.0      5210.0   0.000  v2
        ");
    }

    #[test]
    fn fields_are_whole() {
        let text = payload("1\u{202e}7", "salmon", Outcome::Value(5_123.456_789));
        let line = fields(&schema(), &text).expect("a row");
        assert_eq!(
            line,
            "2026-01-05T08:00:10.5Z\t1\\u{202e}7\tsalmon\t5123.456789\t5210\t0.017\tv2"
        );
        let text = payload("17", "perch", Outcome::Missing(Missing::ModelFailed));
        let line = fields(&schema(), &text).expect("a row");
        assert_eq!(line, "2026-01-05T08:00:10.5Z\t17\tperch\tmodel-failed\t5210\t-\tv2");
    }

    #[test]
    fn what_is_no_joined_event_says_why() {
        let reason = columns(&schema(), b"{\"a\":1}").expect_err("no row");
        assert!(reason.starts_with("missing-field: Fish_Id"), "{reason}");
        assert!(json(b"no object").is_err());
        let row = payload("17", "salmon", Outcome::Value(4.5));
        assert_eq!(json(&row).expect("an object").as_bytes(), row);
    }
}
