//! What the audit has found, for people.

use std::fmt::Write as _;

use weir_events::TopicNames;

use super::report::{Contradiction, Listed, Report, Served};
use crate::table::Table;
use weir_view::show;

/// The most characters of a topic's name.
const TOPIC_MAX: usize = 64;

/// The report as text.
pub(super) fn text(report: &Report, names: &TopicNames) -> String {
    let mut out = String::new();
    served(&mut out, report);
    counts(&mut out, report);
    if report.predictions_cut {
        line(
            &mut out,
            "The oldest predictions have been deleted: rows that used one are not judged,",
        );
        line(&mut out, "and older measurements count as missing unless --since leaves them out.");
    }
    let name = |topic: &str| show::text(topic, TOPIC_MAX);
    let measurement = name(&names.measurement);
    list(&mut out, "missing, without prediction", &report.missing, |missing| {
        format!("{}  {measurement}/{}/{}", missing.id, missing.partition, missing.offset)
    });
    let prediction = name(&names.prediction);
    list(&mut out, "superseded predictions", &report.superseded, |later| {
        let place = format!("{prediction}/{}/{}", later.partition, later.offset);
        format!("{}  {place}  {}, first {}", later.id, model(&later.model), model(&later.first))
    });
    let joined = name(&names.joined);
    list(&mut out, "repeated rows", &report.repeated, |row| {
        format!("{}  {joined}/{}/{}  {}", row.id, row.partition, row.offset, model(&row.model))
    });
    list(&mut out, "contradictions", &report.contradictions, |found| contradiction(found, &joined));
    let verdict = match report.ok {
        true if report.counts.events == 0 => "Nothing was measured: there is nothing to check.",
        true => "All is well: nothing is missing, nothing is contradictory.",
        false => "Not all is well.",
    };
    line(&mut out, &format!("\n{verdict}"));
    out
}

fn served(out: &mut String, report: &Report) {
    let mut table = Table::new(["partition", "from", "to", "records", "version", "digest"]);
    for range in &report.served {
        table.row([
            range.partition.to_string(),
            range.from.to_string(),
            range.to.to_string(),
            range.records.to_string(),
            range.model.version.to_string(),
            range.model.digest.short(),
        ]);
    }
    line(out, &format!("{table:#}"));
}

fn counts(out: &mut String, report: &Report) {
    let counts = &report.counts;
    let number = show::count;
    let rows: [(u64, String); 3] = [
        (
            counts.events,
            format!(
                "events: {} predicted, {} dead letters, {} missing",
                number(counts.predicted),
                number(counts.dead_lettered),
                number(report.missing.count)
            ),
        ),
        (
            counts.predictions,
            format!(
                "predictions by {} versions: {} superseded",
                report.versions.len(),
                number(report.superseded.count)
            ),
        ),
        (
            counts.joined,
            format!(
                "joined rows: {} repeated, {} not judged",
                number(report.repeated.count),
                number(counts.not_judged)
            ),
        ),
    ];
    for (count, what) in rows {
        line(out, &format!("{} {what}", number(count)));
    }
    let unreadable =
        [counts.unreadable_measurements, counts.unreadable_predictions, counts.unreadable_joined];
    if unreadable.iter().any(|&count| count > 0) {
        let [measurements, predictions, joined] = unreadable.map(number);
        line(
            out,
            &format!(
                "Unreadable, left out: {measurements} measurements, {predictions} predictions, {joined} rows"
            ),
        );
    }
}

/// A list under its name, if there is anything in it.
fn list<T>(out: &mut String, what: &str, listed: &Listed<T>, item: impl Fn(&T) -> String) {
    if listed.count == 0 {
        return;
    }
    let shown = match listed.first.len() {
        shown if shown as u64 == listed.count => String::new(),
        shown => format!(", the first {shown} shown"),
    };
    line(out, &format!("\n{} {what}{shown}", show::count(listed.count)));
    for found in &listed.first {
        line(out, &format!("  {}", item(found)));
    }
}

fn contradiction(found: &Contradiction, joined: &str) -> String {
    match found {
        Contradiction::TwoModels { id, partition, offset, first, other } => format!(
            "{id}  {joined}/{partition}/{offset}  joined with {}, and before with {}",
            model(other),
            model(first)
        ),
        Contradiction::TwoContents { id, partition, offset, model: by } => format!(
            "{id}  {joined}/{partition}/{offset}  says otherwise than the row before, both by {}",
            model(by)
        ),
        Contradiction::NotFirst { id, joined, first } => {
            format!("{id}  joined with {}, but first predicted by {}", model(joined), model(first))
        }
        Contradiction::NoPrediction { id, joined } => {
            format!("{id}  joined with {}, but there is no prediction", model(joined))
        }
        Contradiction::TwoDigests { version, digests } => {
            let digests: Vec<_> = digests.iter().map(ToString::to_string).collect();
            format!("{version} has several digests: {}", digests.join(", "))
        }
    }
}

fn model(model: &Served) -> String {
    format!("{} {}", model.version, model.digest.short())
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a string takes text");
}
