//! `weir bench edge`: the agent against the bare disk and the bare MQTT client.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use serde::Serialize;
use tokio_util::task::AbortOnDropHandle;
use weir_embedded::mqtt::EmbeddedMqtt;
use weir_mqtt::{Connector, Message, MqttConfig, bare};

use super::median;
use super::program::{Program, Usage, beside};
use super::scrape::{free_address, rise};
use crate::output;

/// What the spool writes at once, at most: the disk is measured with groups of this size.
const GROUP_BYTES: usize = 64 * 1024;
/// A record's header in the spool, in bytes.
const HEADER_BYTES: usize = 41;
/// What the agent and the bare client may have unacknowledged.
const INFLIGHT: u16 = 100;

/// Arguments of `weir bench edge`.
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// A broker; without one, an embedded broker in this process
    #[arg(long, value_name = "HOST:PORT")]
    mqtt: Option<SocketAddr>,
    /// Records of each round
    #[arg(long, default_value_t = 200_000)]
    records: u64,
    /// Bytes of a record
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(40..=16_384))]
    bytes: u64,
    /// Rounds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Where the spool lies: on the disk that is to be measured, not in memory
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One round: records per second, and what the agent used.
#[derive(Serialize, Debug)]
struct Round {
    disk: f64,
    spool: f64,
    spool_per_cpu_second: f64,
    bare: f64,
    link: f64,
    link_per_cpu_second: f64,
    spool_peak_kib: u64,
    link_peak_kib: u64,
}

#[derive(Serialize, Debug)]
struct Report {
    records: u64,
    bytes: u64,
    disk_per_second: f64,
    spool_per_second: f64,
    spool_per_cpu_second: f64,
    spool_to_disk: f64,
    bare_per_second: f64,
    link_per_second: f64,
    link_to_bare: f64,
    spool_peak_kib: u64,
    link_peak_kib: u64,
    rounds: Vec<Round>,
}

pub(super) async fn execute(arguments: &Arguments) -> anyhow::Result<()> {
    let embedded = match arguments.mqtt {
        Some(_) => None,
        None => Some(EmbeddedMqtt::start().await.context("start the embedded broker")?),
    };
    let broker = arguments.mqtt.or_else(|| embedded.as_ref().map(EmbeddedMqtt::address));
    let broker = broker.context("a broker")?;
    // A broker tells publishers when nobody listens, and the agent then holds its records back.
    let _listener = listen(broker).await?;
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        rounds.push(round(arguments, broker).await?);
    }
    let middle = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure));
    let most = |figure: fn(&Round) -> u64| rounds.iter().map(figure).max().unwrap_or(0);
    let report = Report {
        records: arguments.records,
        bytes: arguments.bytes,
        disk_per_second: middle(|round| round.disk),
        spool_per_second: middle(|round| round.spool),
        spool_per_cpu_second: middle(|round| round.spool_per_cpu_second),
        spool_to_disk: middle(|round| round.spool / round.disk),
        bare_per_second: middle(|round| round.bare),
        link_per_second: middle(|round| round.link),
        link_to_bare: middle(|round| round.link / round.bare),
        spool_peak_kib: most(|round| round.spool_peak_kib),
        link_peak_kib: most(|round| round.link_peak_kib),
        rounds,
    };
    let text = if arguments.json { serde_json::to_string(&report)? + "\n" } else { table(&report) };
    output::is_read(std::io::stdout().write_all(text.as_bytes())).map(drop)
}

/// Somebody who receives everything, for as long as the handle lives.
async fn listen(broker: SocketAddr) -> anyhow::Result<AbortOnDropHandle<()>> {
    let config = MqttConfig::new(&broker.ip().to_string(), broker.port(), "weir-bench-listener");
    let connector = Connector::new(&config)?;
    let (ready, listens) = tokio::sync::oneshot::channel();
    let receiving = tokio::spawn(async move {
        // If it fails, what is measured stands still, and that is told.
        drop(
            bare::receive(&connector, "weir/#", u64::MAX, move || {
                ready.send(()).ok();
            })
            .await,
        );
    });
    listens.await.context("subscribe at the broker")?;
    Ok(AbortOnDropHandle::new(receiving))
}

fn table(report: &Report) -> String {
    let Report { records, bytes, .. } = report;
    format!(
        "{records} records of {bytes} bytes, medians of {} rounds\n\
         bare disk, groups of 64 KiB   {:>9.0} records/s\n\
         agent to its spool, fsync on  {:>9.0} records/s   {:.2} of the disk   {:.0} per CPU second   {:.1} MB resident at most\n\
         bare MQTT client, QoS 1       {:>9.0} messages/s\n\
         agent from spool to broker    {:>9.0} messages/s  {:.2} of the bare client   {:.1} MB resident at most\n",
        report.rounds.len(),
        report.disk_per_second,
        report.spool_per_second,
        report.spool_to_disk,
        report.spool_per_cpu_second,
        megabytes(report.spool_peak_kib),
        report.bare_per_second,
        report.link_per_second,
        report.link_to_bare,
        megabytes(report.link_peak_kib),
    )
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

async fn round(arguments: &Arguments, broker: SocketAddr) -> anyhow::Result<Round> {
    let folder = tempfile::tempdir_in(&arguments.folder)
        .with_context(|| format!("make a folder in {}", arguments.folder.display()))?;
    let (disk, spool, bare, link);
    disk = disk_rate(folder.path(), arguments)?;
    let lines = folder.path().join("lines");
    write_lines(&lines, arguments)?;
    let closed = free_address().await?;
    spool = run_agent(folder.path(), closed, &lines, "taken", arguments.records).await?;
    bare = bare_rate(broker, arguments).await?;
    let nothing = folder.path().join("nothing");
    File::create(&nothing).context("make an empty file")?;
    link = run_agent(folder.path(), broker, &nothing, "acked", arguments.records).await?;
    Ok(Round {
        disk,
        spool: spool.0,
        spool_per_cpu_second: per(arguments.records, spool.1.cpu_seconds),
        bare,
        link: link.0,
        link_per_cpu_second: per(arguments.records, link.1.cpu_seconds),
        spool_peak_kib: spool.1.peak_kib,
        link_peak_kib: link.1.peak_kib,
    })
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 records")]
fn per(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// Records per second that the disk alone takes.
fn disk_rate(folder: &Path, arguments: &Arguments) -> anyhow::Result<f64> {
    let bytes = usize::try_from(arguments.bytes)? + HEADER_BYTES;
    let group = vec![b'x'; GROUP_BYTES / bytes * bytes];
    let groups = arguments.records / (GROUP_BYTES / bytes) as u64 + 1;
    let mut file = File::create(folder.join("disk")).context("make a file")?;
    let began = Instant::now();
    for _ in 0..groups {
        file.write_all(&group).and_then(|()| file.sync_data()).context("write to the disk")?;
    }
    let took = began.elapsed().as_secs_f64();
    Ok(per(groups * (GROUP_BYTES / bytes) as u64, took))
}

fn write_lines(path: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path).context("make a file of records")?);
    for number in 0..arguments.records {
        writeln!(file, "{}", record(number, arguments.bytes)).context("write records")?;
    }
    file.flush().context("write records")
}

/// A JSON object of exactly so many bytes.
fn record(number: u64, bytes: u64) -> String {
    let head = format!("{{\"n\":{number:010},\"text\":\"");
    let fill = usize::try_from(bytes).unwrap_or(0).saturating_sub(head.len() + 2);
    format!("{head}{}\"}}", "x".repeat(fill))
}

/// Runs the agent until a count of records is reached. Returns records per second and what it used.
async fn run_agent(
    folder: &Path,
    broker: SocketAddr,
    lines: &Path,
    count: &str,
    records: u64,
) -> anyhow::Result<(f64, Usage)> {
    let health = free_address().await?;
    let settings = [
        ("WEIR__SPOOL__DIRECTORY", folder.join("spool").display().to_string()),
        ("WEIR__SPOOL__QUOTA_BYTES", (1_u64 << 34).to_string()),
        ("WEIR__DELIVERY__UNTIL", "broker".to_owned()),
        ("WEIR__HEALTH__LISTEN", health.to_string()),
        ("WEIR__MQTT__INFLIGHT", INFLIGHT.to_string()),
    ];
    let broker = broker.to_string();
    let Some(lines) = lines.to_str() else { bail!("use {}: not UTF-8", lines.display()) };
    let source = ["--broker", &broker, "read", "file", lines, "--follow", "--from", "start"];
    let agent = Program::start(&beside("weir-agent")?, &source, &settings)?;
    let name = format!("weir_agent_records_{count}_total");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 records")]
    let rise = rise(health, &name, records as f64).await?;
    let usage = agent.usage()?;
    agent.stop().await?;
    Ok((rise.per_second(), usage))
}

async fn bare_rate(broker: SocketAddr, arguments: &Arguments) -> anyhow::Result<f64> {
    let config = MqttConfig {
        inflight: INFLIGHT,
        ..MqttConfig::new(&broker.ip().to_string(), broker.port(), "weir-bench-bare")
    };
    let connector = Connector::new(&config)?;
    let payload = Bytes::from(record(0, arguments.bytes));
    let message = move |_| Message {
        topic: "weir/bench/bare/measurement",
        payload: payload.clone(),
        properties: Vec::new(),
    };
    let took = bare::publish(&connector, message, arguments.records).await;
    Ok(per(arguments.records, took.context("publish with the bare client")?.as_secs_f64()))
}
