//! A server that speaks MongoDB's protocol, plain and over TLS: `mongod` where there is one, else FerretDB,
//! which keeps its data in SQLite and is built here from its Go module. Neither asks who its clients are.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::folder::{Folder, private_folder};
use super::home::Home;
use super::ports::free_ports;
use crate::tools;

/// For one question to a server that runs.
const ANSWER: Duration = Duration::from_secs(5);

/// Builds FerretDB, unless it is not needed or was built before.
pub(super) fn prepare(home: &Home) -> Result<()> {
    if has_mongod() {
        return Ok(());
    }
    let sources = home.sources("ferretdb");
    let inputs = ["main.go", "go.mod", "go.sum"].map(|file| sources.join(file));
    home.prepare_once("ferretdb", &inputs, |folder| {
        let mut command = tools::command("go");
        // Its SQLite is Go: no C compiler is needed.
        command.current_dir(&sources).env("CGO_ENABLED", "0");
        command.args(["build", "-mod=readonly", "-o"]).arg(folder).arg(".");
        command
    })
}

/// Starts it. Returns the URIs of the plain and of the TLS listener.
pub(super) fn start(home: &Home, folder: &Folder) -> Result<Vec<String>> {
    let [plain, tls] = free_ports()?;
    private_folder(&folder.path("data"))?;
    let address = |port: u16| format!("127.0.0.1:{port}");
    let tls = if has_mongod() {
        folder.start("mongod", &mut mongod(home, folder, plain)?)?;
        plain
    } else {
        let mut command = Command::new(ferretdb(home));
        command.args(["-plain", &address(plain), "-tls", &address(tls)]);
        command.arg("-certificate").arg(home.secrets.file("server.pem"));
        command.arg("-key").arg(home.secrets.file("server.key"));
        folder.start("ferretdb", command.args(["-data", "data"]))?;
        tls
    };
    folder.await_answer(|| says_hello(plain).is_ok_and(|said| said))?;
    Ok(vec![
        format!("mongodb://{}/", address(plain)),
        format!("mongodb://{}/?tls=true", address(tls)),
    ])
}

pub(super) fn has_mongod() -> bool {
    tools::find("mongod").is_some()
}

fn ferretdb(home: &Home) -> PathBuf {
    home.prepared("ferretdb").join("ferretdb")
}

/// One port serves both. Alone, not as a replica set: its writes are durable all the same.
fn mongod(home: &Home, folder: &Folder, port: u16) -> Result<Command> {
    let certificate = home.secrets.text("server.pem")? + &home.secrets.text("server.key")?;
    let certificate = folder.write("server.pem", &certificate)?;
    let mut command = tools::command("mongod");
    command.args(["--bind_ip", "127.0.0.1", "--port", &port.to_string(), "--dbpath", "data"]);
    command.args(["--wiredTigerCacheSizeGB", "0.25", "--nounixsocket"]);
    command.args(["--tlsMode", "preferTLS", "--tlsAllowConnectionsWithoutCertificates"]);
    command.arg("--tlsCertificateKeyFile").arg(certificate);
    command.arg("--tlsCAFile").arg(home.secrets.file("ca.pem"));
    Ok(command)
}

/// Whether a server on this port answers the command `hello`.
fn says_hello(port: u16) -> Result<bool> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER).context("connect")?;
    stream.set_read_timeout(Some(ANSWER)).context("set a time limit")?;
    stream.write_all(&hello()).context("ask")?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).context("read the length of the answer")?;
    let rest = u64::from(u32::from_le_bytes(length)).saturating_sub(4);
    let mut answer = Vec::new();
    stream.take(rest).read_to_end(&mut answer).context("read the answer")?;
    let field = b"maxWireVersion";
    Ok(answer.windows(field.len()).any(|window| window == field))
}

/// `{hello: 1, $db: "admin"}` as a message of MongoDB's wire protocol (OP_MSG).
fn hello() -> Vec<u8> {
    const OP_MSG: u32 = 2013;
    let elements = b"\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";
    let document_bytes = (4 + elements.len()) as u32;
    let message_bytes = 16 + 4 + 1 + document_bytes;
    let mut message = Vec::new();
    // Header: length, number, number of what it answers, kind; then flags, and one section of kind 0.
    for number in [message_bytes, 1, 0, OP_MSG, 0] {
        message.extend(number.to_le_bytes());
    }
    message.push(0);
    message.extend(document_bytes.to_le_bytes());
    message.extend(elements);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hello_is_as_long_as_it_says() {
        let hello = hello();
        let number = |at: usize| u32::from_le_bytes(hello[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(number(0), hello.len());
        assert_eq!(number(21), hello.len() - 21);
        assert_eq!(hello.last(), Some(&0));
    }
}
