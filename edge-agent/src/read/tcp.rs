//! Lines from connections to a port.
//!
//! One task accepts and owns the tasks of its clients; the stream owns the one. All clients send into one bounded channel:
//! while nothing is taken from it, nothing is read from them, and TCP holds them back. The lines of a client stay in
//! order. There is no answer to a line, so a client cannot know what was taken when the agent dies.
//!
//! A line that is not finished when its client closes is a line. When the connection breaks, or was idle for too long, it
//! is not: the half of a number is a number. That is said, with the count of bytes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::cutter::Cutter;
use super::form::Form;
use super::options::TcpSource;
use super::{AHEAD, OpenError, Yielded, received};
use crate::sampler::{AnySampler, Position};

/// After a connection could not be accepted, mostly for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens on a port.
pub(super) fn open(source: &TcpSource, form: &Form) -> Result<AnySampler, OpenError> {
    let error = |error| OpenError::Listen { address: source.address.clone(), source: error };
    let listener = listen(&source.address).map_err(error)?;
    let address = listener.local_addr().map_err(error)?;
    tracing::info!(%address, "listening for lines");
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "whoever reaches this port can send events");
    }
    let (events, taken) = mpsc::channel(AHEAD);
    let mut owned = JoinSet::new();
    owned.spawn(accept(listener, source.clone(), form.clone(), events));
    Ok(received(taken, owned))
}

fn listen(address: &str) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Accepts clients while there are fewer than allowed. Never ends.
async fn accept(
    listener: TcpListener,
    source: TcpSource,
    form: Form,
    events: mpsc::Sender<Yielded>,
) {
    let clients_max = usize::from(source.clients_max);
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if clients.len() < clients_max => match accepted {
                Ok((socket, peer)) => {
                    clients.spawn(serve(socket, peer, source.idle, form.clone(), events.clone()));
                    tracing::info!(%peer, clients = clients.len(), "a client has connected");
                    if clients.len() == clients_max {
                        tracing::warn!(clients_max, "as many clients as allowed: others have to wait");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a client could not be accepted");
                    sleep(PAUSE).await;
                }
            },
            Some(ended) = clients.join_next(), if !clients.is_empty() => report(ended),
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a client's task failed; what it held is lost");
    }
}

async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    idle: Option<Duration>,
    form: Form,
    events: mpsc::Sender<Yielded>,
) {
    let mut cutter = Cutter::new(form.bytes_max());
    match drain(BufReader::new(socket), idle, &mut cutter, form, &events).await {
        Ok(lines) => tracing::info!(%peer, lines, "a client has closed its connection"),
        Err(error) => {
            let unfinished = cutter.discard();
            tracing::warn!(%peer, %error, unfinished, "a client's connection was lost; its unfinished line is not taken");
        }
    }
}

/// Sends every line as an event, until the input ends or nobody takes events. Says how many.
async fn drain<I: AsyncBufRead + Unpin>(
    mut input: I,
    idle: Option<Duration>,
    cutter: &mut Cutter,
    mut form: Form,
    events: &mpsc::Sender<Yielded>,
) -> io::Result<u64> {
    let mut lines = 0;
    loop {
        let chunk = match idle {
            Some(idle) => timeout(idle, input.fill_buf()).await.map_err(io::Error::from)?,
            None => input.fill_buf().await,
        }?;
        let ended = chunk.is_empty();
        let line = if ended {
            cutter.rest()
        } else {
            let (used, line) = cutter.cut(chunk);
            input.consume(used);
            line
        };
        if let Some(event) = line.and_then(|line| form.read(line, Position::default())) {
            lines += 1;
            if events.send(Ok(event)).await.is_err() {
                return Ok(lines);
            }
        }
        if ended {
            return Ok(lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::form::tests::form;
    use crate::read::{EventChoice, Format};
    use futures_util::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A port with a task that accepts, and what it yields.
    fn listening(clients_max: u16, idle: Option<Duration>) -> (SocketAddr, AnySampler) {
        let form = form(Format::Json, &[], EventChoice::Auto);
        let source = TcpSource { address: "127.0.0.1:0".into(), clients_max, idle };
        let listener = listen(&source.address).expect("a port");
        let address = listener.local_addr().expect("bound");
        let (events, taken) = mpsc::channel(1);
        let mut owned = JoinSet::new();
        owned.spawn(accept(listener, source, form, events));
        (address, received(taken, owned))
    }

    async fn connect(address: SocketAddr) -> TcpStream {
        TcpStream::connect(address).await.expect("connected")
    }

    async fn send(client: &mut TcpStream, text: &str) {
        client.write_all(text.as_bytes()).await.expect("sent");
    }

    async fn next(sampler: &mut AnySampler) -> String {
        let event = timeout(PATIENCE, sampler.next()).await.expect("in time").expect("never ends");
        String::from_utf8_lossy(&event.expect("no error").payload).into_owned()
    }

    #[tokio::test]
    async fn lines_of_a_client_stay_in_order_and_the_last_needs_no_end() {
        let (address, mut sampler) = listening(2, None);
        let [mut one, mut other] = [connect(address).await, connect(address).await];
        send(&mut one, "a1\r\n\na2\na").await;
        send(&mut other, "b1\nb2\n").await;
        send(&mut one, "3").await;
        one.shutdown().await.expect("closed");
        let mut lines = Vec::new();
        while lines.len() < 5 {
            lines.push(next(&mut sampler).await);
        }
        lines.sort_by_key(|line| line.as_bytes()[0]);
        assert_eq!(lines, ["a1", "a2", "a3", "b1", "b2"]);
    }

    /// Half a line could be a whole one with another number in it.
    #[tokio::test]
    async fn half_a_line_of_a_silent_or_broken_client_is_none() {
        let (address, mut sampler) = listening(1, Some(Duration::from_millis(20)));
        let mut client = connect(address).await;
        send(&mut client, "whole\nhal").await;
        assert_eq!(next(&mut sampler).await, "whole");
        assert_eq!(client.read(&mut [0; 1]).await.expect("closed"), 0, "it was idle");
        let mut client = connect(address).await;
        send(&mut client, "next\n").await;
        assert_eq!(next(&mut sampler).await, "next");
    }

    #[tokio::test]
    async fn a_client_too_many_waits_and_loses_nothing() {
        let (address, mut sampler) = listening(1, None);
        let mut one = connect(address).await;
        send(&mut one, "1\n").await;
        assert_eq!(next(&mut sampler).await, "1");
        let mut other = connect(address).await;
        send(&mut other, "3\n").await;
        send(&mut one, "2").await;
        drop(one);
        assert_eq!(next(&mut sampler).await, "2");
        assert_eq!(next(&mut sampler).await, "3");
    }

    /// A client that is not read notices it: its own system takes only so much.
    #[tokio::test]
    async fn a_client_is_held_back_and_let_go_with_the_stream() {
        let (address, mut sampler) = listening(1, None);
        let mut client = connect(address).await;
        send(&mut client, "first\n").await;
        assert_eq!(next(&mut sampler).await, "first");
        let line = format!("{}\n", "x".repeat(100));
        let endless = async {
            loop {
                client.write_all(line.as_bytes()).await?;
            }
        };
        let result: Result<io::Result<()>, _> = timeout(Duration::from_millis(300), endless).await;
        assert!(result.is_err(), "nobody reads, and still it writes");
        for _ in 0..1_000 {
            assert_eq!(next(&mut sampler).await.len(), 100);
        }
        drop(sampler);
        let ended = timeout(PATIENCE, client.read(&mut [0; 1])).await.expect("in time");
        assert!(matches!(ended, Err(_) | Ok(0)), "the connection has ended");
    }
}
