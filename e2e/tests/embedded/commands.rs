//! The commands for people who look after a line, as processes: what they print, what they send, how they end.

use weir_e2e::keys;
use weir_e2e::process::{GRACE, PATIENCE, Process, complete, run};
use weir_events::{EventId, TopicNames, headers};
use weir_kafka::{KafkaConfig, NewRecord, Producer, Progress, Record};

use super::{Brokers, next, train};

const ROW: &str = r#"{"Key":"17","Fish_Id":"17","Species":"salmon","Length":81.2,"Height":18.4,"PredictedWeight":4.151978577824107,"ActualWeight":4.1,"Error":0.013,"ModelTime":"2026-01-05T07:00:00Z","ModelVersion":1,"ModelDigest":"sha256:d5c7180015be75539f8780ea4e9b2aa363d9b76741fdcfbc9c67e8257dddb782","Timestamp":"2026-01-05T08:00:10Z","MeasuredAt":"2026-01-05T08:00:00Z","Id":"0a6e4b997408a2fcba1474aadeae66db"}"#;
const FIELDS: &str = "2026-01-05T08:00:10Z\t17\tsalmon\t4.151978577824107\t4.1\t0.013\tv1\n";
/// Few enough that none is late when it comes again.
const FISH: usize = 20;

impl Brokers {
    async fn write(&self, topic: &str, payload: &str, headers: &[(&str, &[u8])]) {
        let config = KafkaConfig {
            settings: weir_embedded::kafka::EmbeddedKafka::settings(),
            ..KafkaConfig::new(&self.kafka.brokers(), "test")
        };
        let producer = Producer::new(&config, Progress::default()).expect("starts");
        let (key, payload) = (Some(&b"17"[..]), Some(payload.as_bytes()));
        let record = NewRecord { topic, key, payload, headers, timestamp: None };
        producer.send_patiently(&record).await.expect("taken").await.expect("delivered");
    }

    /// The first records of a topic, so many.
    async fn first(&self, topic: &'static str, count: usize) -> Vec<Record> {
        let mut reader = self.reader(topic).await;
        let mut records = Vec::new();
        while records.len() < count {
            records.extend(next(&mut reader).await);
        }
        reader.close().await;
        records
    }
}

/// A tail that has begun.
fn tail(arguments: &[&str]) -> Process {
    let log = ("RUST_LOG", "info".to_owned());
    let mut process = Process::start_with("weir", &[&["tail"], arguments].concat(), &[log]);
    process.await_line("showing joined events");
    process
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_shows_joined_events_as_they_come() {
    let brokers = Brokers::start().await;
    let config = brokers.host_config();
    brokers.write("weight-diff", ROW, &[]).await;
    brokers.write("weight-diff", "no joined event", &[]).await;
    brokers.write("weight-diff", ROW, &[]).await;
    let arguments = ["tail", "--config", &config, "--from-beginning", "-n", "2"];
    let (code, printed, log) = run("weir", &arguments);
    assert_eq!((code, printed.as_str()), (Some(0), &*FIELDS.repeat(2)), "{log}");
    assert!(log.contains("no joined event") && log.contains("offset=1"), "{log}");
    let printed = complete("weir", &[&arguments[..], &["--json"]].concat());
    assert_eq!(printed, format!("{ROW}\n{ROW}\n"));

    // Without a start it shows what comes from now on.
    let mut process = tail(&["--config", &config, "-n", "1"]);
    brokers.write("weight-diff", &ROW.replace("salmon", "wall\u{202e}eye"), &[]).await;
    let (status, printed) = process.ended(PATIENCE);
    let expected = FIELDS.replace("salmon", "wall\\u{202e}eye");
    assert_eq!((status.code(), printed), (Some(0), expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_ends_with_a_signal_or_when_nobody_reads() {
    let brokers = Brokers::start().await;
    let config = brokers.host_config();
    tail(&["--config", &config]).terminate();
    let mut interrupted = tail(&["--config", &config]);
    interrupted.signal("-INT");
    assert_eq!(interrupted.ended(GRACE).0.code(), Some(0));

    let weir = weir_e2e::process::built("weir");
    for _ in 0..3 {
        brokers.write("weight-diff", ROW, &[]).await;
    }
    let arguments = ["tail", "--from-beginning", "--config", &config];
    let mut child = std::process::Command::new(weir)
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(!log.contains("error: failed"), "{log}");
}

/// What the bridge refused for its settings is sent again with better ones, and any number of times.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_bridge_refused_is_joined_after_a_fix() {
    let brokers = Brokers::start().await;
    let config = brokers.host_config();
    train(&config);
    let host = Process::start("weir-host", &["--config", &config]);
    let strict =
        brokers.file("strict.toml", &format!("{}{}", brokers.kafka_section(), schema(1.0)));
    let mqtt = brokers.mqtt.address().to_string();
    let mut bridge = Process::start("weir-bridge", &["--config", &strict, "--mqtt", &mqtt]);
    bridge.await_line("subscribed");
    let events = FISH.to_string();
    let simulate = ["--broker", &mqtt, "simulate", "--events", &events, "--speed", "max"];
    complete("weir-agent", &simulate);
    brokers.first("machine-measurement-dead-letter", FISH).await;
    bridge.terminate();

    let letters = |arguments: &[&str]| {
        run("weir", &[&["dead-letters"], arguments, &["--config", &config]].concat())
    };
    let (code, printed, log) = letters(&["list", "-n", "1"]);
    assert_eq!(code, Some(0), "{log}");
    let counts =
        format!("\n{FISH} dead letters, the newest 1 shown\n  out-of-range         {FISH}\n");
    assert!(printed.ends_with(&counts), "{printed}");
    let place = "machine-measurement-dead-letter/0/0";
    let (_, shown, _) = letters(&["show", place]);
    assert!(shown.contains("weir-source  weir/line-1/gate-1/measurement\n"), "{shown}");
    let (_, raw, _) = letters(&["show", place, "--raw"]);
    assert!(shown.ends_with(&format!("\n{raw}\n")), "{shown}");

    // By the settings that refused it, it is refused again.
    let (code, printed, _) = letters(&["retry", place, "--bridge-config", &strict]);
    assert_eq!(code, Some(1));
    assert!(printed.contains("not sent: it is refused again: out-of-range: Length"), "{printed}");
    assert!(printed.ends_with("\n0 sent, 1 not; no dead letter was deleted\n"), "{printed}");
    // What cannot be read holds up nothing else.
    let (code, printed, _) =
        letters(&["retry", "models/0/0", &format!("{place}99"), "--dry-run", place]);
    assert_eq!(code, Some(1));
    assert!(
        printed.contains("models/0/0  not sent: it lies in no topic of dead letters"),
        "{printed}"
    );
    assert!(printed.contains("/0/99  not sent: it is not there"), "{printed}");
    assert!(
        printed.ends_with("\n1 would be sent, 2 not; no dead letter was deleted\n"),
        "{printed}"
    );
    let (code, printed, _) = letters(&["retry", "--all", "--dry-run"]);
    assert_eq!(code, Some(0));
    assert!(printed.contains("would go to machine-measurement, id "), "{printed}");

    // One, all, and all again: the later ones are repetitions of the same ids.
    let (code, printed, log) = letters(&["retry", place]);
    assert_eq!(code, Some(0), "{log}");
    assert!(
        printed.starts_with(&format!("{place}  sent to machine-measurement/0/0, id ")),
        "{printed}"
    );
    for _ in 0..2 {
        let (code, printed, log) = letters(&["retry", "--all", "--reason", "out-of-range"]);
        assert_eq!(code, Some(0), "{log}");
        let tally = format!("\n{FISH} sent, 0 not; no dead letter was deleted\n");
        assert!(printed.ends_with(&tally), "{printed}");
    }
    let unjoined = brokers.first("weight-unjoined", FISH + 1).await;
    for record in unjoined {
        let text = String::from_utf8_lossy(record.payload()).into_owned();
        assert!(text.contains(r#""Side":"prediction","Reason":"superseded""#), "{text}");
    }
    // All repetitions have been through the join.
    let rows = brokers.first("weight-diff", FISH).await;
    let keys: std::collections::BTreeSet<_> = rows.iter().map(|row| row.key_text()).collect();
    assert_eq!((rows.len(), keys.len()), (FISH, FISH));
    host.terminate();
}

/// What a role refused goes back to the topic from which the role read it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_refused_goes_back_under_its_id() {
    let brokers = Brokers::start().await;
    let config = brokers.host_config();
    train(&config);
    let store = brokers.folder.path().join("training.redb");
    let store = format!("{}[store]\npath = {store:?}\n", keys::original(brokers.folder.path()));
    let strict = format!("{}{store}{}", brokers.kafka_section(), schema(1.0));
    let strict = brokers.file("strict.toml", &strict);
    let host = Process::start("weir-host", &["--config", &strict]);
    let id = EventId::from_bytes([9; 16]).to_string();
    let payload = r#"{"Species":"salmon","Fish_Id":"17","Length":81.2,"Height":18.4}"#;
    let topic = TopicNames::default().measurement;
    brokers.write(&topic, payload, &[(headers::ID, id.as_bytes())]).await;
    let letters = brokers.first("machine-measurement-dead-letter", 1).await;
    assert_eq!(letters[0].header(headers::ID), Some(&*id));
    host.terminate();

    let place = "machine-measurement-dead-letter/0/0";
    let retry = |config: &str| run("weir", &["dead-letters", "retry", place, "--config", config]);
    let (code, printed, _) = retry(&strict);
    assert_eq!(code, Some(1));
    assert!(printed.contains("it is refused again: out-of-range: Length"), "{printed}");
    let (code, printed, log) = retry(&config);
    assert_eq!(code, Some(0), "{log}");
    assert!(printed.starts_with(&format!("{place}  sent to {topic}/0/1, id {id}\n")), "{printed}");
    let host = Process::start("weir-host", &["--config", &config]);
    let predictions = brokers.first("weight-prediction", 1).await;
    assert_eq!(predictions[0].header(headers::ID), Some(&*id));
    assert_eq!(predictions[0].key_text(), Some("17"));
    // The payload brings no time: it is that of the refusal, however late the retry.
    let time = format!(r#""Timestamp":"{}""#, letters[0].timestamp);
    let text = String::from_utf8_lossy(predictions[0].payload()).into_owned();
    assert!(text.contains(&time), "{text} without {time}");
    host.terminate();
}

/// The default schema, with lengths up to this.
fn schema(length_max: f64) -> String {
    format!(
        "[schema]\nformula = \"Weight ~ Length + Height + Species\"\nfactor = \"Species\"\n\
         key = [\"Fish_Id\"]\ntimestamp = \"Timestamp\"\n\
         [schema.range]\nLength = {{ min = 0.0, max = {length_max:?} }}\n"
    )
}

#[test]
fn without_kafka_every_command_says_so() {
    // Bound and not listening: nobody else gets the port.
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let kafka = closed.local_addr().expect("an address").to_string();
    let commands: [&[&str]; 4] = [
        &["tail"],
        &["topics", "create", "--check"],
        &["dead-letters", "list"],
        &["dead-letters", "retry", "--all"],
    ];
    let asked = std::thread::scope(|scope| {
        let kafka = &kafka;
        let ask = |command: &'static [&'static str]| {
            scope.spawn(move || {
                let begun = std::time::Instant::now();
                let ended = run("weir", &[command, &["--kafka", kafka]].concat());
                (command, ended, begun.elapsed())
            })
        };
        let threads = commands.map(ask);
        threads.map(|thread| thread.join().expect("no panic"))
    });
    for (command, (code, printed, log), took) in asked {
        assert_eq!((code, printed.as_str()), (Some(1), ""), "{command:?}: {log}");
        let text = format!("error: failed to reach Kafka at {kafka} (");
        assert!(log.contains(&text) && log.contains("is it running"), "{command:?}: {log}");
        assert!(took < std::time::Duration::from_secs(10), "{command:?}: {took:?}");
    }
}

#[test]
fn wrong_settings_and_arguments_end_before_kafka_is_asked() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, "[topics]\njoint = \"x\"\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    let commands: [&[&str]; 5] = [
        &["tail"],
        &["topics", "create"],
        &["dead-letters", "list"],
        &["dead-letters", "show", "a/0/0"],
        &["dead-letters", "retry", "--all"],
    ];
    for command in commands {
        let (code, printed, log) = run("weir", &[command, &["--config", file]].concat());
        assert_eq!(code, Some(78), "{command:?}: {log}");
        assert!(printed.is_empty() && log.contains("joint"), "{command:?}: {log}");
    }
    let bridge = ["dead-letters", "retry", "--all", "--bridge-config"];
    std::fs::write(file, "[topics]\njoined = \"x\"\n").expect("written");
    let (code, _, log) = run("weir", &[&bridge[..], &[file]].concat());
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("topics: the bridge's differ"), "{log}");

    let wrong: [(&[&str], &str); 6] = [
        (&["tail", "--since", "yesterday"], "duration"),
        (&["tail", "-n", "0"], "0"),
        (&["topics", "create", "--partitions", "0"], "partitions"),
        (&["dead-letters", "retry"], "PLACE"),
        (&["dead-letters", "retry", "a/0/0", "--all"], "--all"),
        (&["dead-letters", "list", "--reason", "bad"], "out-of-range"),
    ];
    for (arguments, part) in wrong {
        let (code, _, log) = run("weir", arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {log}");
        assert!(log.contains(part), "{arguments:?}: {log}");
    }
}

/// What a supervisor sees is the service: its words, and its exit codes.
#[test]
fn the_services_run_under_one_command_too() {
    for service in ["agent", "bridge", "host"] {
        let program = format!("weir-{service}");
        for arguments in
            [&["--version"][..], &["--help"], &["--config", "/no/such/file"], &["--no-such"]]
        {
            let under = run("weir", &[&[service], arguments].concat());
            assert_eq!(under, run(&program, arguments), "{service} {arguments:?}");
        }
    }
}
