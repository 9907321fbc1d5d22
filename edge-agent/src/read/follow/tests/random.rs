//! A writer that grows, rotates and truncates its file at random, a reader that is stopped at random, and what must come
//! of it.

use super::*;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
