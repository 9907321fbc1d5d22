//! What a run came to, as plain text about 100 columns wide.
//!
//! It computes nothing but means over stretches of events. Text from outside is escaped and cut, and
//! every list is cut to [`LIST_MAX`] lines, so that the text is short whatever the run was. Columns
//! are aligned by counting characters: wide ones (Chinese, Japanese) shift their line.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use weir_registry::{Coefficient, Manifest};

use weir_view::show;

use weir_view::{Counts, Predicted, Results, Version};

/// The most lines, or versions, in one list.
const LIST_MAX: usize = 40;
/// The widest line of levels or terms, in characters without its indentation.
const ENTRIES_MAX: usize = 85;

/// The whole text, ending with a line break.
pub(crate) fn text(results: &Results, wall: Duration) -> String {
    let mut out = String::new();
    stretches(&mut out, &results.predictions);
    versions(&mut out, &results.versions);
    triggers(&mut out, results);
    counts(&mut out, &results.counts, wall);
    out
}

/// Events of one level that one version predicted: consecutive ones, or all.
struct Stretch<'a> {
    events: Vec<&'a Predicted>,
}

impl Stretch<'_> {
    fn errors(&self) -> impl Iterator<Item = f64> {
        self.events.iter().filter_map(|event| event.error)
    }

    fn cells(&self) -> [String; 6] {
        let (first, last) = (&self.events[0], &self.events[self.events.len() - 1]);
        let level = first.level.as_deref().unwrap_or("-");
        let ids = [first, last].map(|event| show::text(event.id.as_str(), 14));
        let joined = self.errors().count();
        let error = match joined {
            0 => "-".to_owned(),
            _ => format!("{:.3}", self.errors().sum::<f64>() / joined as f64),
        };
        let none = match self.events.iter().filter(|event| event.predicted.is_none()).count() {
            0 => String::new(),
            none => format!("{none} without prediction"),
        };
        let n = self.events.len().to_string();
        [show::text(level, 24), ids.join(".."), n, error, first.version.to_string(), none]
    }
}

/// Consecutive events, or all of one level and version where levels alternate too often for that.
fn stretches(out: &mut String, predictions: &[Predicted]) {
    let alike = |one: &Predicted, other: &Predicted| {
        one.level == other.level && one.version == other.version
    };
    let consecutive = predictions.chunk_by(alike).take(LIST_MAX + 1);
    let mut all: Vec<Stretch<'_>> =
        consecutive.map(|events| Stretch { events: events.iter().collect() }).collect();
    let mut title = "Error of consecutive events of one level and version";
    if all.len() > LIST_MAX {
        let mut groups: BTreeMap<_, Vec<&Predicted>> = BTreeMap::new();
        for event in predictions {
            groups.entry((event.version, event.level.clone())).or_default().push(event);
        }
        all = groups.into_values().map(|events| Stretch { events }).collect();
        title = "Error of all events of one level and version";
    }
    let head = ["level", "events", "n", "mean error", "version", ""].map(str::to_owned);
    let shown = all.iter().take(LIST_MAX).map(Stretch::cells);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(shown).collect();
    let widths: [usize; 6] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    line(out, title);
    for [level, ids, n, error, version, none] in &rows {
        let [w0, w1, w2, w3, w4, _] = widths;
        let row =
            format!("  {level:<w0$}  {ids:<w1$}  {n:>w2$}  {error:>w3$}  {version:<w4$}  {none}");
        line(out, row.trim_end());
    }
    more(out, all.len(), "levels and versions");
}

fn versions(out: &mut String, versions: &[Version]) {
    line(out, "\nVersions");
    list(out, versions, "versions", version);
}

fn version(version: &Version) -> String {
    let manifest = &version.manifest;
    let (rows, digest) = (&manifest.rows, manifest.digest.short());
    let (first, last) = (show::text(&rows.first_id, 14), show::text(&rows.last_id, 14));
    let r_squared = match manifest.metrics.r_squared {
        Some(share) => format!("R2 {share:.4}"),
        None => "no R2".to_owned(),
    };
    let from = match version.first_id_predicted.as_ref() {
        Some(id) => format!("serves from {}", show::text(id.as_str(), 14)),
        None => "predicted nothing".to_owned(),
    };
    let number = manifest.version.to_string();
    let mut text = format!(
        "  {number:<4} sha256:{digest}  rows {first}..{last} (n = {}), {r_squared}, {:.0} ms, {from}",
        rows.n, manifest.retrain_ms
    );
    for (what, entries) in
        [("levels", levels(manifest)), ("terms", coefficients(&manifest.coefficients))]
    {
        for (at, line) in wrapped(&entries).into_iter().enumerate() {
            let what = if at == 0 { what } else { "" };
            text.push_str(&format!("\n       {what:<6}  {line}"));
        }
    }
    text
}

fn levels(manifest: &Manifest) -> Vec<String> {
    manifest.levels.iter().take(LIST_MAX).map(|level| show::text(level, 24)).collect()
}

/// R's names and the estimates; a dropped column as R shows it.
fn coefficients(coefficients: &[Coefficient]) -> Vec<String> {
    let entry = |term: &Coefficient| {
        let name = show::text(&term.name, 32);
        match term.estimate {
            Some(estimate) => format!("{name} {}", show::significant(estimate)),
            None => format!("{name} NA"),
        }
    };
    coefficients.iter().take(LIST_MAX).map(entry).collect()
}

/// Entries in as few lines as they need.
fn wrapped(entries: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for entry in entries {
        match lines.last_mut() {
            Some(line) if line.chars().count() + entry.chars().count() + 2 <= ENTRIES_MAX => {
                line.push_str("  ");
                line.push_str(entry);
            }
            _ => lines.push(entry.clone()),
        }
    }
    lines
}

fn triggers(out: &mut String, results: &Results) {
    let triggered: Vec<_> = results.windows.iter().filter(|window| window.triggered).collect();
    let all = results.windows.len();
    line(out, &format!("\nWindows above the threshold: {} of {all}", triggered.len()));
    list(out, &triggered, "windows", |window| {
        let (from, to) = (show::time_of_day(window.start), show::time_of_day(window.end));
        let date = show::date(window.start);
        format!(
            "  {date} {from} to {to}  n {:>6}  mean error {:.3}",
            window.rows, window.mean_error
        )
    });
}

fn counts(out: &mut String, counts: &Counts, wall: Duration) {
    let Counts { sent, joined, unmatched, late, duplicates, dead_lettered, .. } = *counts;
    let accounted = counts.accounted();
    let sum = format!(
        "2 x {joined} joined + {unmatched} unmatched + {late} late + {duplicates} duplicates \
         + {dead_lettered} dead-lettered"
    );
    line(out, "\nEvents");
    line(
        out,
        &match sent.cmp(&accounted) {
            std::cmp::Ordering::Equal => format!("  sent {sent} = {sum}"),
            std::cmp::Ordering::Greater => {
                format!(
                    "  sent {sent}, but {accounted} = {sum}\n  {} NOT ACCOUNTED FOR",
                    sent - accounted
                )
            }
            std::cmp::Ordering::Less => {
                format!(
                    "  sent {sent}, and {accounted} = {sum}\n  {} came on top",
                    accounted - sent
                )
            }
        },
    );
    line(
        out,
        &format!(
            "  predicted {}, {} of them without a number because the level was unknown",
            counts.predicted, counts.unseen_level
        ),
    );
    let seconds = wall.as_secs_f64();
    let speed = if seconds > 0.0 {
        format!(", {:.0} per second", sent as f64 / seconds)
    } else {
        String::new()
    };
    line(out, &format!("  in {seconds:.1} s{speed}"));
}

/// One entry a line, and how many more there are.
fn list<T>(out: &mut String, entries: &[T], name: &str, show: impl Fn(&T) -> String) {
    for entry in entries.iter().take(LIST_MAX) {
        line(out, &show(entry));
    }
    more(out, entries.len(), name);
}

fn more(out: &mut String, entries: usize, name: &str) {
    if let more @ 1.. = entries.saturating_sub(LIST_MAX) {
        line(out, &format!("  and {more} more {name}"));
    }
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("writing into a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_view::samples;

    #[test]
    fn a_run_with_a_drift() {
        let text = text(&samples::salmon_walleye_salmon(), Duration::from_millis(4_500));
        insta::assert_snapshot!(text, @r"
        Error of consecutive events of one level and version
          level    events     n  mean error  version
          salmon   1..60     60       0.020  v1
          walleye  61..77    17       0.853  v1
          walleye  78..107   30       0.051  v2
          walleye  108..120  13       0.052  v3
          salmon   121..180  60       0.040  v3

        Versions
          v1   sha256:cd2662154e6d  rows 1..100 (n = 100), R2 0.9819, 12 ms, serves from 1
               levels  salmon
               terms   (Intercept) 0.61160  Length 0.048300  Height -0.013870
          v2   sha256:cd04a4754498  rows 24..73 (n = 50), R2 0.9819, 12 ms, serves from 78
               levels  salmon  walleye
               terms   (Intercept) 0.61160  Length 0.048300  Height -0.013870  Specieswalleye -2.0057
          v3   sha256:d5688a52d55a  rows 54..103 (n = 50), R2 0.9819, 12 ms, serves from 108
               levels  salmon  walleye
               terms   (Intercept) 0.61160  Length 0.048300  Height -0.013870  Specieswalleye -2.0057

        Windows above the threshold: 2 of 6
          2026-01-05 08:02:00 to 08:03:00  n     30  mean error 0.346
          2026-01-05 08:03:00 to 08:04:00  n     30  mean error 0.192

        Events
          sent 360 = 2 x 180 joined + 0 unmatched + 0 late + 0 duplicates + 0 dead-lettered
          predicted 180, 0 of them without a number because the level was unknown
          in 4.5 s, 80 per second
        ");
    }

    #[test]
    fn an_empty_run_is_told() {
        let text = text(&Results::default(), Duration::ZERO);
        assert!(text.contains("sent 0 = 2 x 0 joined"), "{text}");
        assert!(!text.contains("per second"), "{text}");
    }

    /// What was sent and where it came, and the line that must say so.
    #[test]
    fn sums_that_do_not_add_up_are_told() {
        let check = |sent, late, expected: &str| {
            let counts = Counts { sent, joined: 2, late, ..Counts::default() };
            let text = text(&Results { counts, ..Results::default() }, Duration::from_secs(2));
            assert!(text.contains(expected), "{text}");
        };
        check(5, 1, "sent 5 = 2 x 2 joined + 0 unmatched + 1 late +");
        check(8, 1, "sent 8, but 5 = 2 x 2 joined + 0 unmatched + 1 late +");
        check(8, 1, "3 NOT ACCOUNTED FOR");
        check(4, 1, "1 came on top");
        check(8, 1, "4 per second");
    }

    #[test]
    fn text_from_outside_is_escaped_and_cut() {
        let name = format!("\u{1b}[2J\r{}", "x".repeat(10_000));
        let mut results = samples::salmon_walleye_salmon();
        results.predictions[0].level = Some(name.as_str().into());
        results.versions[1].manifest.levels.push(name.clone());
        results.versions[1].manifest.coefficients[1].name.clone_from(&name);
        results.versions[1].manifest.rows.first_id = name;
        let text = text(&results, Duration::from_secs(1));
        assert!(text.chars().all(|char| char == '\n' || !char.is_control()), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 140), "{text}");
    }

    #[test]
    fn levels_that_alternate_are_put_together() {
        let level = |n: u64| if n.is_multiple_of(2) { "salmon" } else { "walleye" };
        let events = (1..=100).map(|n| samples::event(n, level(n), 1 + n / 61, Some(0.5)));
        let text = text(&samples::run(events.collect(), &[None]), Duration::from_secs(1));
        let (table, _) = text.split_once("\n\n").expect("a table first");
        insta::assert_snapshot!(table, @r"
        Error of all events of one level and version
          level    events    n  mean error  version
          salmon   2..60    30       0.500  v1
          walleye  1..59    30       0.500  v1
          salmon   62..100  20       0.500  v2
          walleye  61..99   20       0.500  v2
        ");
    }

    #[test]
    fn long_lists_say_how_much_they_leave_out() {
        let events = (1..=100).map(|n| samples::event(n, &n.to_string(), 1, None));
        let rows = vec![Some((1, 2)); 45];
        let text = text(&samples::run(events.collect(), &rows), Duration::from_secs(1));
        assert!(text.contains("  and 60 more levels and versions\n"), "{text}");
        assert!(text.contains("  and 5 more versions\n"), "{text}");
        assert!(text.contains("1 without prediction"), "{text}");
    }
}
