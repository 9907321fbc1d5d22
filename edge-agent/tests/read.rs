//! The agent as a process that reads what other programs write: a shell that rotates a file, a pipe, a port.

mod everything;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use bytes::Bytes;
use everything::{PATIENCE, subscribe};
use tokio::sync::mpsc;
use tokio::time::timeout;
use weir_embedded::mqtt::EmbeddedMqtt;

/// A broker, and everything that is published to it.
struct Line {
    broker: EmbeddedMqtt,
    messages: mpsc::Receiver<(String, Bytes)>,
    state: tempfile::TempDir,
}

/// The agent with a spool in this folder. No bridge is here: the broker's acknowledgements stand for its own.
fn program(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-agent"));
    command.env("STATE_DIRECTORY", state).env("WEIR__DELIVERY__UNTIL", "broker");
    command
}

impl Line {
    async fn start() -> Self {
        let broker = EmbeddedMqtt::start().await.expect("broker");
        let messages = subscribe(&broker, "reader").await;
        let state = tempfile::tempdir().expect("a folder");
        Self { broker, messages, state }
    }

    fn agent(&self, arguments: &[&str]) -> Agent {
        let mut command = program(self.state.path());
        command.args(["--broker", &self.broker.address().to_string(), "read"]).args(arguments);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("the agent starts");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        Agent { child, log }
    }

    /// The next messages, as the topic's last level and the payload.
    async fn next(&mut self, count: usize) -> Vec<String> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let message = timeout(PATIENCE, self.messages.recv()).await;
            let (topic, payload) = message.expect("a message in time").expect("a subscriber");
            let word = topic.rsplit('/').next().unwrap_or_default();
            messages.push(format!("{word} {}", String::from_utf8_lossy(&payload)));
        }
        messages
    }
}

struct Agent {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Agent {
    /// The line of the log that holds a text.
    #[cfg(feature = "servers")]
    fn says(&mut self, text: &str) -> String {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            let read = self.log.read_line(&mut line).expect("a log");
            assert!(read > 0, "the agent has ended and never said {text:?}");
        }
        line
    }

    /// What it prints in the end.
    async fn ends(mut self) -> String {
        let wait = move || {
            // A full pipe would hold it.
            let log: Vec<String> = self.log.by_ref().lines().map_while(Result::ok).collect();
            let output = self.child.wait_with_output().expect("it ends");
            assert_eq!(output.status.code(), Some(0), "{}", log.join("\n"));
            String::from_utf8(output.stdout).expect("text")
        };
        tokio::task::spawn_blocking(wait).await.expect("no panic")
    }

    fn stop(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
    }
}

const WRITER: &str = r#"
number=0
while [ $number -lt 500 ]; do
    echo "{\"Fish_Id\":$number}" >>"$0"
    number=$((number + 1))
    [ $((number % 60)) -ne 0 ] || mv "$0" "$0-202601$((10 + number / 60))"
done
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_shell_rotates_arrives_whole_and_in_order() {
    let mut line = Line::start().await;
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("line.jsonl");
    let path = path.to_str().expect("a path in UTF-8");
    let write = |script: &str| {
        let status = Command::new("sh").args(["-c", script, path]).status().expect("a shell");
        assert!(status.success());
    };
    write("echo '{\"Weight\":1}' >\"$0\"");
    let agent = line.agent(&["file", path, "--follow", "--poll", "1ms"]);
    assert_eq!(line.next(1).await, ["weight {\"Weight\":1}"]);
    write(WRITER);
    let expected = |number| format!("measurement {{\"Fish_Id\":{number}}}");
    assert_eq!(line.next(500).await, (0..500).map(expected).collect::<Vec<_>>());
    agent.stop();
    let printed = agent.ends().await;
    assert!(printed.starts_with("found 0  taken 501  confirmed 501"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_ends_the_run_with_its_last_line() {
    let mut line = Line::start().await;
    let mut agent = line.agent(&["stdin", "--format", "csv", "--event", "target"]);
    let mut pipe = agent.child.stdin.take().expect("piped");
    let long = "x".repeat(100_000);
    let text =
        format!("weight,ID,Timestamp\r\n\r\n4.50,7,2026-01-05T08:00:00Z\r\n{long}\r\n,,,\r\n1,2,?");
    pipe.write_all(text.as_bytes()).expect("written");
    drop(pipe);
    let expected = [
        r#"weight {"Fish_Id":"7","Weight":4.50,"Timestamp":"2026-01-05T08:00:00Z"}"#,
        "weight ,,,",
        r#"weight {"Fish_Id":"2","Weight":1,"Timestamp":"?"}"#,
    ];
    assert_eq!(line.next(3).await, expected);
    let printed = agent.ends().await;
    assert!(printed.starts_with("found 0  taken 3  confirmed 3"), "{printed}");
    assert!(printed.contains("too large 1"), "{printed}");
}

#[test]
fn what_cannot_be_read_is_said_at_once() {
    let state = tempfile::tempdir().expect("a folder");
    let check = |arguments: &[&str], message: &str| {
        let mut command = program(state.path());
        let output = command.arg("read").args(arguments).output().expect("the agent runs");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {log}");
        assert!(log.contains(message), "{arguments:?}: {log}");
    };
    check(&["file", "/does/not/exist"], "/does/not/exist");
    check(&["file", "/dev/null", "--follow"], "it is not a file");
    check(&["stdin", "--columns", "a"], "--format csv");
    check(&["stdin", "--format", "csv", "--columns", "Fish_Id,Length"], "\"Species\"");
    check(&["tcp", "192.0.2.1:7000"], "listen on 192.0.2.1:7000");
}

/// Needs `nc`; without it the test fails (`cargo xtask tools` installs it).
#[cfg(feature = "servers")]
#[tokio::test(flavor = "multi_thread")]
async fn lines_of_netcat_arrive_and_those_of_a_client_in_order() {
    let mut line = Line::start().await;
    let mut agent = line.agent(&["tcp", "0", "--clients-max", "2"]);
    let listening = agent.says("listening for lines");
    let (_, port) = listening.trim_end().rsplit_once(':').expect("an address");
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    let client = |name: usize| {
        // -N: closes the connection at the end of its input. -q would not tell whether everything went.
        let mut nc =
            Command::new("nc").args(["-N", "127.0.0.1", &port]).stdin(Stdio::piped()).spawn();
        let nc = nc.as_mut().expect("nc is installed: cargo xtask tools");
        let mut input = nc.stdin.take().expect("piped");
        for number in 0..200 {
            writeln!(input, "{{\"Client\":{name},\"Number\":{number}}}\r").expect("written");
        }
        write!(input, "{{\"Client\":{name},\"Number\":200}}").expect("written");
        drop(input);
        assert!(nc.wait().expect("it ends").success());
    };
    std::thread::scope(|scope| {
        for name in 0..4 {
            scope.spawn(move || client(name));
        }
    });
    let messages = line.next(4 * 201).await;
    for name in 0..4 {
        let start = format!("measurement {{\"Client\":{name},");
        let of_client: Vec<_> = messages.iter().filter(|text| text.starts_with(&start)).collect();
        let expected: Vec<_> =
            (0..=200).map(|number| format!("{start}\"Number\":{number}}}")).collect();
        assert_eq!(of_client, expected.iter().collect::<Vec<_>>());
    }
    agent.stop();
    let printed = agent.ends().await;
    assert!(printed.starts_with("found 0  taken 804  confirmed 804"), "{printed}");
}
