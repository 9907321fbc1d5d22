//! `weir bench bridge`: the bridge against a bare MQTT subscriber, on the same broker in the same run.
//!
//! Some publishers send as fast as the broker takes it. The bare subscriber acknowledges what it reads and does nothing
//! else; the bridge writes each message to Kafka and acknowledges it when Kafka has it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStdout;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weir_events::{Epoch, Stamp, TopicNames};
use weir_kafka::{Admin, Consumer, KafkaConfig, NewTopicSpec, await_topics};
use weir_mqtt::{Connector, Message, MqttConfig, bare};

use super::median;
use super::program::{Program, Usage, beside};
use crate::output;

/// Without a new record for this long, something is wrong.
const STALL: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Arguments of `weir bench bridge`.
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// The MQTT broker
    #[arg(long, value_name = "HOST:PORT")]
    mqtt: SocketAddr,
    /// The Kafka brokers; topics named bench-... are made there and deleted
    #[arg(long, value_name = "HOST:PORT,...")]
    kafka: String,
    /// Messages of each round
    #[arg(long, default_value_t = 200_000)]
    messages: u64,
    /// Publishers at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64))]
    publishers: u64,
    /// Rounds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of the bare subscriber.
#[derive(clap::Args, Debug)]
pub(super) struct SubscriberArguments {
    #[arg(long)]
    mqtt: SocketAddr,
    #[arg(long)]
    filter: String,
    #[arg(long)]
    count: u64,
}

/// One round: messages per second, and what the bridge used.
#[derive(Serialize, Debug)]
struct Round {
    bare: f64,
    bridge: f64,
    cpu_seconds_per_100000: f64,
    bare_cpu_seconds_per_100000: f64,
    peak_kib: u64,
}

#[derive(Serialize, Debug)]
struct Report {
    messages: u64,
    publishers: u64,
    bare_per_second: f64,
    bridge_per_second: f64,
    bridge_to_bare: f64,
    cpu_seconds_per_100000: f64,
    bare_cpu_seconds_per_100000: f64,
    peak_kib: u64,
    rounds: Vec<Round>,
}

pub(super) async fn execute(arguments: &Arguments) -> anyhow::Result<()> {
    let mut rounds = Vec::new();
    for number in 0..arguments.rounds {
        rounds.push(round(arguments, number).await?);
    }
    let middle = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure));
    let report = Report {
        messages: arguments.messages,
        publishers: arguments.publishers,
        bare_per_second: middle(|round| round.bare),
        bridge_per_second: middle(|round| round.bridge),
        bridge_to_bare: middle(|round| round.bridge / round.bare),
        cpu_seconds_per_100000: middle(|round| round.cpu_seconds_per_100000),
        bare_cpu_seconds_per_100000: middle(|round| round.bare_cpu_seconds_per_100000),
        peak_kib: rounds.iter().map(|round| round.peak_kib).max().unwrap_or(0),
        rounds,
    };
    let text = if arguments.json { serde_json::to_string(&report)? + "\n" } else { table(&report) };
    output::is_read(std::io::stdout().write_all(text.as_bytes())).map(drop)
}

fn table(report: &Report) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let megabytes = report.peak_kib as f64 * 1024.0 / 1e6;
    format!(
        "{} messages from {} publishers, medians of {} rounds\n\
         bare MQTT subscriber          {:>9.0} messages/s  {:.2} CPU seconds per 100000\n\
         bridge, PUBACK after Kafka    {:>9.0} messages/s  {:.2} CPU seconds per 100000   {:.2} of the bare subscriber   {megabytes:.1} MB resident at most\n",
        report.messages,
        report.publishers,
        report.rounds.len(),
        report.bare_per_second,
        report.bare_cpu_seconds_per_100000,
        report.bridge_per_second,
        report.cpu_seconds_per_100000,
        report.bridge_to_bare,
    )
}

/// The bare subscriber: says when it listens, and how long all took.
pub(super) async fn subscribe(arguments: &SubscriberArguments) -> anyhow::Result<()> {
    let client = format!("weir-bench-{}", std::process::id());
    let connector = Connector::new(&mqtt(arguments.mqtt, &client))?;
    let subscribed = || println(format_args!("subscribed"));
    let took = bare::receive(&connector, &arguments.filter, arguments.count, subscribed).await;
    println(format_args!("{}", took.context("receive with the bare client")?.as_secs_f64()));
    // Whoever started it reads what it has used, and ends it.
    std::future::pending().await
}

#[expect(clippy::print_stdout, reason = "its parent reads it")]
fn println(text: std::fmt::Arguments<'_>) {
    println!("{text}");
}

fn mqtt(broker: SocketAddr, client: &str) -> MqttConfig {
    MqttConfig::new(&broker.ip().to_string(), broker.port(), client)
}

async fn round(arguments: &Arguments, number: u64) -> anyhow::Result<Round> {
    let name = format!("bench-{}-{number}", std::process::id());
    let (bare, bare_usage) = bare_round(arguments, &name).await?;
    let (bridge, usage) = bridge_round(arguments, &name).await?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 messages")]
    let hundred_thousands = arguments.messages as f64 / 1e5;
    Ok(Round {
        bare,
        bridge,
        cpu_seconds_per_100000: usage.cpu_seconds / hundred_thousands,
        bare_cpu_seconds_per_100000: bare_usage.cpu_seconds / hundred_thousands,
        peak_kib: usage.peak_kib,
    })
}

async fn bare_round(arguments: &Arguments, name: &str) -> anyhow::Result<(f64, Usage)> {
    let root = format!("{name}-bare");
    let (broker, count) = (arguments.mqtt.to_string(), arguments.messages.to_string());
    let filter = format!("{root}/#");
    let options =
        ["bench", "subscriber", "--mqtt", &broker, "--filter", &filter, "--count", &count];
    let mut subscriber = Program::start(&std::env::current_exe()?, &options, &[])?;
    let output = subscriber.output().context("the subscriber's output")?;
    let mut lines = BufReader::new(output).lines();
    next_line(&mut lines).await?;
    publish(arguments, &root).await?;
    let took: f64 = next_line(&mut lines).await?.parse().context("read the subscriber's time")?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 messages")]
    Ok((arguments.messages as f64 / took, subscriber.usage()?))
}

async fn next_line(lines: &mut tokio::io::Lines<BufReader<ChildStdout>>) -> anyhow::Result<String> {
    let line = tokio::time::timeout(STALL, lines.next_line()).await;
    line.context("wait for the bare subscriber")??.context("the bare subscriber has ended")
}

async fn bridge_round(arguments: &Arguments, name: &str) -> anyhow::Result<(f64, Usage)> {
    let topics = TopicNames::default().prefixed(&format!("{name}-"));
    let kafka = KafkaConfig::new(&arguments.kafka, "weir-bench");
    let dead_letters =
        [&topics.measurement, &topics.target].map(|topic| TopicNames::dead_letter(topic));
    let mut names =
        vec![topics.measurement.clone(), topics.target.clone(), topics.unrouted.clone()];
    names.extend(dead_letters);
    let admin = Admin::new(&kafka)?;
    let specs: Vec<NewTopicSpec> = names.iter().map(|name| spec(name)).collect();
    admin.create(&specs).await.context("make the topics of the run")?;
    await_topics(&kafka, names.clone()).await?;
    let result = measure_bridge(arguments, name, &topics, &kafka).await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    admin.delete(&names).await.context("delete the topics of the run")?;
    result
}

async fn measure_bridge(
    arguments: &Arguments,
    name: &str,
    topics: &TopicNames,
    kafka: &KafkaConfig,
) -> anyhow::Result<(f64, Usage)> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let file = folder.path().join("bridge.toml");
    let topic_table = toml::to_string(&std::collections::HashMap::from([("topics", topics)]))?;
    let settings = format!("subscribe = [\"{name}/#\"]\n{}{topic_table}", routes(name));
    std::fs::write(&file, settings).context("write the bridge's settings")?;
    let (config, broker) = (file.display().to_string(), arguments.mqtt.to_string());
    let options = ["--config", &config, "--mqtt", &broker, "--kafka", &arguments.kafka];
    let health = super::scrape::free_address().await?;
    let environment =
        [("WEIR__MQTT__CLIENT_ID", name.to_owned()), ("WEIR__HEALTH__LISTEN", health.to_string())];
    let bridge = Program::start(&beside("weir-bridge")?, &options, &environment)?;
    super::scrape::ready(health).await?;
    let before = bridge.usage()?;
    let (counted, published) = tokio::join!(
        count(kafka, &topics.measurement, arguments.messages),
        publish(arguments, name)
    );
    published?;
    let rate = counted?;
    let Usage { cpu_seconds, peak_kib } = bridge.usage()?;
    bridge.stop().await?;
    Ok((rate, Usage { cpu_seconds: cpu_seconds - before.cpu_seconds, peak_kib }))
}

/// The bridge's routes under another root.
fn routes(root: &str) -> String {
    let route = |word: &str, event: &str| {
        format!("[[routes]]\ntopic = \"{root}/{{line}}/{{device}}/{word}\"\nevent = \"{event}\"\n")
    };
    [("measurement", "measurement"), ("weight", "target"), ("gap", "gap")]
        .map(|(word, event)| route(word, event))
        .concat()
}

fn spec(name: &str) -> NewTopicSpec {
    NewTopicSpec { name: name.into(), partitions: 1, replication: 1, settings: Vec::new() }
}

/// Messages per second that arrive in Kafka, from the first to the last.
async fn count(kafka: &KafkaConfig, topic: &str, messages: u64) -> anyhow::Result<f64> {
    let (mut first, mut last, mut changed) = (None, 0, Instant::now());
    loop {
        let (kafka, topic) = (kafka.clone(), topic.to_owned());
        let ends = tokio::task::spawn_blocking(move || Consumer::ends(&kafka, &topic)).await??;
        let (now, end) = (Instant::now(), ends.iter().map(|&(_, end)| end).sum::<i64>());
        if end > 0 && first.is_none() {
            first = Some((now, end));
        }
        if end > last {
            (last, changed) = (end, now);
        }
        if let Some((began, from)) = first
            && u64::try_from(end)? >= messages
        {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52 messages")]
            return Ok((end - from) as f64 / (now - began).as_secs_f64());
        }
        if changed.elapsed() > STALL {
            bail!("wait for Kafka: {last} of {messages} messages have arrived");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Publishes all messages, as agents would: each publisher is a device that numbers its records.
async fn publish(arguments: &Arguments, root: &str) -> anyhow::Result<()> {
    let mut publishers = JoinSet::new();
    let (all, count) = (arguments.messages, arguments.publishers);
    for number in 0..count {
        let messages = all / count + u64::from(number < all % count);
        let client = format!("{root}-{number}");
        let connector = Connector::new(&mqtt(arguments.mqtt, &client))?;
        let topic: &'static str =
            Box::leak(format!("{root}/line-1/device-{number}/measurement").into_boxed_str());
        let mut epoch = [0; 16];
        getrandom::fill(&mut epoch).context("draw random numbers")?;
        let epoch = Epoch::from_bytes(epoch);
        publishers.spawn(async move {
            bare::publish(&connector, move |index| message(topic, epoch, index), messages).await
        });
    }
    while let Some(published) = publishers.join_next().await {
        published?.context("publish")?;
    }
    Ok(())
}

fn message(topic: &'static str, epoch: Epoch, index: u64) -> Message<'static> {
    let payload = format!(
        "{{\"Fish_Id\":\"{index}\",\"Species\":\"salmon\",\"Length\":88.25,\"Height\":19.125,\
         \"Timestamp\":\"2026-01-05T08:00:26.000Z\"}}"
    );
    // Nobody reads what the bridge confirms; the floor follows the window.
    let stamp = Stamp { epoch, seq: index + 1, floor: 1 };
    Message {
        topic,
        payload: Bytes::from(payload),
        properties: vec![(Stamp::PROPERTY.to_owned(), stamp.to_string())],
    }
}
