//! A writer that grows, rotates and truncates its file at random, a reader that is stopped at random, and what must come
//! of it.

use super::*;
use crate::read::form::tests::form;
use crate::read::{EventChoice, Format};
use proptest::prelude::*;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory with a file to follow.
struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("line");
        Self { _dir: dir, path }
    }

    fn named(&self, suffix: &str) -> PathBuf {
        format!("{}{suffix}", self.path.display()).into()
    }

    fn write(&self, text: &str) {
        self.append().write_all(text.as_bytes()).expect("written");
    }

    fn append(&self) -> File {
        let file = File::options().create(true).append(true).open(&self.path);
        file.expect("opened")
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.named(from), self.named(to)).expect("renamed");
    }

    fn follow(&self, start: Start) -> Follower {
        let form = form(Format::Json, &[], EventChoice::Auto);
        Follower::new(&self.path, true, start, form)
    }
}

/// The next lines, until there is nothing at present.
fn lines(follower: &mut Follower) -> Vec<String> {
    events(follower).into_iter().map(|event| text(&event)).collect()
}

fn events(follower: &mut Follower) -> Vec<Event> {
    let mut events = Vec::new();
    while let Step::Event(event) = follower.step().expect("readable") {
        events.push(event);
    }
    events
}

fn text(event: &Event) -> String {
    String::from_utf8_lossy(&event.payload).into_owned()
}

#[derive(Clone, Copy, Debug)]
enum Act {
    /// The writer writes so many bytes, wherever that is in a line.
    Write(u16),
    /// The file is renamed, and the writer makes a new one.
    Rotate,
    /// The file is renamed and an empty one is made; the writer has not heard of it yet.
    RotateUnheard,
    /// The writer opens the file again.
    Reopen,
    /// The file is truncated, by someone who has seen the reader at its end.
    Truncate,
    /// The reader goes so many steps.
    Read(u8),
    /// The reader dies, and goes on from the position of its last event.
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1..300_u16).prop_map(Act::Write),
        2 => Just(Act::Rotate),
        1 => Just(Act::RotateUnheard),
        1 => Just(Act::Reopen),
        1 => Just(Act::Truncate),
        4 => (1..20_u8).prop_map(Act::Read),
        2 => Just(Act::Crash),
    ]
}

/// The writer, and the texts that it has written between two rotations or truncations.
struct Writer {
    place: Place,
    dated: bool,
    rotations: usize,
    number: u64,
    pending: Vec<u8>,
    /// What is open, and which text it adds to.
    open: Option<(File, usize)>,
    /// The text that the file of that name holds, if anything was written to it.
    present: Option<usize>,
    texts: Vec<Vec<u8>>,
    /// The last text to which anything was ever added.
    last: usize,
}

impl Writer {
    fn new(dated: bool) -> Self {
        Self {
            place: Place::new(),
            dated,
            rotations: 0,
            number: 0,
            pending: Vec::new(),
            open: None,
            present: None,
            texts: Vec::new(),
            last: 0,
        }
    }

    fn write(&mut self, bytes: usize) {
        while self.pending.len() < bytes {
            self.number += 1;
            let stuffing = "x".repeat(self.number as usize * 7 % 40);
            self.pending.extend(format!("{}{stuffing}\n", self.number).into_bytes());
        }
        let (texts, present) = (&mut self.texts, &mut self.present);
        let (file, text) = self.open.get_or_insert_with(|| {
            let text = *present.get_or_insert_with(|| {
                texts.push(Vec::new());
                texts.len() - 1
            });
            (self.place.append(), text)
        });
        let part: Vec<u8> = self.pending.drain(..bytes).collect();
        file.write_all(&part).expect("written");
        texts[*text].extend(part);
        self.last = self.last.max(*text);
    }

    fn rotate(&mut self) {
        if !self.place.path.exists() {
            return;
        }
        self.rotations += 1;
        if self.dated {
            self.place.rename("", &format!("-2026{:04}", self.rotations));
        } else {
            for number in (1..self.rotations).rev() {
                self.place.rename(&format!(".{number}"), &format!(".{}", number + 1));
            }
            self.place.rename("", ".1");
        }
        self.present = None;
    }

    /// Whether there was something.
    fn truncate(&mut self) -> bool {
        let Some(present) = self.present else { return false };
        if self.open.as_ref().is_none_or(|(_, text)| *text != present) {
            return false;
        }
        self.place.append().set_len(0).expect("truncated");
        // What was not a line yet never becomes one.
        let text = &mut self.texts[present];
        text.truncate(text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1));
        self.texts.push(Vec::new());
        self.present = Some(self.texts.len() - 1);
        if let Some((_, text)) = &mut self.open {
            *text = self.texts.len() - 1;
        }
        true
    }

    /// All lines. The last one of a text counts without its end when another text has followed.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (place, text) in self.texts.iter().enumerate() {
            let text = String::from_utf8_lossy(text);
            let whole = if place >= self.last {
                text.rfind('\n').map_or(0, |end| end + 1)
            } else {
                text.len()
            };
            lines.extend(
                text[..whole].split('\n').filter(|line| !line.is_empty()).map(str::to_owned),
            );
        }
        lines
    }
}

/// The reader, and what it has read.
struct Readings {
    follower: Follower,
    last: Position,
    lines: Vec<String>,
    /// A position before a truncation may fit by chance behind it: this cannot be told, and is not tested.
    may_crash: bool,
}

impl Readings {
    fn step(&mut self) -> bool {
        let Step::Event(event) = self.follower.step().expect("readable") else { return false };
        self.last = event.position;
        self.lines.push(text(&event));
        self.may_crash = true;
        true
    }
}

fn run(dated: bool, acts: &[Act]) -> (Vec<String>, Vec<String>) {
    let mut writer = Writer::new(dated);
    let follower = writer.place.follow(Start::First);
    let mut read =
        Readings { follower, last: Position::default(), lines: Vec::new(), may_crash: false };
    for &act in acts {
        match act {
            Act::Write(bytes) => writer.write(bytes.into()),
            Act::Rotate => {
                // A reader that was never there has no file to go on from.
                read.step();
                writer.rotate();
                writer.open = None;
            }
            Act::RotateUnheard => {
                read.step();
                writer.rotate();
                drop(writer.place.append());
            }
            Act::Reopen => writer.open = None,
            Act::Truncate => {
                while read.step() {}
                if writer.truncate() {
                    read.may_crash = false;
                }
            }
            Act::Read(steps) => (0..steps).take_while(|_| read.step()).for_each(drop),
            Act::Crash if read.may_crash => {
                read.follower = writer.place.follow(Start::Behind(read.last));
            }
            Act::Crash => {}
        }
    }
    while read.step() {}
    (read.lines, writer.lines())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn every_line_comes_once_and_in_order(
        dated: bool,
        acts in proptest::collection::vec(act(), 1..60),
    ) {
        let (read, written) = run(dated, &acts);
        prop_assert_eq!(read, written);
    }
}

/// The reader looks at any moment of a rotation: between two reads the writer may write, rename and go on.
#[test]
fn a_writer_in_a_hurry_is_followed() {
    const LINES: u64 = 1_500;
    // A rotation each so many lines. The writer stays a few files ahead at most; older ones are deleted.
    for (dated, each) in [(true, 2), (true, 3), (false, 100)] {
        let mut writer = Writer::new(dated);
        let mut follower = writer.place.follow(Start::First);
        let read = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&read);
        let writing = std::thread::spawn(move || {
            for number in 0..LINES {
                writer.pending = format!("{number}\n").into_bytes();
                writer.write(writer.pending.len());
                // A reader that was never there would have no file to go on from.
                while number > 0
                    && seen.load(Ordering::SeqCst) + 3 * each < number.max(3 * each + 1)
                {
                    std::hint::spin_loop();
                }
                if number % each == each - 1 {
                    writer.rotate();
                    writer.open = None;
                    if dated && writer.rotations > 9 {
                        let old = format!("-2026{:04}", writer.rotations - 9);
                        std::fs::remove_file(writer.place.named(&old)).expect("removed");
                    }
                }
            }
            writer
        });
        for next in 0..LINES {
            let event = loop {
                match follower.step() {
                    Ok(Step::Event(event)) => break event,
                    Ok(Step::End) => unreachable!("it is followed"),
                    Ok(Step::Idle) | Err(_) => std::hint::spin_loop(),
                }
            };
            assert_eq!(text(&event), next.to_string());
            read.store(next + 1, Ordering::SeqCst);
        }
        drop(writing.join().expect("no panic"));
    }
}

/// Between the last read and the look for a successor the writer adds a line, rotates and goes on.
#[test]
fn a_line_just_before_a_rotation_is_read() {
    let place = Place::new();
    place.write("1\n");
    let mut follower = place.follow(Start::First);
    assert_eq!(lines(&mut follower), ["1"]);
    assert!(matches!(follower.fill(), Ok(Filled::Nothing)));
    place.write("2\n");
    place.rename("", ".1");
    place.write("3\n");
    assert_eq!(follower.at_end().expect("readable"), None);
    assert_eq!(lines(&mut follower), ["2", "3"]);
}

/// Stopped behind every single line, in every file of a chain, with everything rotated since.
#[test]
fn each_position_is_one_to_go_on_from() {
    let place = Place::new();
    place.write("{\"a\":1}\n\r\n  b  \r\n\nc");
    place.rename("", ".2");
    place.write("d\n");
    place.rename("", ".1");
    place.write("e\nunfinished");
    let start = rotation::id(&place.named(".2").metadata().expect("there"));
    let all = events(&mut place.follow(Start::Behind(Position { source: start, offset: 0 })));
    let expected = ["{\"a\":1}", "  b  ", "c", "d", "e"];
    assert_eq!(all.iter().map(text).collect::<Vec<_>>(), expected);
    for (index, event) in all.iter().enumerate() {
        let read = lines(&mut place.follow(Start::Behind(event.position)));
        assert_eq!(read, expected[index + 1..], "behind {:?}", event.position);
    }
}

#[test]
fn a_file_may_come_late_go_and_come_back() {
    let place = Place::new();
    let mut follower = place.follow(Start::End);
    assert_eq!(lines(&mut follower), [""; 0]);
    place.write("1\n");
    assert_eq!(lines(&mut follower), ["1"]);
    let mut deleted = place.append();
    std::fs::remove_file(&place.path).expect("removed");
    deleted.write_all(b"2\n3").expect("written");
    assert_eq!(lines(&mut follower), ["2"]);
    place.write("4\n");
    assert_eq!(lines(&mut follower), ["3", "4"]);
}

#[test]
fn from_the_end_means_whole_lines_behind_it() {
    let place = Place::new();
    place.write("1\n2");
    let mut follower = place.follow(Start::End);
    assert_eq!(lines(&mut follower), [""; 0]);
    place.write(" and more\n3\n");
    assert_eq!(lines(&mut follower), ["3"]);
    let mut follower = place.follow(Start::End);
    assert_eq!(lines(&mut follower), [""; 0]);
    place.write("4\n");
    assert_eq!(lines(&mut follower), ["4"]);
}

/// The size alone does not show it: it is larger than before.
#[test]
fn a_truncated_file_that_has_grown_again_is_read_from_its_start() {
    let place = Place::new();
    place.write("1\n2\n");
    let mut follower = place.follow(Start::First);
    let last = events(&mut follower).pop().expect("two lines").position;
    place.append().set_len(0).expect("truncated");
    place.write("a longer line than both\n4\n");
    assert_eq!(lines(&mut follower), ["a longer line than both", "4"]);
    // After a restart the place within a line shows it.
    assert_eq!(lines(&mut place.follow(Start::Behind(last))), ["a longer line than both", "4"]);
}

#[test]
fn when_the_file_is_gone_what_followed_it_is_read() {
    let place = Place::new();
    for (number, suffix) in [(1, ".3"), (2, ".2"), (3, ".1")] {
        place.write(&format!("{number}\n"));
        place.rename("", suffix);
    }
    place.write("4\n");
    let first = rotation::id(&place.named(".3").metadata().expect("there"));
    std::fs::remove_file(place.named(".3")).expect("removed");
    let gone = Start::Behind(Position { source: first, offset: 2 });
    assert_eq!(lines(&mut place.follow(gone)), ["2", "3", "4"]);
}

/// Whoever writes to a file that was left must not make it look new.
#[test]
fn a_file_that_was_left_is_never_taken_up_again() {
    let place = Place::new();
    let mut old = place.append();
    old.write_all(b"1\n").expect("written");
    let mut follower = place.follow(Start::First);
    assert_eq!(lines(&mut follower), ["1"]);
    place.rename("", ".1");
    place.write("2\n");
    assert_eq!(lines(&mut follower), ["2"]);
    place.rename("", ".2");
    old.write_all(b"late\n").expect("written");
    place.write("3\n");
    assert_eq!(lines(&mut follower), ["3"]);
}

#[test]
fn columns_are_found_again_and_anew_in_each_file() {
    let place = Place::new();
    place.write("id,weight\n1,1.5\n2,2.5\n");
    let follow = |start| {
        let form = form(Format::Csv, &[], EventChoice::Auto);
        Follower::new(&place.path, true, start, form)
    };
    let weights = |events: &[Event]| {
        let part =
            |event: &Event| text(event).split_once(",\"T").map(|(part, _)| part.replace('"', ""));
        events.iter().filter_map(part).collect::<Vec<_>>()
    };
    let all = events(&mut follow(Start::First));
    assert_eq!(weights(&all), ["{Fish_Id:1,Weight:1.5", "{Fish_Id:2,Weight:2.5"]);
    place.rename("", ".1");
    place.write("weight,id\n3.5,3\n");
    let rest = events(&mut follow(Start::Behind(all[0].position)));
    assert_eq!(weights(&rest), ["{Fish_Id:2,Weight:2.5", "{Fish_Id:3,Weight:3.5"]);
}

#[test]
fn a_plain_file_ends_with_its_last_line() {
    let place = Place::new();
    place.write("1\n2");
    let read = |start| {
        let form = form(Format::Json, &[], EventChoice::Auto);
        let mut follower = Follower::new(&place.path, false, start, form);
        let events = events(&mut follower);
        assert_eq!(follower.step().expect("readable"), Step::End);
        events
    };
    let all = read(Start::First);
    assert_eq!(all.iter().map(text).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(read(Start::Behind(all[0].position)).len(), 1);
    assert_eq!(read(Start::Behind(all[1].position)).len(), 0);
    place.write("\n3\n");
    assert_eq!(text(&read(Start::Behind(all[1].position))[0]), "3");
    assert_eq!(read(Start::Behind(Position { source: 17, offset: 1 })).len(), 3);
}

#[test]
fn a_line_above_the_limit_is_passed_over_and_counted() {
    let place = Place::new();
    place.write(&format!("1\n{}\n2\n", "x".repeat(200_000)));
    let all = events(&mut place.follow(Start::First));
    let sizes: Vec<usize> = all.iter().map(|event| event.payload.len()).collect();
    assert_eq!(sizes, [1, 121, 1]);
    assert_eq!(all[1].position.offset, 2 + 200_001);
}
