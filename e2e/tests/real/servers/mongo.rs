//! The MongoDB-protocol server, asked with bytes; over TLS through OpenSSL's own client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use weir_e2e::process::PATIENCE;
use weir_e2e::servers::{MONGODB, MONGODB_TLS, address};

use super::secret_path;

/// The command `{hello: 1, $db: "admin"}` as an OP_MSG.
const HELLO: &[u8] = b"\x34\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\
    \x1f\0\0\0\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";

/// `host:port` of a `mongodb://` URI.
fn host_and_port(uri: &str) -> &str {
    let rest = uri.strip_prefix("mongodb://").expect("a mongodb:// URI");
    rest.split('/').next().expect("host and port")
}

/// Asks, and reads the whole answer. Whether it is one.
fn says_hello(mut to: impl Write, mut from: impl Read) -> bool {
    let mut length = [0; 4];
    let asked = to.write_all(HELLO).and_then(|()| to.flush());
    if asked.and_then(|()| from.read_exact(&mut length)).is_err() {
        return false;
    }
    let mut answer = vec![0; u32::from_le_bytes(length) as usize - 4];
    from.read_exact(&mut answer).expect("the whole answer");
    answer.windows(14).any(|window| window == b"maxWireVersion")
}

/// The same over TLS, trusting one authority.
fn says_hello_over_tls(authority: &str) -> bool {
    let uri = address(MONGODB_TLS);
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_return_error", "-verify_ip", "127.0.0.1"]);
    command.args(["-CAfile", &secret_path(authority), "-connect", host_and_port(&uri)]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = command.spawn().expect("openssl");
    let (to, from) = (client.stdin.take().expect("piped"), client.stdout.take().expect("piped"));
    let said = says_hello(to, from);
    // It may have ended by itself.
    drop(client.kill());
    client.wait().expect("waited for");
    said
}

#[test]
fn the_plain_listener_answers() {
    let uri = address(MONGODB);
    let stream = TcpStream::connect(host_and_port(&uri)).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    assert!(says_hello(&stream, &stream));
}

#[test]
fn the_tls_listener_has_a_certificate_of_the_authority() {
    assert!(says_hello_over_tls("ca.pem"));
    assert!(!says_hello_over_tls("other-ca.pem"));
}
