//! A TCP proxy that cuts its connections on command, or lets none through for a while, to see what that does
//! to a client.
//!
//! For tests. It listens on a free loopback port and ends when it is dropped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

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
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let door = watch::Sender::new(Door { cuts: 0, open: true });
        let watching = door.subscribe();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(forward(client, target, watching.clone()));
                // Connections that have ended are forgotten.
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, door, _accepting: accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
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
}

async fn forward(mut client: TcpStream, target: SocketAddr, mut door: watch::Receiver<Door>) {
    let Door { cuts, open: true } = *door.borrow_and_update() else { return };
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = door.wait_for(|door| door.cuts != cuts) => {}
    }
}
