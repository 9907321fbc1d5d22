//! What a source has to know about one line of JSON, and the one change that a replay makes to it.

use bytes::Bytes;
use serde_json::{Map, Value};
use weir_events::{EventTime, Schema};

use super::own_key;

/// A line, and what it holds if that is a JSON object.
#[derive(Debug)]
pub(crate) struct Line {
    bytes: Bytes,
    object: Option<Map<String, Value>>,
}

impl Line {
    pub(crate) fn new(bytes: Bytes) -> Self {
        let object = serde_json::from_slice(&bytes).ok();
        Self { bytes, object }
    }

    /// The line's own time, if it can be read.
    pub(crate) fn time(&self, schema: &Schema) -> Option<EventTime> {
        self.timestamp(schema)?.as_str()?.parse().ok()
    }

    /// Whether it is an object with this field.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.object.as_ref().is_some_and(|object| object.contains_key(field))
    }

    fn timestamp(&self, schema: &Schema) -> Option<&Value> {
        self.object.as_ref()?.get(&schema.timestamp)
    }

    /// The key, in a form in which `7` and `"7"` are the same. `None` where a part is missing.
    pub(crate) fn key(&self, schema: &Schema) -> Option<String> {
        let object = self.object.as_ref()?;
        let parts: Option<Vec<String>> = own_key(schema)
            .map(|name| match object.get(name)? {
                Value::String(text) if !text.is_empty() => Some(text.clone()),
                Value::Number(number) if number.is_i64() || number.is_u64() => {
                    Some(number.to_string())
                }
                _ => None,
            })
            .collect();
        Some(parts?.join("/"))
    }

    /// The line as it is.
    pub(crate) fn unchanged(self) -> Bytes {
        self.bytes
    }

    /// The line with a timestamp right behind its opening brace and every other byte as it was. Lines that
    /// are no object, or that have the field, are left as they are.
    pub(crate) fn stamped(self, schema: &Schema, at: EventTime) -> Bytes {
        let Some(object) = self.object.filter(|object| !object.contains_key(&schema.timestamp))
        else {
            return self.bytes;
        };
        let brace = self.bytes.iter().position(|&byte| byte == b'{');
        let (head, tail) = self.bytes.split_at(brace.expect("an object has a brace") + 1);
        let comma = if object.is_empty() { "" } else { "," };
        let name = Value::from(schema.timestamp.as_str());
        let field = format!("{name}:\"{at}\"{comma}");
        [head, field.as_bytes(), tail].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_events::SchemaConfig;

    fn fish() -> Schema {
        Schema::try_from(&SchemaConfig::fish()).expect("valid")
    }

    fn line(text: &str) -> Line {
        Line::new(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn the_stamp_changes_no_other_byte() {
        let check = |text: &str, expected: &str| {
            let at = "2026-01-05T08:00:26Z".parse().expect("a time");
            assert_eq!(line(text).stamped(&fish(), at), expected);
        };
        check(
            r#" {  "Length" : 1.50, "x":[1 ,2]} "#,
            r#" {"Timestamp":"2026-01-05T08:00:26Z",  "Length" : 1.50, "x":[1 ,2]} "#,
        );
        check("{ }", r#"{"Timestamp":"2026-01-05T08:00:26Z" }"#);
        for untouched in ["", "{", "[1]", "7", "nonsense {", r#"{"Timestamp":null}"#] {
            check(untouched, untouched);
        }
    }

    #[test]
    fn a_key_may_be_text_or_number() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(line(text).key(&fish()).as_deref(), expected, "{text}");
        };
        check(r#"{"Fish_Id":"7"}"#, Some("7"));
        check(r#"{"Fish_Id":7}"#, Some("7"));
        for none in [r#"{"Fish_Id":7.5}"#, r#"{"Fish_Id":null}"#, "{}", "[]", r#"{"Fish_Id":""}"#] {
            check(none, None);
        }
    }
}
