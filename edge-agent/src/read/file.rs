//! A file, on a thread of its own.
//!
//! The thread asks the [`Follower`], sends what it finds through a bounded channel, and looks again after a pause when
//! there is nothing. It ends within that pause when nobody takes events any more.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use super::follow::{Follower, Start, Step};
use super::form::Form;
use super::options::{FileSource, From};
use super::{AHEAD, OpenError, Yielded, received};
use crate::sampler::{AnySampler, Position, SampleError};

/// Reads a file. One that is followed may come later; all else is said at once.
pub(super) fn open(
    source: &FileSource,
    form: Form,
    resume: Position,
) -> Result<AnySampler, OpenError> {
    check(source)?;
    let start = match source.from {
        _ if resume != Position::default() => Start::Behind(resume),
        From::Start => Start::First,
        From::End => Start::End,
    };
    let reader = Reader {
        follower: Follower::new(&source.path, source.follow, start, form),
        path: source.path.clone(),
        poll: source.follow.then_some(source.poll),
    };
    let (events, taken) = mpsc::channel(AHEAD);
    std::thread::Builder::new()
        .name("read-file".to_owned())
        .spawn(move || reader.run(&events))
        .expect("a process that starts can start a thread");
    Ok(received(taken, ()))
}

fn check(source: &FileSource) -> Result<(), OpenError> {
    let path = || source.path.clone();
    match source.path.metadata() {
        Ok(file) if !file.is_file() => return Err(OpenError::NotAFile { path: path() }),
        Err(error) if source.follow && error.kind() == io::ErrorKind::NotFound => {
            tracing::warn!(path = %source.path.display(), "the file is not there yet; waiting for it");
            return Ok(());
        }
        _ => {}
    }
    let opened = File::open(&source.path).map(drop);
    opened.map_err(|source| OpenError::File { path: path(), source })
}

struct Reader {
    follower: Follower,
    path: PathBuf,
    /// The pause between two looks, if there is to be more than one.
    poll: Option<Duration>,
}

impl Reader {
    fn run(mut self, events: &mpsc::Sender<Yielded>) {
        let mut is_broken = false;
        loop {
            let step = self.follower.step();
            if is_broken && step.is_ok() {
                tracing::info!(path = %self.path.display(), "the file can be read again");
                is_broken = false;
            }
            let pause = match (step, self.poll) {
                (Ok(Step::Event(event)), _) => {
                    if events.blocking_send(Ok(event)).is_err() {
                        return;
                    }
                    continue;
                }
                (Ok(Step::End), _) | (Ok(Step::Idle), None) => return,
                (Ok(Step::Idle), Some(pause)) => pause,
                (Err(source), None) => {
                    let path = self.path;
                    // If nobody hears it, nobody reads on either.
                    let _unheard = events.blocking_send(Err(SampleError::Read { path, source }));
                    return;
                }
                (Err(error), Some(pause)) => {
                    if !is_broken {
                        tracing::warn!(path = %self.path.display(), %error, "the file cannot be read; trying again");
                    }
                    is_broken = true;
                    pause
                }
            };
            if events.is_closed() {
                return;
            }
            std::thread::sleep(pause);
        }
    }
}
