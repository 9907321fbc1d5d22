//! Rows of a table as JSON.
//!
//! The header names the columns; case does not matter, and a column `id` stands for the key's last field. Cells that are
//! JSON numbers become such, digit for digit; other cells of a numeric column become text, for the bridge to set aside;
//! cells that are empty or `NA` are left out, and so are columns that the schema does not name.

use csv::{ReaderBuilder, StringRecord, Trim};
use serde_json::{Number, Value};
use weir_events::{EventKind, EventTime, Schema};

use super::{believed, own_key};

/// The cells of one row. `None` for what is not text, or not one row.
pub(crate) fn row(line: &[u8]) -> Option<StringRecord> {
    if !line.contains(&b'"') {
        // Nearly all rows, and several times as fast.
        let text = std::str::from_utf8(line).ok()?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        return Some(text.split(',').map(str::trim).collect());
    }
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .buffer_capacity(line.len().max(1))
        .from_reader(line);
    let (mut row, mut more) = (StringRecord::new(), StringRecord::new());
    let is_row = reader.read_record(&mut row).is_ok_and(|read| read);
    // A lone carriage return ends a row for the reader; what is behind it must not be lost.
    (is_row && reader.read_record(&mut more).is_ok_and(|read| !read)).then_some(row)
}

/// A field of the payload and the column it comes from.
#[derive(Clone, Debug)]
struct Column {
    field: String,
    index: usize,
    numeric: bool,
}

/// Which column holds what.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    /// How many there are, others included.
    pub(crate) width: usize,
    /// Factor and key: part of both payloads.
    shared: Vec<Column>,
    features: Vec<Column>,
    target: Option<Column>,
    timestamp: Option<Column>,
    timestamp_field: String,
    /// The first field that a measurement needs and that is not there; the same for a target.
    missing: [Option<String>; 2],
}

impl Columns {
    /// The columns of a header.
    pub(crate) fn of(header: &StringRecord, schema: &Schema) -> Self {
        let find = |field: &String, numeric| {
            let named = |name: &str| header.iter().position(|h| h.eq_ignore_ascii_case(name));
            let index = named(field)
                .or_else(|| (field == schema.id_field()).then(|| named("id")).flatten())?;
            Some(Column { field: field.clone(), index, numeric })
        };
        let missing = |field: &&String| find(field, false).is_none();
        let shared = || schema.factor.iter().chain(own_key(schema));
        let of_measurement = shared().chain(&schema.features).find(missing).cloned();
        let of_target = own_key(schema).chain([&schema.target]).find(missing).cloned();
        Self {
            width: header.len(),
            shared: shared().filter_map(|field| find(field, false)).collect(),
            features: schema.features.iter().filter_map(|field| find(field, true)).collect(),
            target: find(&schema.target, true),
            timestamp: find(&schema.timestamp, false),
            timestamp_field: schema.timestamp.clone(),
            missing: [of_measurement, of_target],
        }
    }

    /// The first field without which no row is an event of this kind.
    pub(crate) fn missing(&self, kind: EventKind) -> Option<&str> {
        let [measurement, target] = &self.missing;
        match kind {
            EventKind::Measurement => measurement.as_deref(),
            EventKind::Target => target.as_deref(),
        }
    }

    /// The row's own time, if it is believed.
    pub(crate) fn time(&self, row: &StringRecord, now: EventTime) -> Option<EventTime> {
        let time = self.timestamp_cell(row)?.parse().ok()?;
        believed(time, now)
    }

    /// Whether the row has a target.
    pub(crate) fn has_target(&self, row: &StringRecord) -> bool {
        self.target.as_ref().is_some_and(|target| cell(row, target).is_some())
    }

    /// The payload of the row's measurement at a time.
    pub(crate) fn measurement(&self, row: &StringRecord, at: EventTime, now: EventTime) -> String {
        self.payload(row, self.shared.iter().chain(&self.features), at, now)
    }

    /// The payload of the row's target at a time, if it has one.
    pub(crate) fn target(
        &self,
        row: &StringRecord,
        at: EventTime,
        now: EventTime,
    ) -> Option<String> {
        let target = self.target.as_ref()?;
        cell(row, target)?;
        Some(self.payload(row, self.shared.iter().chain([target]), at, now))
    }

    /// Everything that the row says, as one payload.
    pub(crate) fn whole(&self, row: &StringRecord, at: EventTime, now: EventTime) -> String {
        let fields = self.shared.iter().chain(&self.features).chain(&self.target);
        self.payload(row, fields, at, now)
    }

    fn timestamp_cell<'a>(&self, row: &'a StringRecord) -> Option<&'a str> {
        self.timestamp.as_ref().and_then(|column| cell(row, column))
    }

    /// The fields and the timestamp: `at`, or the cell as it is where that is not believed.
    fn payload<'a>(
        &self,
        row: &StringRecord,
        fields: impl Iterator<Item = &'a Column>,
        at: EventTime,
        now: EventTime,
    ) -> String {
        let text = |text: &str| Value::from(text).to_string();
        let field = |column: &Column| {
            let cell = cell(row, column)?;
            let number = column.numeric && serde_json::from_str::<Number>(cell).is_ok();
            let value = if number { cell.to_owned() } else { text(cell) };
            Some(format!("{}:{value}", text(&column.field)))
        };
        let stamp = match (self.timestamp_cell(row), self.time(row, now)) {
            (Some(unbelieved), None) => unbelieved.to_owned(),
            _ => at.to_string(),
        };
        let stamp = format!("{}:{}", text(&self.timestamp_field), text(&stamp));
        let fields: Vec<String> = fields.filter_map(field).chain([stamp]).collect();
        format!("{{{}}}", fields.join(","))
    }
}

/// A cell that says something.
fn cell<'a>(row: &'a StringRecord, column: &Column) -> Option<&'a str> {
    row.get(column.index).filter(|cell| !cell.is_empty() && *cell != "NA")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_the_same_with_quotes_and_without() {
        let check = |plain: &str, quoted: &str| {
            let cells = row(plain.as_bytes()).expect("a row");
            assert_eq!(row(quoted.as_bytes()).expect("a row"), cells, "{plain}");
        };
        check(" a ,b,, 1.5", "\"a\", b ,\"\",1.5");
        check("\u{feff}id,x", "\u{feff}id,\"x\"");
        check("a", "\"a\"");
        assert_eq!(row(b"a,\"b\"\rc"), None, "two rows");
        assert_eq!(row(b"\xff"), None);
        assert_eq!(row(b"\"\xff\""), None);
    }
}
