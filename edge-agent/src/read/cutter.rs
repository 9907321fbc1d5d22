//! Bytes to lines, with bounded memory.
//!
//! A line ends with `\n`, and may end with `\r\n`; blank lines up to the limit are none. Of a line above the limit as much is kept as
//! shows that it is above the limit: one byte more. The rest is counted and forgotten, and the next line is fine.

use bytes::Bytes;

/// Cuts lines out of chunks. Holds what has come of the present line.
#[derive(Debug)]
pub(super) struct Cutter {
    line: Vec<u8>,
    keep: usize,
    length: u64,
}

impl Cutter {
    /// A cutter of lines of at most so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { line: Vec::new(), keep: bytes_max.saturating_add(1), length: 0 }
    }

    /// Takes bytes up to and including the first line end. Says how many, and the line unless it is blank.
    pub(super) fn cut(&mut self, chunk: &[u8]) -> (usize, Option<Bytes>) {
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        self.length += part.len() as u64;
        let room = self.keep - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        match end {
            Some(end) => (end + 1, self.finish()),
            None => (chunk.len(), None),
        }
    }

    /// The last line of an input that has ended, if no line end closed it.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        self.finish()
    }

    /// Forgets the present line, and says how long it had become.
    pub(super) fn discard(&mut self) -> u64 {
        self.line.clear();
        std::mem::take(&mut self.length)
    }

    fn finish(&mut self) -> Option<Bytes> {
        let is_whole = self.length == self.line.len() as u64;
        let mut line = self.line.as_slice();
        // A line that was cut off does not end here, whatever its last byte is.
        if is_whole {
            line = line.strip_suffix(b"\r").unwrap_or(line);
        }
        let is_line = line.len() == self.keep || !line.trim_ascii().is_empty();
        let kept = is_line.then(|| Bytes::copy_from_slice(line));
        self.discard();
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 6;

    fn cut_up(input: &[u8], sizes: &[usize]) -> Vec<Bytes> {
        let (mut cutter, mut lines) = (Cutter::new(LIMIT), Vec::new());
        let mut rest = input;
        for size in sizes.iter().cycle() {
            let (mut chunk, behind) = rest.split_at((*size).min(rest.len()));
            while !chunk.is_empty() {
                let (used, line) = cutter.cut(chunk);
                lines.extend(line);
                chunk = &chunk[used..];
            }
            rest = behind;
            assert!(cutter.line.capacity() <= 16, "memory grows with the line");
            if rest.is_empty() {
                break;
            }
        }
        lines.extend(cutter.rest());
        lines
    }

    /// The same from the whole input.
    fn oracle(input: &[u8]) -> Vec<Bytes> {
        let mut lines: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
        lines.iter_mut().for_each(|line| *line = line.strip_suffix(b"\r").unwrap_or(line));
        let shown = |line: &[u8]| Bytes::copy_from_slice(&line[..line.len().min(LIMIT + 1)]);
        lines
            .into_iter()
            .filter(|line| !line.trim_ascii().is_empty() || line.len() > LIMIT)
            .map(shown)
            .collect()
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(
            input in proptest::collection::vec(prop::sample::select(b"ab \r\n".to_vec()), 0..200),
            sizes in proptest::collection::vec(1..9_usize, 1..9),
        ) {
            let (lines, expected) = (cut_up(&input, &sizes), oracle(&input));
            prop_assert_eq!(lines.len(), expected.len());
            for (line, expected) in lines.iter().zip(&expected) {
                // Of a line above the limit only its being so matters.
                if expected.len() <= LIMIT {
                    prop_assert_eq!(line, expected);
                } else {
                    prop_assert_eq!(line.len(), LIMIT + 1);
                }
            }
        }
    }

    /// Cut off before its `\r`, the long line would have become one of exactly the limit.
    #[test]
    fn a_carriage_return_at_the_limit_hides_nothing() {
        assert_eq!(cut_up(b"abcdef\rgh\nx\n", &[100]), ["abcdef\r", "x"]);
        assert_eq!(cut_up(b"abcdef\r\nx", &[100]), ["abcdef", "x"]);
    }
}
