//! How text, times and counts are shown to people, on a terminal and in a picture.
//!
//! Text from outside (species, keys, formulas) goes through [`text`]. Escapes for markup (`<`, `&`)
//! are not made here: they belong to whoever writes the markup.

use weir_events::EventTime;

/// The text, with every character escaped that moves the cursor, is invisible or changes the
/// direction of writing, and cut with `…` to at most `chars` characters.
pub(crate) fn text(text: &str, chars: usize) -> String {
    let mut out = String::new();
    let mut room = chars;
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        let quote = matches!(char, '\'' | '"');
        let piece: String = if quote { char.to_string() } else { char.escape_debug().collect() };
        let length = piece.chars().count();
        let last = rest.as_str().is_empty();
        if length > room || (length == room && !last) {
            out.push('…');
            break;
        }
        room -= length;
        out.push_str(&piece);
    }
    out
}

/// `2026-01-05`, in UTC.
pub(crate) fn date(time: EventTime) -> String {
    date_and_clock(time).0
}

/// `08:02:00`, in UTC.
pub(crate) fn time_of_day(time: EventTime) -> String {
    date_and_clock(time).1
}

fn date_and_clock(time: EventTime) -> (String, String) {
    let whole = time.to_string();
    let (date, clock) = whole.split_once('T').expect("RFC 3339 has a T before the time of day");
    (date.to_owned(), clock.chars().take(8).collect())
}

/// A count with its thousands set apart: `100,000`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let head = digits.len() % 3;
    let mut out = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && at % 3 == head {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{EventTime, count, date, text as shown, time_of_day};

    #[test]
    fn times_and_counts() {
        let time: EventTime = "2026-01-05T09:02:00.5+01:00".parse().expect("a time");
        assert_eq!(time_of_day(time), "08:02:00");
        assert_eq!(date(time), "2026-01-05");
        assert_eq!(time_of_day(EventTime::MIN).len(), 8);
        let counts = [0, 999, 1_000, 12_345, 123_456, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "12,345", "123,456", "1,234,567"]);
    }

    #[test]
    fn ordinary_text_stays() {
        for text in ["", "salmon", "Forelle (groß)", "Jørgen's \"A\"", "鮭", "<b>&"] {
            assert_eq!(shown(text, 20), text);
        }
    }

    #[test]
    fn what_moves_the_cursor_or_hides_is_escaped() {
        assert_eq!(shown("a\u{1b}[2Jb\r\n", 40), "a\\u{1b}[2Jb\\r\\n");
        assert_eq!(shown("\u{202e}nomlas\u{200b}", 40), "\\u{202e}nomlas\\u{200b}");
        assert_eq!(shown("\u{ffff}\u{0}", 40), "\\u{ffff}\\0");
        assert_eq!(shown("\\n", 40), "\\\\n");
    }

    #[test]
    fn long_text_is_cut_and_never_within_an_escape() {
        assert_eq!(shown("salmon", 6), "salmon");
        assert_eq!(shown("salmon", 5), "salm…");
        assert_eq!(shown("sal\u{1b}mon", 6), "sal…");
        assert_eq!(shown(&"x".repeat(10_000), 24).chars().count(), 24);
    }
}
