//! What the environment says: servers that somebody else runs, and the secrets for them.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::secrets::Secrets;
use super::{SECRETS, Server};

/// What the environment says about a server, if it names one.
pub(super) fn named(server: Server) -> Result<Option<Vec<(String, String)>>> {
    let names = server.variables();
    let Some(address) = variable(names[0]) else { return Ok(None) };
    if answers(&address) {
        eprintln!("{}: {address}, as {} says", server.name(), names[0]);
        let value = |name: &&str| Some(((*name).to_owned(), variable(name)?));
        return Ok(Some(names.iter().filter_map(value).collect()));
    }
    if address.contains("127.0.0.1") {
        // Left over in a shell that evaluated what an earlier `up` printed.
        eprintln!("{}: nothing answers at {address} any more", server.name());
        return Ok(None);
    }
    bail!("reach {address}; start that server, or unset {}", names[0]);
}

/// Whether something listens at the first address of a list or URI.
fn answers(address: &str) -> bool {
    const PATIENCE: Duration = Duration::from_secs(5);
    let Ok(mut addresses) = host_and_port(address).to_socket_addrs() else { return false };
    addresses.any(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
}

fn host_and_port(address: &str) -> &str {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let address = address.split(['/', '?', ',']).next().unwrap_or(address);
    address.rsplit_once('@').map_or(address, |(_, rest)| rest)
}

pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The folder of the secrets that our servers have. Tests can read only one.
pub(super) fn own_secrets(secrets: &Secrets) -> Result<String> {
    let own = secrets.folder();
    if let Some(named) = variable(SECRETS).filter(|named| Path::new(named) != own) {
        bail!(
            "use the secrets in {named}: the servers to be started have others; unset {SECRETS}, or \
             name all secured servers too"
        );
    }
    own.to_str().map(str::to_owned).context("use a path that is UTF-8")
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn the_address_is_found_in_every_kind_of_variable() {
        for (value, address) in [
            ("127.0.0.1:9092", "127.0.0.1:9092"),
            ("a:1,b:2,c:3", "a:1"),
            ("mongodb://127.0.0.1:27017/?tls=true", "127.0.0.1:27017"),
            ("mongodb://user:pw@a:1,b:2/db", "a:1"),
        ] {
            assert_eq!(host_and_port(value), address);
        }
    }

    #[test]
    fn something_that_listens_answers() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert!(answers(&format!("mongodb://{address}/")));
        drop(listener);
        assert!(!answers(&address));
        assert!(!answers("no address"));
    }
}
