//! Standard input, and whatever else is read once from front to back.
//!
//! A thread of its own reads: a pipe cannot be polled everywhere. It ends with its input, or at the next line when nobody
//! takes events any more; a process that ends does not wait for it.

use std::io::{BufRead, ErrorKind};
use std::path::PathBuf;

use tokio::sync::mpsc;

use super::cutter::Cutter;
use super::form::Form;
use super::{AHEAD, Yielded, received};
use crate::sampler::{AnySampler, Position, SampleError};

/// Reads standard input.
pub(super) fn open(form: Form) -> AnySampler {
    let (events, taken) = mpsc::channel(AHEAD);
    std::thread::Builder::new()
        .name("read-stdin".to_owned())
        .spawn(move || drain(std::io::stdin().lock(), form, &events))
        .expect("a process that starts can start a thread");
    received(taken, ())
}

/// Sends every line as an event, until the input ends or nobody takes events.
fn drain(mut input: impl BufRead, mut form: Form, events: &mpsc::Sender<Yielded>) {
    let mut cutter = Cutter::new(form.bytes_max());
    loop {
        let (line, ended) = match input.fill_buf() {
            Ok([]) => (cutter.rest(), true),
            Ok(chunk) => {
                let (used, line) = cutter.cut(chunk);
                input.consume(used);
                (line, false)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(source) => {
                let path = PathBuf::from("standard input");
                // If nobody hears it, nobody reads on either.
                let _unheard = events.blocking_send(Err(SampleError::Read { path, source }));
                return;
            }
        };
        let event = line.and_then(|line| form.read(line, Position::default()));
        if event.is_some_and(|event| events.blocking_send(Ok(event)).is_err()) || ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::form::tests::form;
    use crate::read::{EventChoice, Format};
    use futures_util::StreamExt as _;
    use std::io::{BufReader, Read};

    /// An input of three bytes at a time that breaks at its end, or does not.
    struct Broken<'a>(&'a [u8], bool);

    impl Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() && self.1 {
                return Err(std::io::Error::other("broken"));
            }
            let room = buffer.len().min(3);
            self.0.read(&mut buffer[..room])
        }
    }

    async fn lines(input: Broken<'static>) -> (Vec<String>, bool) {
        let (events, taken) = mpsc::channel(1);
        let form = form(Format::Json, &[], EventChoice::Auto);
        let thread = std::thread::spawn(move || drain(BufReader::new(input), form, &events));
        let events: Vec<_> = received(taken, ()).collect().await;
        thread.join().expect("no panic");
        let is_whole = events.iter().all(Result::is_ok);
        let text =
            |event: Yielded| Some(String::from_utf8_lossy(&event.ok()?.payload).into_owned());
        (events.into_iter().filter_map(text).collect(), is_whole)
    }

    #[tokio::test]
    async fn an_input_ends_with_its_last_line_or_with_its_error() {
        let text = b"{\"a\":1}\r\n\n  \nnonsense\nlast";
        let (read, is_whole) = lines(Broken(text, false)).await;
        assert_eq!(
            (read, is_whole),
            (["{\"a\":1}", "nonsense", "last"].map(Into::into).to_vec(), true)
        );
        // Whether the last line was complete nobody knows.
        let (read, is_whole) = lines(Broken(text, true)).await;
        assert_eq!((read.len(), is_whole), (2, false));
    }

    #[test]
    fn nothing_is_read_for_nobody() {
        let (events, taken) = mpsc::channel(1);
        drop(received(taken, ()));
        let endless = BufReader::new(std::io::repeat(b'\n').chain(&b""[..]));
        let lines = std::io::Cursor::new(b"a\n".repeat(10)).chain(endless);
        drain(lines, form(Format::Json, &[], EventChoice::Auto), &events);
    }
}
