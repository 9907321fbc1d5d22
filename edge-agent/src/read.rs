//! Lines of a file, as a machine writes them.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;
use weir_events::EventKind;
use weir_service::{Clock as _, SystemClock};

use crate::sampler::{AnySampler, Event, Position, SampleError};

const POLL: Duration = Duration::from_millis(100);

/// Reads a file of JSON lines.
pub(crate) fn file(path: &Path, follow: bool, resume: Position) -> Result<AnySampler, SampleError> {
    let failed = |source| SampleError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let resumes = resume.source == metadata.ino() && resume.offset <= metadata.len();
    let offset = if resumes { resume.offset } else { 0 };
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let (sender, receiver) = mpsc::channel(256);
    let path: PathBuf = path.to_owned();
    std::thread::spawn(move || {
        let position = Position { source: metadata.ino(), offset };
        if let Err(source) = lines(BufReader::new(file), follow, position, &sender) {
            // Nobody listens any more: the run has ended.
            drop(sender.blocking_send(Err(SampleError::Read { path, source })));
        }
    });
    Ok(Box::pin(stream::unfold(receiver, async |mut receiver| {
        let event = receiver.recv().await?;
        Some((event, receiver))
    })))
}

fn lines(
    mut file: BufReader<File>,
    follow: bool,
    mut position: Position,
    sender: &mpsc::Sender<Result<Event, SampleError>>,
) -> std::io::Result<()> {
    let mut line = Vec::new();
    loop {
        let read = file.read_until(b'\n', &mut line)?;
        if read == 0 || !line.ends_with(b"\n") {
            if !follow {
                return Ok(());
            }
            std::thread::sleep(POLL);
            continue;
        }
        position.offset += line.len() as u64;
        let payload = Bytes::copy_from_slice(line.trim_ascii());
        line.clear();
        if payload.is_empty() {
            continue;
        }
        let (kind, at) = (EventKind::Measurement, SystemClock.now());
        if sender.blocking_send(Ok(Event { kind, payload, at, position })).is_err() {
            return Ok(());
        }
    }
}
