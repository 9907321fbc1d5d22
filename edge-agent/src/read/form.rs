//! A line to an event: its kind, its payload and its time.
//!
//! Lines of JSON pass byte for byte. Rows of a table become objects with the schema's names (see `payload::Columns`); the
//! first line of each file or connection names the columns, unless they were given. What cannot be read, such as a row of
//! another width, passes as it is. So does everything under a header that names too few of the schema's fields, after a
//! warning: nothing is dropped.

use std::sync::Arc;

use bytes::Bytes;
use csv::StringRecord;
use weir_events::{EventKind, EventTime, Schema};
use weir_service::Clock;

use super::options::{Format, Options};
use super::{OpenError, fixed};
use crate::payload::{Columns, Line, believed, row};
use crate::sampler::{Event, Position};

/// Reads the lines of one source or client.
#[derive(Clone, Debug)]
pub(super) struct Form {
    rules: Arc<Rules>,
    heading: Heading,
}

/// What all lines are read by.
#[derive(Debug)]
struct Rules {
    /// The first heading of each file or connection.
    heading: Heading,
    /// `None`: as each line says.
    kind: Option<EventKind>,
    schema: Schema,
    clock: Arc<dyn Clock>,
    bytes_max: usize,
}

/// What is known about columns.
#[derive(Clone, Debug)]
enum Heading {
    /// There are none: lines are JSON.
    Json,
    /// The next line names them.
    Awaited,
    /// These.
    Columns(Arc<Columns>),
    /// The header could not be used.
    Unusable,
}

impl Form {
    /// Fails if the columns that were given do not suffice.
    pub(super) fn new(
        options: &Options,
        schema: &Schema,
        clock: Arc<dyn Clock>,
        bytes_max: usize,
    ) -> Result<Self, OpenError> {
        let kind = fixed(options.event);
        let heading = match (options.format, options.columns.as_slice()) {
            (Format::Json, []) => Heading::Json,
            (Format::Json, _) => return Err(OpenError::ColumnsOfJson),
            (Format::Csv, []) => Heading::Awaited,
            (Format::Csv, names) => {
                let names: StringRecord = names.iter().map(|name| name.trim()).collect();
                let columns = usable(&names, schema, kind);
                Heading::Columns(columns.map_err(|column| OpenError::Column { column })?)
            }
        };
        let schema = schema.clone();
        let rules = Rules { heading: heading.clone(), kind, schema, clock, bytes_max };
        Ok(Self { rules: Arc::new(rules), heading })
    }

    /// The size limit of a line.
    pub(super) fn bytes_max(&self) -> usize {
        self.rules.bytes_max
    }

    /// A new file or connection begins.
    pub(super) fn restart(&mut self) {
        self.heading = self.rules.heading.clone();
    }

    /// Whether the next line is a header.
    pub(super) fn awaits_header(&self) -> bool {
        matches!(self.heading, Heading::Awaited)
    }

    /// The event of a line, behind which the source goes on at `position`. `None` for a header.
    pub(super) fn read(&mut self, line: Bytes, position: Position) -> Option<Event> {
        let now = self.rules.clock.now();
        if line.len() > self.rules.bytes_max {
            // Of no use as it is; it only has to be counted.
            if self.awaits_header() {
                self.heading = Heading::Unusable;
            }
            return Some(self.unread(line, now, position));
        }
        match &self.heading {
            Heading::Json => Some(self.json(line, now, position)),
            Heading::Columns(columns) => Some(self.row(columns, line, now, position)),
            Heading::Unusable => Some(self.unread(line, now, position)),
            Heading::Awaited => {
                self.heading = self.header(&line);
                let is_usable = matches!(self.heading, Heading::Columns(_));
                (!is_usable).then(|| self.unread(line, now, position))
            }
        }
    }

    fn json(&self, line: Bytes, now: EventTime, position: Position) -> Event {
        let schema = &self.rules.schema;
        let line = Line::new(line);
        let at = line.time(schema).and_then(|time| believed(time, now)).unwrap_or(now);
        let kind = self.kind(line.has(&schema.target));
        Event { kind, payload: line.unchanged(), at, position }
    }

    fn row(&self, columns: &Columns, line: Bytes, now: EventTime, position: Position) -> Event {
        match row(&line) {
            Some(row) if row.len() == columns.width => {
                let at = columns.time(&row, now).unwrap_or(now);
                let kind = self.kind(columns.has_target(&row));
                Event { kind, payload: columns.whole(&row, at, now).into(), at, position }
            }
            _ => self.unread(line, now, position),
        }
    }

    fn unread(&self, line: Bytes, now: EventTime, position: Position) -> Event {
        Event { kind: self.kind(false), payload: line, at: now, position }
    }

    fn header(&self, line: &Bytes) -> Heading {
        let names = row(line).unwrap_or_default();
        match usable(&names, &self.rules.schema, self.rules.kind) {
            Ok(columns) => Heading::Columns(columns),
            Err(column) => {
                let header = String::from_utf8_lossy(&line[..line.len().min(200)]);
                tracing::warn!(%header, column, "a header lacks a column: its rows are sent as they are");
                Heading::Unusable
            }
        }
    }

    fn kind(&self, has_target: bool) -> EventKind {
        let auto = if has_target { EventKind::Target } else { EventKind::Measurement };
        self.rules.kind.unwrap_or(auto)
    }
}

/// The columns, or the field without which no row is an event.
fn usable(
    names: &StringRecord,
    schema: &Schema,
    kind: Option<EventKind>,
) -> Result<Arc<Columns>, String> {
    let columns = Columns::of(names, schema);
    let missing = match kind {
        Some(kind) => columns.missing(kind),
        // Either will do.
        None => columns.missing(EventKind::Target).and(columns.missing(EventKind::Measurement)),
    };
    match missing {
        Some(column) => Err(column.to_owned()),
        None => Ok(Arc::new(columns)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::read::{EventChoice, Options};
    use weir_events::SchemaConfig;
    use weir_service::EventClock;

    pub(in crate::read) const NOW: &str = "2026-06-01T00:00:00Z";

    pub(in crate::read) fn form(format: Format, columns: &[&str], event: EventChoice) -> Form {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        let options = Options { format, columns, event };
        let schema = Schema::try_from(&SchemaConfig::fish()).expect("valid");
        let clock = Arc::new(EventClock::new(NOW.parse().expect("a time")));
        Form::new(&options, &schema, clock, 120).expect("usable")
    }

    fn check(mut form: Form, lines: &[&str], expected: &[&str]) {
        let read =
            |line: &&str| form.read(Bytes::copy_from_slice(line.as_bytes()), Position::default());
        let shown = |event: Event| {
            let kind = if event.kind == EventKind::Measurement { "m" } else { "t" };
            let at = if event.at == NOW.parse().expect("a time") {
                "now".into()
            } else {
                event.at.to_string()
            };
            format!("{kind} {at} {}", String::from_utf8_lossy(&event.payload))
        };
        let events: Vec<String> = lines.iter().filter_map(read).map(shown).collect();
        assert_eq!(events, expected);
    }

    #[test]
    fn json_passes_byte_for_byte() {
        let lines = [
            r#"{ "Fish_Id":7 ,"Length":1.50}"#,
            r#"{"Fish_Id":7,"Weight":null,"Timestamp":"2026-01-05 08:00:00"}"#,
            r#"{"Timestamp":"2099-01-05T08:00:00Z"}"#,
            "no { json",
        ];
        let expected = [
            r#"m now { "Fish_Id":7 ,"Length":1.50}"#,
            r#"t 2026-01-05T08:00:00Z {"Fish_Id":7,"Weight":null,"Timestamp":"2026-01-05 08:00:00"}"#,
            r#"m now {"Timestamp":"2099-01-05T08:00:00Z"}"#,
            "m now no { json",
        ];
        check(form(Format::Json, &[], EventChoice::Auto), &lines, &expected);
        check(form(Format::Json, &[], EventChoice::Target), &["x"], &["t now x"]);
    }

    #[test]
    fn rows_become_objects_and_what_is_none_passes() {
        let lines = [
            "\u{feff}ID,species,Length,height,weight,colour,timestamp",
            "1, salmon ,85.830,18.060,,red,",
            "1,,,,4.33350,,2026-01-05T08:00:02Z",
            "2,\"a \"\"b\"\"\",x,1,NA,red,2099-01-05T08:00:02Z",
            "3,too,few",
        ];
        let expected = [
            r#"m now {"Species":"salmon","Fish_Id":"1","Length":85.830,"Height":18.060,"Timestamp":"2026-06-01T00:00:00Z"}"#,
            r#"t 2026-01-05T08:00:02Z {"Fish_Id":"1","Weight":4.33350,"Timestamp":"2026-01-05T08:00:02Z"}"#,
            r#"m now {"Species":"a \"b\"","Fish_Id":"2","Length":"x","Height":1,"Timestamp":"2099-01-05T08:00:02Z"}"#,
            "m now 3,too,few",
        ];
        check(form(Format::Csv, &[], EventChoice::Auto), &lines, &expected);
    }

    #[test]
    fn given_columns_make_every_line_a_row() {
        let form = form(Format::Csv, &["fish_id", "weight"], EventChoice::Target);
        let payload = r#"t now {"Fish_Id":"7","Weight":4.5,"Timestamp":"2026-06-01T00:00:00Z"}"#;
        check(form, &["7,4.5", "\"x"], &[payload, "t now \"x"]);
    }

    #[test]
    fn under_an_unusable_header_everything_passes_until_the_next_one() {
        let mut csv = form(Format::Csv, &[], EventChoice::Measurement);
        check(csv.clone(), &["id,length", "1,2"], &["m now id,length", "m now 1,2"]);
        let long = "x".repeat(121);
        check(csv.clone(), &[&long, "1,2"], &[&format!("m now {long}"), "m now 1,2"]);
        assert!(csv.read("id".into(), Position::default()).is_some());
        csv.restart();
        assert!(csv.read("id,species,length,height".into(), Position::default()).is_none());
    }
}
