//! Traces, as a collector receives them that is not ours: one follows an event from the edge to the prediction.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use weir_e2e::process::{PATIENCE, Process, run};
use weir_e2e::servers::{COLLECTOR, MQTT, address};

use crate::site::{Site, broker, next};

/// One that prints what it receives.
struct Collector {
    child: Child,
    folder: tempfile::TempDir,
    endpoint: String,
}

/// What it prints of a span.
type Span = BTreeMap<String, String>;

impl Collector {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [http, grpc] = ports.each_ref().map(|port| port.local_addr().expect("bound"));
        drop(ports);
        let log = File::create(folder.path().join("log")).expect("a file");
        let mut command = Command::new(address(COLLECTOR));
        command.args(["start", "--exporter", "blackhole"]);
        command.args(["--debug-log", "traces", "--debug-log-verbosity", "detailed"]);
        command.arg("--otlp-http-endpoint").arg(http.to_string());
        command.arg("--otlp-grpc-endpoint").arg(grpc.to_string());
        command.arg("--pid-file").arg(folder.path().join("pid"));
        command.stderr(log.try_clone().expect("once more")).stdout(log);
        let child = command.spawn().expect("the collector starts");
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(http).is_err() {
            assert!(Instant::now() < deadline, "the collector does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, folder, endpoint: format!("http://{http}") }
    }

    /// What a service needs to know, if it shall trace this share of what begins there.
    fn variables(&self, ratio: &str) -> [(&'static str, String); 2] {
        [("WEIR__TRACES__ENDPOINT", self.endpoint.clone()), ("WEIR__TRACES__RATIO", ratio.into())]
    }

    /// All spans by their ids, when there are so many.
    fn spans(&self, count: usize) -> HashMap<String, Span> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = std::fs::read_to_string(self.folder.path().join("log")).expect("a log");
            let spans = log.split("\nSpan #").skip(1).map(span);
            let spans: HashMap<_, _> = spans.map(|span| (span["ID"].clone(), span)).collect();
            if spans.len() >= count {
                return spans;
            }
            assert!(Instant::now() < deadline, "{} spans instead of {count}:\n{log}", spans.len());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Lines of the forms `Name : value` and `-> name: Type(value)`.
fn span(text: &str) -> Span {
    let pair = |line: &str| {
        let line = line.trim();
        let (name, value) = match line.strip_prefix("-> ") {
            Some(attribute) => {
                let (name, value) = attribute.split_once(": ")?;
                (name, value.split_once('(')?.1.strip_suffix(')')?)
            }
            None => line.split_once(':')?,
        };
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

/// A bridge that traces this share of what begins there, and a host that begins no trace.
fn line(ratio: &str) -> (Site, Collector, [Process; 2]) {
    let site = Site::with_topics(1);
    let config = site.host("");
    site.train(&config);
    let collector = Collector::start();
    let bridge = start("weir-bridge", &site.bridge(), &collector.variables(ratio), "subscribed");
    let host = start("weir-host", &config, &collector.variables("0"), "model serves");
    (site, collector, [bridge, host])
}

fn start(name: &str, config: &str, variables: &[(&str, String)], ready: &str) -> Process {
    let mut process = Process::start_with(name, &["--config", config], variables);
    process.await_line(ready);
    process
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_follows_an_event_from_the_edge_to_the_prediction() {
    const FISH: usize = 40;
    // Whoever comes later follows: only the edge decides.
    let (site, collector, [bridge, host]) = line("0");
    let agent = site.file("agent.toml", &format!("line = {:?}\n", site.name));
    let (mqtt, fish) = (address(MQTT), FISH.to_string());
    let arguments =
        ["--config", &agent, "--broker", &mqtt, "simulate", "--events", &fish, "--speed", "max"];
    let mut agent = Process::start_with("weir-agent", &arguments, &collector.variables("1"));
    let (status, printed) = agent.ended(PATIENCE);
    assert!(status.success(), "{printed}\n{}", agent.log());
    assert_eq!(site.joined(FISH).await.len(), FISH);
    bridge.terminate();
    host.terminate();

    let spans = collector.spans(5 * FISH);
    let named = |name: &str| spans.values().filter(|span| span["Name"] == name).count();
    let counts = ["weir send", "weir forward", "weir predict"].map(named);
    assert_eq!((counts, spans.len()), ([2 * FISH, 2 * FISH, FISH], 5 * FISH));
    let mut predictions = site.reader(&site.topics.prediction).await;
    let mut seen = 0;
    while seen < FISH {
        for record in next(&mut predictions).await {
            let header = record.header("traceparent").expect("a trace");
            let [_, trace, id, _] = header.split('-').collect::<Vec<_>>()[..] else {
                panic!("{header}")
            };
            assert_eq!(record.header("weir-id"), Some(trace), "the trace has the event's id");
            let predicted = &spans[id];
            let forwarded = &spans[&predicted["Parent ID"]];
            let sent = &spans[&forwarded["Parent ID"]];
            let chain = [sent, forwarded, predicted];
            let names = chain.map(|span| span["Name"].as_str());
            assert_eq!(names, ["weir send", "weir forward", "weir predict"]);
            assert!(chain.iter().all(|span| span["Trace ID"] == trace), "{chain:?}");
            let starts = chain.map(|span| span["Start time"].parse::<u64>().expect("a time"));
            assert!(starts.is_sorted(), "{chain:?}");
            assert_eq!((&*sent["Parent ID"], &*predicted["weir.model.version"]), ("", "1"));
            seen += 1;
        }
    }
}

/// A machine that has traces of its own says so in its messages.
#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_machine_goes_on() {
    const TRACED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const UNTRACED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let (site, collector, [bridge, host]) = line("1");
    let (server, port) = broker(MQTT);
    for (number, told) in [TRACED, UNTRACED, "none"].into_iter().enumerate() {
        let topic = format!("weir/{}/gate/measurement", site.name);
        let payload =
            format!(r#"{{"Species":"salmon","Fish_Id":{number},"Length":81.2,"Height":18.4}}"#);
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", &server, "-p", &port.to_string(), "-V", "5", "-q", "1"]);
        command.args(["-D", "PUBLISH", "user-property", "traceparent", told]);
        let status = command.args(["-t", &topic, "-m", &payload]).status().expect("it starts");
        assert!(status.success());
    }
    let mut predictions = site.reader(&site.topics.prediction).await;
    let mut headers = Vec::new();
    while headers.len() < 3 {
        let records = next(&mut predictions).await;
        headers.extend(records.iter().map(|it| it.header("traceparent").unwrap_or("").to_owned()));
    }
    bridge.terminate();
    host.terminate();
    let spans = collector.spans(4);
    let predicted = &spans[headers[0].split('-').nth(2).expect("a span")];
    let forwarded = &spans[&predicted["Parent ID"]];
    assert_eq!(forwarded["Parent ID"], "00f067aa0ba902b7");
    assert_eq!(predicted["Trace ID"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(headers[1], UNTRACED, "passed on, and nothing else");
    // The bridge begins one where what it was told is none.
    assert!(spans.contains_key(headers[2].split('-').nth(2).expect("a span")));
    assert_eq!(spans.len(), 4);
}

/// Nobody waits for a collector, and it is said that there is none.
#[test]
fn a_collector_that_is_away_stops_nothing() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let folder = tempfile::tempdir().expect("a folder");
    let config: PathBuf = folder.path().join("line.toml");
    let section =
        |service: &str| format!("[{service}.traces]\nendpoint = \"http://{gone}\"\nratio = 1.0\n");
    let text = ["agent", "bridge", "host"].map(section).concat();
    std::fs::write(&config, text).expect("written");
    let config = config.to_str().expect("UTF-8");
    let demo = ["demo", "--config", config, "--speed", "max", "--json"];
    let (code, printed, errors) = run("weir", &demo);
    assert_eq!(code, Some(0), "{errors}");
    assert!(errors.contains("ExportError"), "{errors}");
    let told: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((&told["sent"], &told["joined"]), (&360.into(), &180.into()), "{printed}");
}
