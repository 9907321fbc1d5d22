//! Clocks: this machine's against what is plausible, and against the newest records in Kafka.
//!
//! Nothing is written to compare clocks, so a broker that is behind is not found out: it looks like silence.

use std::time::Duration;

use weir_bridge::BridgeConfig;
use weir_events::EventTime;
use weir_service::{Clock as _, SystemClock};

use super::finding::Report;
use super::kafka::{Newest, Topics};
use weir_view::show;

const NEXT: &str = "have both machines set their clocks by NTP; timedatectl shows whether one does";

/// Checks the clock.
pub(super) fn check(topics: Option<&Topics>, report: &mut Report) {
    // What the bridge believes and tolerates; its defaults have both.
    let limits = BridgeConfig::default().limits;
    let newest = topics.map_or(&[][..], |topics| &topics.newest);
    judge(SystemClock.now(), limits.clock_not_before, limits.future_tolerance, newest, report);
}

fn judge(
    now: EventTime,
    not_before: EventTime,
    tolerance: Duration,
    newest: &[Newest],
    report: &mut Report,
) {
    let shown = show::instant(now);
    if now < not_before {
        let found = format!("this machine's clock shows {shown} (UTC), which is in the past");
        report.failed(
            "clock",
            found,
            "set the clock: services believe none before they were built",
        );
        return;
    }
    let Some(latest) = newest.iter().max_by_key(|newest| newest.time) else {
        report.ok("clock", format!("{shown} (UTC); no record in Kafka to compare with"));
        return;
    };
    let record = format!("the newest record of {}", latest.topic);
    let ahead = latest.time > now.plus(tolerance);
    let seconds = latest.time.distance(now).as_secs();
    match (ahead, latest.is_brokers) {
        (false, _) => {
            report.ok("clock", format!("{shown} (UTC); {record} was written {seconds} s ago"))
        }
        (true, true) => {
            let found =
                format!("the broker's clock is {seconds} s or more ahead of this one ({record})");
            report.failed("clock", found, NEXT);
        }
        // The time of a record may be that of an event, and simulated events may lie anywhere.
        (true, false) => {
            let found = format!("{record} is {seconds} s ahead of this clock, {shown} (UTC)");
            report.warning("clock", found, format!("if the events are not simulated: {NEXT}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_clock_is_judged_by_what_lies_ahead_of_it() {
        let time = |text: &str| text.parse::<EventTime>().expect(text);
        let check = |newest: Option<(&str, bool)>, now: &str, level: Level, part: &str| {
            let newest: Vec<_> = newest
                .into_iter()
                .map(|(at, is_brokers)| Newest { topic: "t".into(), time: time(at), is_brokers })
                .collect();
            let mut report = Report::new(true);
            let tolerance = Duration::from_secs(5);
            judge(time(now), time("2026-01-01T00:00:00Z"), tolerance, &newest, &mut report);
            let finding = report.only();
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.found.contains(part), "{finding:?}");
        };
        let noon = "2026-06-01T12:00:00Z";
        check(None, "1970-01-01T00:00:09Z", Level::Failed, "1970-01-01 00:00:09");
        check(None, noon, Level::Ok, "no record");
        check(Some(("2026-06-01T11:59:00Z", true)), noon, Level::Ok, "60 s ago");
        check(Some(("2026-06-01T12:00:05Z", true)), noon, Level::Ok, "");
        check(Some(("2026-06-01T12:01:00Z", true)), noon, Level::Failed, "broker's clock is 60 s");
        check(Some(("2026-06-01T12:01:00Z", false)), noon, Level::Warning, "60 s ahead");
    }
}
