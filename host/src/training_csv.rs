//! The initial training set: a CSV file with a header.
//!
//! Columns are found by the schema's names, without regard to case; other columns are ignored. A row
//! with an empty, non-numeric or non-finite value, or one outside the schema's range, is left out and
//! counted. Without a column for the key a row is called by its number, the first row after the header
//! being 1.

use std::path::Path;

use csv::StringRecord;
use weir_events::{Range, Schema};

use crate::model::Row;

/// How much of a cell an error shows.
const CELL_CHARS_MAX: usize = 40;

/// Rows of a file.
#[derive(Clone, PartialEq, Debug)]
pub struct TrainingSet {
    /// The usable rows, in the order of the file.
    pub rows: Vec<Row>,
    /// How many were left out.
    pub left_out: u64,
}

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum TrainingSetError {
    /// It cannot be opened or is no CSV.
    #[error("read the training file {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: csv::Error,
    },
    /// A column is missing.
    #[error("use the training file {path}: the header has no column {column:?}, it has {header}")]
    NoColumn {
        /// The file.
        path: String,
        /// What was looked for.
        column: String,
        /// What is there.
        header: String,
    },
    /// There is no usable row.
    #[error("use the training file {path}: it has no usable row ({left_out} were left out); {why}")]
    NoRows {
        /// The file.
        path: String,
        /// Rows with a value that is missing, no number or out of range.
        left_out: u64,
        /// What is wrong with the first.
        why: String,
    },
}

/// Where the schema's columns are.
struct Columns {
    id: Option<usize>,
    features: Vec<Number>,
    level: Option<usize>,
    target: Number,
}

/// A numeric column.
struct Number {
    name: String,
    column: usize,
    range: Range,
}

/// Reads a file.
///
/// # Errors
/// If it cannot be read, lacks a column or has no usable row.
pub fn read(path: &Path, schema: &Schema) -> Result<TrainingSet, TrainingSetError> {
    let shown = || path.display().to_string();
    let failed = |source| TrainingSetError::Read { path: shown(), source };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .from_path(path)
        .map_err(failed)?;
    let header = reader.headers().map_err(failed)?.clone();
    let columns = columns(&header, schema).map_err(|column| TrainingSetError::NoColumn {
        path: shown(),
        column,
        header: header.iter().collect::<Vec<_>>().join(", "),
    })?;
    let mut set = TrainingSet { rows: Vec::new(), left_out: 0 };
    let mut why = None;
    for (number, record) in (1u64..).zip(reader.records()) {
        match row(&record.map_err(failed)?, number, &columns) {
            Ok(row) => set.rows.push(row),
            Err(reason) => {
                set.left_out += 1;
                why.get_or_insert_with(|| format!("row {number}: {reason}"));
            }
        }
    }
    if set.rows.is_empty() {
        let why = why.unwrap_or_else(|| "it ends with its header".to_owned());
        return Err(TrainingSetError::NoRows { path: shown(), left_out: set.left_out, why });
    }
    Ok(set)
}

fn columns(header: &StringRecord, schema: &Schema) -> Result<Columns, String> {
    let find = |name: &str| header.iter().position(|found| found.eq_ignore_ascii_case(name));
    let need = |name: &String| find(name).ok_or_else(|| name.clone());
    let number = |name: &String| {
        let (name, range) = (name.clone(), schema.range(name));
        Ok::<_, String>(Number { column: need(&name)?, name, range })
    };
    Ok(Columns {
        id: find(schema.id_field()),
        features: schema.features.iter().map(number).collect::<Result<_, _>>()?,
        level: schema.factor.as_ref().map(need).transpose()?,
        target: number(&schema.target)?,
    })
}

/// A row, or why it is left out.
fn row(record: &StringRecord, number: u64, columns: &Columns) -> Result<Row, String> {
    let value = |number: &Number| {
        let Number { name, column, range } = number;
        let cell = record.get(*column).unwrap_or_default();
        match cell.parse::<f64>() {
            Ok(value) if value.is_finite() && range.contains(value) => Ok(value),
            Ok(value) => Err(format!("{name}: {value} is out of range")),
            Err(_) => {
                let cell: String = cell.chars().take(CELL_CHARS_MAX).collect();
                let hint = "a column of text is named in schema.factor";
                Err(format!("{name}: {cell:?} is no number ({hint})"))
            }
        }
    };
    let text = |column: usize| {
        let cell = record.get(column).filter(|text| !text.is_empty() && *text != "NA");
        cell.ok_or_else(|| format!("column {}: it is empty", column + 1))
    };
    Ok(Row {
        id: match columns.id {
            Some(column) => text(column)?.to_owned(),
            None => number.to_string(),
        },
        features: columns.features.iter().map(value).collect::<Result<_, _>>()?,
        level: columns.level.map(text).transpose()?.map(Into::into),
        target: value(&columns.target)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_events::SchemaConfig;

    fn read_text(text: &str) -> Result<TrainingSet, TrainingSetError> {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), text).expect("written");
        read(file.path(), &Schema::try_from(&SchemaConfig::fish()).expect("valid"))
    }

    #[test]
    fn columns_are_found_by_name_without_case() {
        let set = read_text(
            "id,species,Girth,LENGTH,height,Weight\n7,salmon,1,88,19.5,4.5\n8,salmon,1,NA,19,4\n\
             9,salmon,1,-88,19,4\n",
        )
        .expect("valid");
        let row = Row {
            id: "1".into(),
            features: vec![88.0, 19.5],
            level: Some("salmon".into()),
            target: 4.5,
        };
        assert_eq!(set, TrainingSet { rows: vec![row], left_out: 2 });
    }

    #[test]
    fn what_is_missing_is_named() {
        let check = |text: &str, part: &str| {
            let message = read_text(text).expect_err(part).to_string();
            assert!(message.contains(part), "{message}");
        };
        check("", "no column \"Length\"");
        check("species,length,weight\na,1,2\n", "no column \"Height\"");
        check("species,length,height,weight\n", "no usable row (0 were left out); it ends with");
        let why = "1 were left out); row 1: Height: \"x\" is no number";
        check("species,length,height,weight\na,1,x,2\n", why);
        check("species,length,height,weight\na,1,-2,2\n", "row 1: Height: -2 is out of range");
        check("species,length,height,weight\n,1,2,2\n", "row 1: column 1: it is empty");
    }
}
