//! Standard output of commands that print much: a reader that has seen enough is no error.

use std::io::{self, StdoutLock};

use anstream::AutoStream;
use anyhow::Context as _;

/// Standard output for people: colours reach a terminal, and nothing else. JSON has none.
pub(crate) fn stdout() -> AutoStream<StdoutLock<'static>> {
    anstream::stdout().lock()
}

/// Whether somebody still reads what is printed; `weir tail | head` is an ordinary end.
///
/// # Errors
/// If the output cannot be written for another reason, for example because a disk is full.
pub(crate) fn is_read(written: io::Result<()>) -> anyhow::Result<bool> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.context("write to standard output").map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_pipe_is_an_ordinary_end() {
        let failed = |kind| is_read(Err(io::Error::from(kind)));
        assert!(is_read(Ok(())).expect("written"));
        assert!(!failed(io::ErrorKind::BrokenPipe).expect("no error"));
        assert!(failed(io::ErrorKind::StorageFull).is_err());
    }
}
