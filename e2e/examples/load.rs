//! A load on the real servers: machines as processes of their own, a bridge and a host, and what came of it.
//!
//! ```sh
//! eval "$(cargo xtask services up)"
//! cargo build --workspace --bins && cargo run -p weir-e2e --example load -- 20 100000
//! ```
//!
//! The arguments are the number of machines and of events (two for each fish). One line of JSON is printed:
//! counts, events per second from the first event to the last joined row, and the peak of each of our
//! processes' memory. It fails unless every fish is joined.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use weir_e2e::process::{Process, complete};
use weir_e2e::servers::{KAFKA, MQTT, address, unique};
use weir_events::{TopicNames, headers};
use weir_kafka::{Consumer, ConsumerEvent, KafkaConfig, Progress, Scan, Start};

/// Without a new joined row for this long the run has failed.
const STALL: Duration = Duration::from_secs(60);

/// Fish are counted by each machine from 1, so the machine is part of the key.
const SCHEMA: &str = "[schema]\nformula = \"Weight ~ Length + Height + Species\"\nfactor = \"Species\"\n\
                      key = [\"device\", \"Fish_Id\"]\ntimestamp = \"Timestamp\"\n";
/// Machines that send as fast as they can are hours of event time apart.
const JOIN: &str = "[join]\nlateness = \"24h\"\n";

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (machines, events) = (number(20)?, number(100_000)?);
    let fish = events / 2 / machines;
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    let line = runtime.block_on(run(machines, fish))?;
    writeln!(std::io::stdout(), "{line}")?;
    Ok(ExitCode::SUCCESS)
}

async fn run(machines: u64, fish: u64) -> anyhow::Result<String> {
    let name = unique("load-");
    let topics = TopicNames::default().prefixed(&format!("{name}-"));
    let folder = tempfile::tempdir().context("make a folder")?;
    let write = |file: &str, text: String| -> anyhow::Result<String> {
        let path = folder.path().join(file);
        std::fs::write(&path, text)?;
        path.into_os_string().into_string().ok().context("a path in UTF-8")
    };
    let (kafka, mqtt) = (address(KAFKA), address(MQTT));
    let names = toml::to_string(&HashMap::from([("topics", &topics)]))?;
    let store = folder.path().join("training.redb");
    let keys = weir_e2e::keys::original(folder.path());
    let host = write(
        "host.toml",
        format!(
            "{JOIN}{SCHEMA}{names}{keys}[kafka]\nbrokers = {kafka:?}\ngroup-prefix = {name:?}\n[store]\npath = {store:?}\n"
        ),
    )?;
    let bridge = write(
        "bridge.toml",
        format!(
            "subscribe = [\"weir/{name}/#\"]\n{SCHEMA}{names}[kafka]\nbrokers = {kafka:?}\n[mqtt]\nclient-id = {name:?}\n"
        ),
    )?;
    complete("weir", &["topics", "create", "--partitions", "4", "--config", &host]);
    let csv = concat!(env!("CARGO_MANIFEST_DIR"), "/../weir/tests/data/replay-train.csv");
    complete("weir", &["model", "train", "--csv", csv, "--config", &host]);
    let mut host = Process::start("weir-host", &["--config", &host]);
    host.await_line("model serves");
    let mut bridge = Process::start("weir-bridge", &["--config", &bridge, "--mqtt", &mqtt]);
    bridge.await_line("subscribed");

    let began = Instant::now();
    let mut agents = Vec::new();
    for machine in 0..machines {
        let settings = format!("line = {name:?}\ndevice = \"machine-{machine}\"\n");
        let config = write(&format!("{machine}.toml"), settings)?;
        let (fish, seed) = (fish.to_string(), machine.to_string());
        agents.push(Process::start(
            "weir-agent",
            &[
                "--config", &config, "--broker", &mqtt, "simulate", "--events", &fish, "--seed",
                &seed, "--speed", "max",
            ],
        ));
    }
    let expected = usize::try_from(machines * fish)?;
    // Looked at while they run: what has ended has no memory.
    let mut agent_kib = 0;
    let look = || agent_kib = agents.iter().map(Process::memory_peak_kib).fold(agent_kib, u64::max);
    let joined = joined(&kafka, &topics.joined, expected, look).await?;
    let took = began.elapsed();
    for mut agent in agents {
        let (status, printed) = agent.ended(STALL);
        ensure!(status.success(), "an agent failed: {printed}");
    }
    let sent = 2 * machines * fish;
    let (records, ids) = count(&kafka, &[&topics.measurement, &topics.target])?;
    let (host_kib, bridge_kib) = (host.memory_peak_kib(), bridge.memory_peak_kib());
    bridge.terminate();
    host.terminate();
    Ok(serde_json::json!({
        "machines": machines, "sent": sent, "lost": sent - ids, "dup_raw": records - ids,
        "joined_rows": joined, "joined_distinct": expected, "seconds": took.as_secs_f64(),
        "events_per_second": (sent as f64 / took.as_secs_f64()).round(),
        "memory_peak_kib": { "agent": agent_kib, "bridge": bridge_kib, "host": host_kib },
    })
    .to_string())
}

/// Reads joined rows until so many keys are among them; returns how many rows there were.
async fn joined(
    kafka: &str,
    topic: &str,
    expected: usize,
    mut look: impl FnMut(),
) -> anyhow::Result<u64> {
    let (config, topic) = (client(kafka), topic.to_owned());
    let open = move || Consumer::reader(&config, "load", &[&topic], Progress::default());
    let mut reader = tokio::task::spawn_blocking(open).await??;
    let (mut keys, mut rows) = (HashSet::new(), 0);
    while keys.len() < expected {
        let event = tokio::time::timeout(STALL, reader.next()).await;
        match event.with_context(|| format!("{} of {expected} are joined", keys.len()))? {
            Some(ConsumerEvent::Records(records)) => {
                look();
                rows += records.len() as u64;
                keys.extend(records.into_iter().filter_map(|record| record.key));
            }
            Some(ConsumerEvent::Assignment(_)) => {}
            other => anyhow::bail!("{other:?}"),
        }
    }
    reader.close().await;
    Ok(rows)
}

/// How many records topics hold, and how many ids are among them.
fn count(kafka: &str, topics: &[&str]) -> anyhow::Result<(u64, u64)> {
    let mut scan = Scan::topics(&client(kafka), topics, Start::Beginning)?;
    let (mut records, mut ids) = (0, HashSet::new());
    while let Some(record) = scan.next()? {
        records += 1;
        ids.insert(record.header(headers::ID).context("an id")?.to_owned());
    }
    Ok((records, ids.len() as u64))
}

fn client(kafka: &str) -> KafkaConfig {
    KafkaConfig::new(kafka, "load")
}
