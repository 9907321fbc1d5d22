//! Two files of JSON lines.
//!
//! A file in which no line has a timestamp that can be believed gets its times from the schedule: measurement line i (blank lines
//! do not count) happens at the start plus i intervals, a target one lag behind the measurement with its key
//! (the first one, where several have it). A target without such a measurement takes the slot of its
//! own line. In a file that has timestamps every line is sent as it is; one whose own time is missing,
//! unreadable or not believed counts with the time of the line before it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use weir_events::{EventTime, Schema};

use super::{Clocks, Hand};
use crate::payload::Line;
use crate::sampler::{Event, SampleError};
use crate::schedule::{Schedule, Timed};

/// What is read of one line. Longer ones are above every size limit and are refused whole.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Replays a file of measurements and one of targets.
///
/// # Errors
/// If a file cannot be read.
pub fn lines(
    measurements: &Path,
    targets: &Path,
    schema: &Schema,
    clocks: Clocks,
) -> Result<impl Iterator<Item = Result<Event, SampleError>> + Send + use<>, SampleError> {
    let measurement_times = Times::of(measurements, schema, clocks)?;
    let target_times = match Times::of(targets, schema, clocks)? {
        Times::Scheduled => {
            Times::Following(index(measurements, measurement_times.clone(), schema, clocks)?)
        }
        recorded => recorded,
    };
    let measurements = Side::open(measurements, measurement_times, schema, clocks)?;
    let targets = Side::open(targets, target_times, schema, clocks)?;
    Ok(Schedule::new(timed(measurements), timed(targets), clocks.timing.lead))
}

fn timed(side: Side) -> impl Iterator<Item = Result<Timed, SampleError>> + Send {
    side.map(|item| item.map(|(_, timed)| timed))
}

/// Where the times of a file's lines come from.
#[derive(Clone, Debug)]
enum Times {
    /// From the lines; the hand stands at the first time that can be believed.
    Recorded(Hand),
    /// From the line's number.
    Scheduled,
    /// From the measurement with the same key.
    Following(HashMap<String, EventTime>),
}

impl Times {
    fn of(path: &Path, schema: &Schema, clocks: Clocks) -> Result<Self, SampleError> {
        for bytes in Lines::open(path)? {
            let line = Line::new(bytes?);
            if let Some(first) = line.time(schema).and_then(|time| clocks.believed(time)) {
                return Ok(Self::Recorded(Hand(first)));
            }
        }
        Ok(Self::Scheduled)
    }
}

/// The time of the first measurement with each key.
fn index(
    measurements: &Path,
    times: Times,
    schema: &Schema,
    clocks: Clocks,
) -> Result<HashMap<String, EventTime>, SampleError> {
    let mut index = HashMap::new();
    for item in Side::open(measurements, times, schema, clocks)? {
        if let (Some(key), timed) = item? {
            index.entry(key).or_insert(timed.at);
        }
    }
    Ok(index)
}

/// The lines of one file with their times and, where it can be read, their key.
struct Side {
    lines: Lines,
    times: Times,
    number: u64,
    schema: Schema,
    clocks: Clocks,
}

impl Side {
    fn open(
        path: &Path,
        times: Times,
        schema: &Schema,
        clocks: Clocks,
    ) -> Result<Self, SampleError> {
        let lines = Lines::open(path)?;
        Ok(Self { lines, times, number: 0, schema: schema.clone(), clocks })
    }

    fn place(&mut self, bytes: Bytes) -> (Option<String>, Timed) {
        let line = Line::new(bytes);
        let key = line.key(&self.schema);
        let timing = self.clocks.timing;
        let number = self.number;
        self.number += 1;
        let at = match &mut self.times {
            Times::Recorded(hand) => {
                let own = line.time(&self.schema).and_then(|time| self.clocks.believed(time));
                let at = hand.advance(own);
                return (key, Timed { at, payload: line.unchanged() });
            }
            Times::Scheduled => timing.measurement(number),
            Times::Following(measurements) => {
                let measured = key.as_ref().and_then(|key| measurements.get(key));
                measured.map_or(timing.target(number), |measured| measured.plus(timing.lag()))
            }
        };
        (key, Timed { at, payload: line.stamped(&self.schema, at) })
    }
}

impl Iterator for Side {
    type Item = Result<(Option<String>, Timed), SampleError>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.lines.next()?;
        Some(bytes.map(|bytes| self.place(bytes)))
    }
}

/// The lines of a file that are not blank, without their ends.
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    blank: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, SampleError> {
        let file = File::open(path)
            .map_err(|source| SampleError::Read { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), reader: BufReader::new(file), blank: 0 })
    }

    /// Whether there was a line.
    fn read(&mut self, line: &mut Vec<u8>) -> std::io::Result<bool> {
        line.clear();
        loop {
            let buffer = self.reader.fill_buf()?;
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let (taken, used) = match end {
                Some(end) => (&buffer[..end], end + 1),
                None => (buffer, buffer.len()),
            };
            let room = LINE_BYTES_MAX - line.len();
            line.extend_from_slice(&taken[..taken.len().min(room)]);
            self.reader.consume(used);
            if end.is_some() {
                return Ok(true);
            }
            if used == 0 {
                return Ok(!line.is_empty());
            }
        }
    }
}

impl Iterator for Lines {
    type Item = Result<Bytes, SampleError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        loop {
            match self.read(&mut line) {
                Ok(true) if line.trim_ascii().is_empty() => self.blank += 1,
                Ok(true) => {
                    if line.last() == Some(&b'\r') {
                        line.pop();
                    }
                    return Some(Ok(line.into()));
                }
                Ok(false) => {
                    if self.blank > 0 {
                        let (path, lines) = (self.path.display(), self.blank);
                        tracing::info!(%path, lines, "blank lines were skipped");
                        self.blank = 0;
                    }
                    return None;
                }
                Err(source) => {
                    return Some(Err(SampleError::Read { path: self.path.clone(), source }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Timing;
    use std::time::Duration;
    use weir_events::{EventKind, SchemaConfig};

    const NOW: &str = "2026-06-01T00:00:00Z";

    /// Replays two texts with start 08:00:00, interval 2 s and lead 2. An event reads
    /// `m 08:00:02 payload`.
    fn check(measurements: &str, targets: &str, expected: &[&str]) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let paths = [write("m", measurements), write("t", targets)];
        let schema = Schema::try_from(&SchemaConfig::fish()).expect("valid");
        let start = "2026-01-05T08:00:00Z".parse().expect("a time");
        let timing = Timing { start, interval: Duration::from_secs(2), lead: 2 };
        let clocks = Clocks { timing, now: NOW.parse().expect("a time") };
        let events = lines(&paths[0], &paths[1], &schema, clocks).expect("readable");
        let shown: Vec<String> = events
            .map(|event| event.expect("readable"))
            .map(|event| {
                let kind = if event.kind == EventKind::Measurement { "m" } else { "t" };
                let (at, payload) = (event.at.to_string(), String::from_utf8_lossy(&event.payload));
                format!("{kind} {} {payload}", &at[11..19])
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn lines_without_times_get_them_by_key() {
        check(
            "{\"Fish_Id\":\"a\"}\r\n\n{\"Fish_Id\":7}\n",
            "{\"Fish_Id\":\"7\",\"Weight\":1}\n{\"Fish_Id\":\"a\",\"Weight\":2}",
            &[
                r#"m 08:00:00 {"Timestamp":"2026-01-05T08:00:00Z","Fish_Id":"a"}"#,
                r#"m 08:00:02 {"Timestamp":"2026-01-05T08:00:02Z","Fish_Id":7}"#,
                r#"t 08:00:06 {"Timestamp":"2026-01-05T08:00:06Z","Fish_Id":"7","Weight":1}"#,
                r#"t 08:00:04 {"Timestamp":"2026-01-05T08:00:04Z","Fish_Id":"a","Weight":2}"#,
            ],
        );
    }

    #[test]
    fn the_first_measurement_with_a_key_decides_and_strangers_take_their_own_slot() {
        check(
            "{\"Fish_Id\":1}\nbroken\n{\"Fish_Id\":1}",
            "{\"Fish_Id\":1}\n{\"Fish_Id\":9}\nbroken too",
            &[
                r#"m 08:00:00 {"Timestamp":"2026-01-05T08:00:00Z","Fish_Id":1}"#,
                "m 08:00:02 broken",
                r#"t 08:00:04 {"Timestamp":"2026-01-05T08:00:04Z","Fish_Id":1}"#,
                r#"m 08:00:04 {"Timestamp":"2026-01-05T08:00:04Z","Fish_Id":1}"#,
                r#"t 08:00:06 {"Timestamp":"2026-01-05T08:00:06Z","Fish_Id":9}"#,
                "t 08:00:08 broken too",
            ],
        );
    }

    /// One line from the year 2099 and one that is no JSON: their neighbours go at their own times.
    #[test]
    fn a_time_that_is_not_believed_makes_no_recording_of_a_file() {
        check(
            "{\"Fish_Id\":1}\n{\"Fish_Id\":2,\"Timestamp\":\"2099-01-01T00:00:00Z\"}\n{\"Fish_Id\":3}\n",
            "",
            &[
                "m 08:00:00 {\"Timestamp\":\"2026-01-05T08:00:00Z\",\"Fish_Id\":1}",
                "m 08:00:02 {\"Fish_Id\":2,\"Timestamp\":\"2099-01-01T00:00:00Z\"}",
                "m 08:00:04 {\"Timestamp\":\"2026-01-05T08:00:04Z\",\"Fish_Id\":3}",
            ],
        );
    }

    #[test]
    fn recorded_times_are_kept_and_a_bad_line_disturbs_no_neighbour() {
        check(
            concat!(
                "broken\n",
                "{\"Timestamp\":\"2026-01-05 09:00:00\"}\n",
                "{\"Timestamp\":\"2099-01-01T00:00:00Z\"}\n",
                "{\"Timestamp\":\"soon\"}\n",
                "{\"Timestamp\":\"2026-01-05T09:00:04Z\"}\n",
            ),
            "{\"Timestamp\":\"2026-01-05T09:00:00Z\"}\n{\"Timestamp\":\"2026-01-05T09:00:02Z\"}\n",
            &[
                r#"t 09:00:00 {"Timestamp":"2026-01-05T09:00:00Z"}"#,
                "m 09:00:00 broken",
                r#"m 09:00:00 {"Timestamp":"2026-01-05 09:00:00"}"#,
                r#"m 09:00:00 {"Timestamp":"2099-01-01T00:00:00Z"}"#,
                r#"m 09:00:00 {"Timestamp":"soon"}"#,
                r#"t 09:00:02 {"Timestamp":"2026-01-05T09:00:02Z"}"#,
                r#"m 09:00:04 {"Timestamp":"2026-01-05T09:00:04Z"}"#,
            ],
        );
    }

    #[test]
    fn targets_without_times_follow_measurements_that_have_them() {
        check(
            "{\"Fish_Id\":1,\"Timestamp\":\"2026-01-05T09:00:00Z\"}",
            "{\"Fish_Id\":1}",
            &[
                r#"m 09:00:00 {"Fish_Id":1,"Timestamp":"2026-01-05T09:00:00Z"}"#,
                r#"t 09:00:04 {"Timestamp":"2026-01-05T09:00:04Z","Fish_Id":1}"#,
            ],
        );
    }

    #[test]
    fn an_endless_line_is_cut_at_its_limit() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("long");
        std::fs::write(&path, [vec![b'x'; 3 * LINE_BYTES_MAX], b"\nshort".to_vec()].concat())
            .expect("written");
        let lengths = Lines::open(&path).expect("open").map(|line| line.expect("read").len());
        assert_eq!(lengths.collect::<Vec<_>>(), [LINE_BYTES_MAX, 5]);
    }
}
