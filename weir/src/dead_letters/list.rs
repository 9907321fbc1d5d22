//! `weir dead-letters list`: a table, and counts by reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use serde_json::json;
use weir_events::EventTime;

use super::letter::{Letter, Place};
use super::{Filter, blocking};
use crate::line::Line;
use crate::table::Table;
use weir_view::show;

use crate::output;

/// The most characters of a source and of a detail in the table; `show` has them whole.
const SOURCE_MAX: usize = 48;
const DETAIL_MAX: usize = 80;

#[derive(clap::Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    line: Line,
    #[command(flatten)]
    filter: Filter,
    /// Show so many of the newest.
    #[arg(short = 'n', default_value_t = 100, value_name = "N")]
    newest: usize,
    /// Print one JSON object for each dead letter instead of table and counts.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn execute(self) -> anyhow::Result<ExitCode> {
        let filter = self.filter;
        let found = blocking(&self.line, move |config| {
            let mut scan = filter.scan(&config)?;
            let mut found = Found::new(self.newest);
            while let Some(letter) = filter.next(&mut scan)? {
                found.add(letter);
            }
            Ok(found)
        })
        .await?;
        let text = if self.json { found.json() } else { found.table() };
        output::is_read(output::stdout().write_all(text.as_bytes()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The newest letters, and how many there were with each reason.
struct Found {
    newest_max: usize,
    newest: BTreeMap<(EventTime, Place), Letter>,
    reasons: BTreeMap<String, u64>,
}

impl Found {
    fn new(newest_max: usize) -> Self {
        Self { newest_max, newest: BTreeMap::new(), reasons: BTreeMap::new() }
    }

    fn add(&mut self, letter: Letter) {
        // Payloads may be 64 KiB each, and are not shown here.
        let letter = Letter { payload: Vec::new(), ..letter };
        *self.reasons.entry(cell(letter.reason.as_deref(), 24)).or_default() += 1;
        self.newest.insert((letter.time, letter.place.clone()), letter);
        if self.newest.len() > self.newest_max {
            self.newest.pop_first();
        }
    }

    fn table(&self) -> String {
        let mut out = String::new();
        if !self.newest.is_empty() {
            let mut table = Table::new(["place", "time", "reason", "source", "size", "detail"]);
            for letter in self.newest.values() {
                table.row([
                    letter.place.to_string(),
                    show::instant(letter.time),
                    cell(letter.reason.as_deref(), 24),
                    cell(letter.source.as_deref(), SOURCE_MAX),
                    letter.size.map_or("-".to_owned(), |size| size.to_string()),
                    cell(letter.detail.as_deref(), DETAIL_MAX),
                ]);
            }
            out = format!("{table:#}\n");
        }
        let all: u64 = self.reasons.values().sum();
        let shown = match self.newest.len() {
            shown if shown as u64 == all => String::new(),
            shown => format!(", the newest {shown} shown"),
        };
        let noun = if all == 1 { "dead letter" } else { "dead letters" };
        writeln!(out, "{all} {noun}{shown}").expect("a string takes text");
        for (reason, count) in &self.reasons {
            writeln!(out, "  {reason:<20} {count}").expect("a string takes text");
        }
        out
    }

    fn json(&self) -> String {
        let mut out = String::new();
        for letter in self.newest.values() {
            let object = json!({
                "place": letter.place.to_string(),
                "time": letter.time,
                "reason": letter.reason,
                "source": letter.source,
                "size": letter.size,
                "digest": letter.digest,
                "id": letter.id,
                "detail": letter.detail,
            });
            let object = object.to_string();
            let line = show::json(object.as_bytes()).expect("an object was written");
            writeln!(out, "{line}").expect("a string takes text");
        }
        out
    }
}

/// Text from outside, or a dash.
fn cell(text: Option<&str>, chars: usize) -> String {
    text.map_or("-".to_owned(), |text| show::text(text, chars))
}

#[cfg(test)]
mod tests {
    use super::super::letter::samples;
    use super::*;

    fn found(newest_max: usize) -> Found {
        let mut found = Found::new(newest_max);
        let letter = |seconds: u64, place: &str, source: &str| {
            let sample = samples::letter(source, b"{}");
            let time = sample.time.plus(std::time::Duration::from_secs(seconds));
            Letter { place: place.parse().expect("a place"), time, ..sample }
        };
        // As a scan meets them: topic after topic.
        found.add(letter(20, "machine-measurement-dead-letter/0/0", "weir/l/gate/measurement"));
        found.add(letter(10, "machine-weight-dead-letter/0/8", "machine-weight/0/3"));
        let foreign = letter(30, "machine-weight-dead-letter/0/9", "weir/\u{1b}[2J/scale/weight");
        let detail = Some("Weight: \u{202e}is a string, not a number".to_owned());
        found.add(Letter { detail, reason: Some("wrong-type".into()), ..foreign });
        let no_header = letter(0, "unrouted-dead-letter/0/0", "");
        found.add(Letter { reason: None, source: None, size: None, digest: None, ..no_header });
        found
    }

    #[test]
    fn the_table_is_ordered_by_time_escaped_and_counted() {
        let table = found(100).table();
        insta::assert_snapshot!(anstream::adapter::strip_str(&table), @r"
        place                                time                 reason        source                       size  detail
        unrouted-dead-letter/0/0             2026-01-05 08:00:00  -             -                            -     -
        machine-weight-dead-letter/0/8       2026-01-05 08:00:10  out-of-range  machine-weight/0/3           2     -
        machine-measurement-dead-letter/0/0  2026-01-05 08:00:20  out-of-range  weir/l/gate/measurement      2     -
        machine-weight-dead-letter/0/9       2026-01-05 08:00:30  wrong-type    weir/\u{1b}[2J/scale/weight  2     Weight: \u{202e}is a string, not a number

        4 dead letters
          -                    1
          out-of-range         2
          wrong-type           1
        ");
    }

    #[test]
    fn the_newest_are_shown_and_all_are_counted() {
        let text = found(1).table();
        assert!(text.contains("place"), "{text}");
        assert!(text.contains("\nmachine-weight-dead-letter/0/9 "), "{text}");
        assert!(text.contains("\n4 dead letters, the newest 1 shown\n"), "{text}");
        assert!(text.contains("  out-of-range         2\n"), "{text}");
        assert_eq!(Found::new(9).table(), "0 dead letters\n");
    }

    #[test]
    fn json_has_an_object_a_line() {
        let text = found(100).json();
        let objects: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert_eq!(objects.len(), 4);
        assert_eq!(objects[3]["source"], "weir/\u{1b}[2J/scale/weight");
        assert_eq!(objects[0]["reason"], serde_json::Value::Null);
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }
}
