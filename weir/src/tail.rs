//! `weir tail`: shows joined events as they come.
//!
//! It reads alone and commits nothing, so it never takes an event away from a service. On a terminal it prints
//! aligned columns; elsewhere the same fields whole, separated by tabs, or with `--json` the records.

mod row;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use weir_events::Schema;
use weir_kafka::{Consumer, ConsumerEvent, Progress, Record, Start};
use weir_service::{Shutdown, SystemClock, shutdown_on_signals};

use crate::line::Line;
use crate::output;
use crate::since::Since;
use crate::style::HEAD;

/// Arguments of `weir tail`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Columns: event time (UTC) of the later of the two events, key, level of the factor, predicted, actual,
relative error, model version. Without a predicted number its place says why: unseen-level (the model does
not know this level yet), not-finite or model-failed.

Examples:
  weir tail --kafka localhost:9092
  weir tail --from-beginning -n 20
  weir tail --since 15m --json | jq .Error
  weir tail --since 2026-01-05T08:00:00Z | cut -f 2,6

Ends with Ctrl-C. Exit codes: 0 ended as asked, 1 failed, 2 wrong arguments, 78 wrong configuration.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    line: Line,
    /// Begin with the oldest event that Kafka has, not with the next one.
    #[arg(long, conflicts_with = "since")]
    from_beginning: bool,
    /// Begin with the first event written to Kafka since then.
    #[arg(long, value_name = "TIME|DURATION")]
    since: Option<Since>,
    /// Print the records as they are, one JSON object a line.
    #[arg(long)]
    json: bool,
    /// End after this many events.
    #[arg(short = 'n', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// Runs `weir tail`.
pub(crate) async fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = arguments.line.load()?;
    let schema = config.schema()?;
    let start = match arguments.since {
        Some(since) => since.start(&SystemClock),
        None if arguments.from_beginning => Start::Beginning,
        None => Start::Now,
    };
    let shutdown = shutdown_on_signals().context("listen to signals")?;
    let (kafka, topic) = (config.kafka(), config.topics.joined.clone());
    let open = tokio::task::spawn_blocking(move || {
        Consumer::reader_from(&kafka, "weir-tail", &[(&*topic, start)], Progress::default())
    });
    let mut consumer = tokio::select! {
        opened = open => opened??,
        () = shutdown.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    tracing::info!(topic = config.topics.joined, "showing joined events");
    tokio::spawn(end_at_last(shutdown.clone()));
    let mut printer = Printer::new(&arguments, schema);
    let mut wanted = output::is_read(printer.header())?;
    while wanted {
        let event = tokio::select! {
            event = consumer.next() => event,
            () = shutdown.cancelled() => break,
        };
        wanted = match event {
            Some(ConsumerEvent::Records(records)) => printer.records(&records)?,
            Some(ConsumerEvent::Assignment(_)) => true,
            Some(ConsumerEvent::Failed(reason)) => bail!("read from Kafka: {reason}"),
            None => bail!("read from Kafka: the consumer has ended"),
        };
    }
    consumer.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Ends the process when the end that was asked for does not come: the reader of a full pipe has stopped, and
/// writing to it waits for ever. Nothing is lost, since nothing is committed.
async fn end_at_last(shutdown: Shutdown) {
    const GRACE: Duration = Duration::from_secs(3);
    shutdown.cancelled().await;
    tokio::time::sleep(GRACE).await;
    std::process::exit(0);
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Style {
    /// For people: rounded, aligned, cut.
    Columns,
    /// For programs: whole, separated by tabs.
    Fields,
    /// The records themselves.
    Json,
}

struct Printer {
    style: Style,
    schema: Schema,
    /// How many events are still wanted; none for all.
    left: Option<u64>,
}

impl Printer {
    fn new(arguments: &Arguments, schema: Schema) -> Self {
        let style = match arguments.json {
            true => Style::Json,
            false if io::stdout().is_terminal() => Style::Columns,
            false => Style::Fields,
        };
        Self { style, schema, left: arguments.count }
    }

    fn header(&self) -> io::Result<()> {
        if self.style == Style::Columns {
            let head = row::header(&self.schema);
            writeln!(output::stdout(), "{HEAD}{head}{HEAD:#}")?;
        }
        Ok(())
    }

    /// Prints a batch. Returns whether more is wanted.
    fn records(&mut self, records: &[Record]) -> anyhow::Result<bool> {
        let mut out = io::stdout().lock();
        for record in records {
            let line = match self.style {
                Style::Columns => row::columns(&self.schema, record.payload()),
                Style::Fields => row::fields(&self.schema, record.payload()),
                Style::Json => row::json(record.payload()),
            };
            // Written by another program: told, so that counts can be understood, but no event.
            let line = match line {
                Ok(line) => line,
                Err(reason) => {
                    let (partition, offset) = (record.position.partition, record.position.offset);
                    tracing::warn!(
                        topic = &*record.topic,
                        partition,
                        offset,
                        reason,
                        "no joined event"
                    );
                    continue;
                }
            };
            if !output::is_read(writeln!(out, "{line}"))? {
                return Ok(false);
            }
            if let Some(left) = &mut self.left {
                *left -= 1;
                if *left == 0 {
                    break;
                }
            }
        }
        Ok(output::is_read(out.flush())? && self.left != Some(0))
    }
}
