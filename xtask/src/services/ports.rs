//! Free ports of the loopback, for servers that must be told theirs.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};

/// Ports that nobody uses now, and that this process has not given out before. They must be said to a server
/// before it takes them, so that somebody else may be faster: its start then fails.
pub(super) fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ports = [0; COUNT];
    let mut listeners = Vec::new();
    for port in &mut ports {
        while !given.insert(*port) || *port == 0 {
            let listener =
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
            *port = listener.local_addr().context("find a free port")?.port();
            // Kept until all are found.
            listeners.push(listener);
        }
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_given_out_once() {
        let first = free_ports::<20>().unwrap();
        let second = free_ports::<20>().unwrap();
        let all: BTreeSet<u16> = first.into_iter().chain(second).collect();
        assert_eq!(all.len(), 40);
        assert!(!all.contains(&0));
    }
}
