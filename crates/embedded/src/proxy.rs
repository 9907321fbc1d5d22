//! A TCP proxy that does to connections what networks do: cuts them, lets none through for a while, goes silent, delays,
//! slices and resets.
//!
//! For tests. It listens on a free loopback port and ends when it is dropped. What is random in it follows from a seed, but
//! not when the bytes come.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// How a network behaves, in both directions.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Weather {
    /// How long bytes are under way, at least.
    pub latency: Duration,
    /// How much longer they may be: evenly drawn. Their order stays.
    pub jitter: Duration,
    /// The most bytes that arrive at once; 0 for as many as come.
    pub slice: usize,
    /// How many of a thousand chunks end the connection with a reset.
    pub resets_per_mille: u64,
    /// Nothing arrives, and nobody is told: the other side is gone, or a firewall has forgotten the connection.
    pub silent: bool,
}

/// Is shown what clients send, before it goes on: the number of the connection, from 0, and the next bytes.
pub type Tap = Arc<dyn Fn(u64, &[u8]) + Send + Sync>;

/// How often the connections were cut, and whether new ones are let through.
#[derive(Clone, Copy, Debug)]
struct Door {
    cuts: u64,
    open: bool,
}

/// Forwards connections to another address.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    door: watch::Sender<Door>,
    weather: watch::Sender<Weather>,
    connections: Arc<AtomicU64>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        Self::tapped(target, Arc::new(|_, _| {})).await
    }

    /// The same, with a tap: for tests of what must, or must not, be seen on the wire.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn tapped(target: SocketAddr, tap: Tap) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let door = watch::Sender::new(Door { cuts: 0, open: true });
        let weather = watch::Sender::new(Weather::default());
        let accepted = Arc::new(AtomicU64::new(0));
        let (door_seen, weather_seen) = (door.subscribe(), weather.subscribe());
        let count = Arc::clone(&accepted);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let (weather, tap) = (weather_seen.clone(), Arc::clone(&tap));
                let route = Route { target, weather, number, tap };
                connections.spawn(route.forward(client, door_seen.clone()));
                // Connections that have ended are forgotten.
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, door, weather, connections: accepted, _accepting: accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Closes every connection there is now; what is under way is lost.
    pub fn cut(&self) {
        self.door.send_modify(|door| door.cuts += 1);
    }

    /// Closes every connection, and new ones as soon as they are made, until opened again.
    pub fn close(&self) {
        self.door.send_modify(|door| *door = Door { cuts: door.cuts + 1, open: false });
    }

    /// Lets connections through again.
    pub fn open(&self) {
        self.door.send_modify(|door| door.open = true);
    }

    /// Changes how the network behaves, for the connections there are and for new ones.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

/// From one client to the target.
struct Route {
    target: SocketAddr,
    weather: watch::Receiver<Weather>,
    number: u64,
    tap: Tap,
}

impl Route {
    async fn forward(self, client: TcpStream, mut door: watch::Receiver<Door>) {
        let Door { cuts, open: true } = *door.borrow_and_update() else { return };
        let Ok(server) = TcpStream::connect(self.target).await else { return };
        // Slices shall arrive as slices. Where it cannot be set they still do, later.
        drop((client.set_nodelay(true), server.set_nodelay(true)));
        let ((from_client, to_client), (from_server, to_server)) =
            (client.into_split(), server.into_split());
        let there = self.pump(from_client, to_server, 0);
        let back = self.pump(from_server, to_client, 1);
        tokio::select! {
            // A side that has ended ends the connection: our clients never half-close one.
            () = there => {}
            () = back => {}
            _ = door.wait_for(|door| door.cuts != cuts) => {}
        }
    }

    /// Carries bytes until one side ends, or a reset.
    async fn pump(&self, from: OwnedReadHalf, to: OwnedWriteHalf, direction: u64) {
        // What is under way; the bound is the network's, which holds the sender back.
        let (sender, receiver) = mpsc::channel(256);
        let seen = |bytes: &[u8]| {
            if direction == 0 {
                (self.tap)(self.number, bytes);
            }
        };
        tokio::select! {
            () = take(from, sender, self.weather.clone(), self.number * 2 + direction, seen) => {}
            () = give(to, receiver, self.weather.clone()) => {}
        }
    }
}

/// Bytes, and when they arrive.
type Chunk = (Instant, Vec<u8>);

/// Takes bytes from one side. Ends with it, after they have been given to the other, or with a reset.
async fn take(
    mut from: OwnedReadHalf,
    sender: mpsc::Sender<Chunk>,
    mut weather: watch::Receiver<Weather>,
    seed: u64,
    seen: impl Fn(&[u8]),
) {
    let (mut buffer, mut dice, mut last) = (vec![0; 16 * 1024], Dice(seed), Instant::now());
    loop {
        if weather.wait_for(|weather| !weather.silent).await.is_err() {
            return;
        }
        let Ok(count @ 1..) = from.read(&mut buffer).await else { break };
        seen(&buffer[..count]);
        let Weather { latency, jitter, slice, resets_per_mille, .. } = *weather.borrow();
        let size = if slice == 0 { count } else { slice };
        for chunk in buffer[..count].chunks(size) {
            if dice.below(1_000) < resets_per_mille {
                // Closing with unread bytes is a reset.
                return;
            }
            let extra = dice.below(u64::try_from(jitter.as_micros()).unwrap_or(u64::MAX) + 1);
            last = last.max(Instant::now() + latency + Duration::from_micros(extra));
            if sender.send((last, chunk.to_vec())).await.is_err() {
                return;
            }
        }
    }
    drop(sender);
    // `give` ends when all has arrived.
    std::future::pending::<()>().await;
}

/// Gives bytes to the other side when they are due.
async fn give(
    mut to: OwnedWriteHalf,
    mut receiver: mpsc::Receiver<Chunk>,
    mut weather: watch::Receiver<Weather>,
) {
    while let Some((due, bytes)) = receiver.recv().await {
        sleep_until(due).await;
        let calm = weather.wait_for(|weather| !weather.silent).await.is_ok();
        if !calm || to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Pseudo-random numbers (xorshift64*, Vigna 2016): a test's weather needs no better ones.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        let mut state = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0 = state;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent through a proxy with this weather, and comes back from an echo.
    async fn echoed(weather: Weather, bytes: usize) -> (Vec<u8>, Duration) {
        let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let tapped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&tapped);
        let tap: Tap = Arc::new(move |number, bytes| {
            assert!(number == 0 && bytes.iter().all(|byte| *byte == 7));
            count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        });
        let target = echo.local_addr().expect("bound");
        let proxy = Proxy::tapped(target, tap).await.expect("a port");
        tokio::spawn(async move {
            let (mut stream, _) = echo.accept().await.expect("a client");
            let (mut reads, mut writes) = stream.split();
            tokio::io::copy(&mut reads, &mut writes).await.ok();
        });
        proxy.set(weather);
        let began = Instant::now();
        let mut client = TcpStream::connect(proxy.address()).await.expect("reached");
        client.write_all(&vec![7; bytes]).await.expect("sent");
        let mut back = vec![0; bytes];
        let read = tokio::time::timeout(Duration::from_secs(5), client.read_exact(&mut back)).await;
        let back = if matches!(read, Ok(Ok(_))) { back } else { Vec::new() };
        // The way there only.
        assert!(back.is_empty() || tapped.load(Ordering::Relaxed) == bytes as u64);
        (back, began.elapsed())
    }

    #[tokio::test]
    async fn slices_and_latency_change_nothing_but_the_time() {
        let latency = Duration::from_millis(50);
        let weather = Weather { latency, jitter: latency, slice: 1, ..Weather::default() };
        let (back, took) = echoed(weather, 2_000).await;
        assert_eq!(back, vec![7; 2_000]);
        assert!(took >= 2 * latency, "{took:?}");
    }

    #[tokio::test]
    async fn resets_end_a_connection() {
        let weather = Weather { resets_per_mille: 1_000, ..Weather::default() };
        let (back, took) = echoed(weather, 10).await;
        assert!(back.is_empty() && took < Duration::from_secs(4), "{took:?}");
    }

    #[tokio::test]
    async fn a_silent_network_tells_nobody() {
        let (back, took) = echoed(Weather { silent: true, ..Weather::default() }, 10).await;
        assert!(back.is_empty() && took >= Duration::from_secs(5), "{took:?}");
    }
}
