//! What happens to a followed file, case by case; and all of it at random.

use super::*;
use crate::read::form::tests::form;
use crate::read::{EventChoice, Format};
use std::io::Write as _;

mod random;

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
