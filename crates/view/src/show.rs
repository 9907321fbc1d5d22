//! How text, times and numbers are shown to people, on a terminal and in a picture.
//!
//! Text from outside (species, keys, formulas) goes through [`text`], whole payloads through [`payload`] or
//! [`json`]. Escapes for markup (`<`, `&`) are not made here: they belong to whoever writes the markup.

use weir_events::EventTime;

/// The text, with every character escaped that moves the cursor, is invisible or changes the
/// direction of writing, and cut with `…` to at most `chars` characters.
pub fn text(text: &str, chars: usize) -> String {
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

/// A payload as one line of text: escaped as by [`text`], and bytes that are no UTF-8 as `\xff`.
pub fn payload(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(&text(chunk.valid(), usize::MAX));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// A JSON object as one line that means the same, with escapes for what [`text`] escapes; none for anything
/// else. Numbers keep their digits.
pub fn json(bytes: &[u8]) -> Option<String> {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes).ok()?;
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            // Between tokens: within strings JSON has escapes for them.
            '\n' | '\r' | '\t' => out.push(' '),
            _ if char.is_ascii() && char != '\u{7f}' => out.push(char),
            _ if char.escape_debug().count() == 1 => out.push(char),
            _ => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    Some(out)
}

/// A number with five significant digits.
pub fn significant(value: f64) -> String {
    let digits = format!("{value:.4e}");
    match digits.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()) {
        Some(exponent @ -4..=4) => {
            let decimals = usize::try_from(4 - exponent).expect("the exponent is at most four");
            format!("{value:.decimals$}")
        }
        _ => digits,
    }
}

/// A number in few characters, for an axis: at most four significant digits, and no zeros behind the point.
pub fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&value.abs()) {
        return format!("{value:.1e}");
    }
    let text = significant(value);
    let cut = if value.abs() >= 100.0 { format!("{value:.0}") } else { text };
    if !cut.contains('.') {
        return cut;
    }
    cut.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `2026-01-05 08:02:00`, in UTC.
pub fn instant(time: EventTime) -> String {
    let (date, clock) = date_and_clock(time);
    format!("{date} {clock}")
}

/// `2026-01-05`, in UTC.
pub fn date(time: EventTime) -> String {
    date_and_clock(time).0
}

/// `08:02:00`, in UTC.
pub fn time_of_day(time: EventTime) -> String {
    date_and_clock(time).1
}

fn date_and_clock(time: EventTime) -> (String, String) {
    let whole = time.to_string();
    let (date, clock) = whole.split_once('T').expect("RFC 3339 has a T before the time of day");
    (date.to_owned(), clock.chars().take(8).collect())
}

/// A count with its thousands set apart: `100,000`.
pub fn count(number: u64) -> String {
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
    use super::{
        EventTime, count, date, instant, json, payload, short, significant, text as shown,
        time_of_day,
    };

    #[test]
    fn times_and_counts() {
        let time: EventTime = "2026-01-05T09:02:00.5+01:00".parse().expect("a time");
        assert_eq!(time_of_day(time), "08:02:00");
        assert_eq!(date(time), "2026-01-05");
        assert_eq!(instant(time), "2026-01-05 08:02:00");
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

    #[test]
    fn numbers_have_five_digits() {
        let check = |value, expected: &str| assert_eq!(significant(value), expected);
        check(0.048_297_858, "0.048298");
        check(-2.005_652_9, "-2.0057");
        check(12_345.67, "12346");
        check(0.0, "0.0000");
        check(1.234_567e-7, "1.2346e-7");
        check(9.999_999e12, "1.0000e13");
    }

    #[test]
    fn numbers_of_an_axis_are_short() {
        let check = |value, expected: &str| assert_eq!(short(value), expected);
        check(0.0, "0");
        check(0.15, "0.15");
        check(2.5, "2.5");
        check(5000.0, "5000");
        check(-120.4, "-120");
        check(1.25e7, "1.2e7");
        check(4e-5, "4.0e-5");
    }

    #[test]
    fn payloads_are_one_line() {
        assert_eq!(payload(b"{\"a\": 1}"), "{\"a\": 1}");
        assert_eq!(payload("a\n\u{1b}[2J\u{202e}ü".as_bytes()), "a\\n\\u{1b}[2J\\u{202e}ü");
        assert_eq!(payload(b"a\xff\x00b"), "a\\xff\\0b");
    }

    #[test]
    fn json_stays_what_it_means() {
        let check = |from: &str, to: &str| {
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect(text);
            assert_eq!(json(from.as_bytes()).as_deref(), Some(to));
            assert_eq!(value(from), value(to));
        };
        check("{\"a\":0.30000000000000004,\"b\":1e2}", "{\"a\":0.30000000000000004,\"b\":1e2}");
        check("{\n\t\"a\": \"x\\ny\"\r\n}\n", "{  \"a\": \"x\\ny\"  }");
        check("{\"Art\":\"Hecht \u{fc}\"}", "{\"Art\":\"Hecht \u{fc}\"}");
        check(
            "{\"a\":\"\u{7f}\u{9b}2J\u{202e}\u{e0001}\"}",
            "{\"a\":\"\\u007f\\u009b2J\\u202e\\udb40\\udc01\"}",
        );
        for no_object in [&b"[1]"[..], b"7", b"{", b"", b"{\"a\":\"\xff\"}"] {
            assert_eq!(json(no_object), None);
        }
    }
}
