//! A CSV table: a row holds a measurement and its target.
//!
//! Header and cells are read as `payload::Columns` says. A row without a target sends none. Without a column of
//! timestamps row i happens at the start plus i intervals. Its target follows one lag behind.

use std::fs::File;
use std::path::{Path, PathBuf};

use csv::StringRecord;
use weir_events::{EventKind, EventTime, Schema};

use super::{Clocks, Hand};
use crate::payload::Columns;
use crate::sampler::{Event, SampleError};
use crate::schedule::{Schedule, Timed};

/// Replays a table.
///
/// # Errors
/// If it cannot be read, or lacks a column that the schema names.
pub fn table(
    path: &Path,
    schema: &Schema,
    clocks: Clocks,
) -> Result<impl Iterator<Item = Result<Event, SampleError>> + Send + use<>, SampleError> {
    let columns = columns(path, schema)?;
    let hand = first_time(path, &columns, clocks)?;
    let rows = || -> Result<_, SampleError> {
        let rows = Rows { rows: open(path)?.into_records(), path: path.to_owned() };
        Ok((0_u64..).zip(rows))
    };
    let placed = move |columns: Columns, mut hand: Option<Hand>| {
        move |(number, row): (u64, Result<StringRecord, SampleError>)| {
            let row = row?;
            let at = match &mut hand {
                Some(hand) => hand.advance(columns.time(&row, clocks.now)),
                None => clocks.timing.measurement(number),
            };
            Ok((row, at))
        }
    };
    let measurements = {
        let names = columns.clone();
        rows()?.map(placed(columns.clone(), hand)).map(move |placed| {
            placed.map(|(row, at)| Timed {
                at,
                payload: names.measurement(&row, at, clocks.now).into(),
            })
        })
    };
    let targets = rows()?.map(placed(columns.clone(), hand)).filter_map(move |placed| {
        let at_target = |(row, at): (StringRecord, EventTime)| {
            let at = at.plus(clocks.timing.lag());
            Some(Timed { at, payload: columns.target(&row, at, clocks.now)?.into() })
        };
        placed.map(at_target).transpose()
    });
    Ok(Schedule::new(measurements, targets, clocks.timing.lead))
}

/// The first time that can be believed; `None` if no row says anything about its time.
fn first_time(path: &Path, columns: &Columns, clocks: Clocks) -> Result<Option<Hand>, SampleError> {
    for row in (Rows { rows: open(path)?.into_records(), path: path.to_owned() }) {
        let row = row?;
        if let Some(first) = columns.time(&row, clocks.now) {
            return Ok(Some(Hand(first)));
        }
    }
    Ok(None)
}

fn open(path: &Path) -> Result<csv::Reader<File>, SampleError> {
    let reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_path(path);
    reader.map_err(|source| SampleError::Table { path: path.to_owned(), source })
}

struct Rows {
    rows: csv::StringRecordsIntoIter<File>,
    path: PathBuf,
}

impl Iterator for Rows {
    type Item = Result<StringRecord, SampleError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(row.map_err(|source| SampleError::Table { path: self.path.clone(), source }))
    }
}

/// Which column holds what, all of a measurement's fields being there.
fn columns(path: &Path, schema: &Schema) -> Result<Columns, SampleError> {
    let mut reader = open(path)?;
    let header =
        reader.headers().map_err(|source| SampleError::Table { path: path.to_owned(), source })?;
    let columns = Columns::of(header, schema);
    match columns.missing(EventKind::Measurement) {
        Some(column) => Err(SampleError::Column { path: path.to_owned(), column: column.into() }),
        None => Ok(columns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Timing;
    use std::time::Duration;
    use weir_events::SchemaConfig;

    fn replay(text: &str) -> Result<Vec<String>, SampleError> {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), text).expect("written");
        let schema = Schema::try_from(&SchemaConfig::fish()).expect("valid");
        let start = "2026-01-05T08:00:00Z".parse().expect("a time");
        let timing = Timing { start, interval: Duration::from_secs(2), lead: 1 };
        let clocks = Clocks { timing, now: "2026-06-01T00:00:00Z".parse().expect("a time") };
        let events = table(file.path(), &schema, clocks)?;
        events.map(|e| e.map(|e| String::from_utf8_lossy(&e.payload).into_owned())).collect()
    }

    #[test]
    fn rows_become_pairs() {
        let text = "id,SPECIES,length,height,weight\n\
                    1, salmon ,85.830,18.060,4.33350\n\
                    2,\"a \"\"b\"\"\",x,NA,\n";
        assert_eq!(
            replay(text).expect("readable"),
            [
                r#"{"Species":"salmon","Fish_Id":"1","Length":85.830,"Height":18.060,"Timestamp":"2026-01-05T08:00:00Z"}"#,
                r#"{"Species":"salmon","Fish_Id":"1","Weight":4.33350,"Timestamp":"2026-01-05T08:00:02Z"}"#,
                r#"{"Species":"a \"b\"","Fish_Id":"2","Length":"x","Timestamp":"2026-01-05T08:00:02Z"}"#,
            ]
        );
    }

    #[test]
    fn recorded_times_are_kept() {
        let text = "Fish_Id,Species,Length,Height,Weight,Timestamp\n\
                    1,s,1,1,1,2026-01-05 09:00:00\n\
                    2,s,1,1,1,never\n";
        let times: Vec<String> = replay(text)
            .expect("readable")
            .iter()
            .map(|payload| payload.split_once("Timestamp").expect("stamped").1.to_owned())
            .collect();
        assert_eq!(
            times,
            [
                r#"":"2026-01-05T09:00:00Z"}"#,
                r#"":"never"}"#,
                r#"":"2026-01-05T09:00:02Z"}"#,
                r#"":"never"}"#,
            ]
        );
    }

    #[test]
    fn a_missing_column_is_named() {
        let error = replay("id,species,length,weight\n").expect_err("refused");
        assert!(error.to_string().contains("\"Height\""), "{error}");
    }
}
