//! `weir model audit`: proves that models were swapped without losing an event, and without joining one with two.
//!
//! It reads whole topics once, with bounded scans, and commits nothing. The order matters: measurements first, so that
//! their ends are older than those of the predictions; and joined rows before predictions, so that the prediction of
//! each row is read.

mod report;
mod show;
mod state;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use weir_events::{Digest, EventKind, ModelRef, Schema, Source, TopicNames, headers};
use weir_host::{HostConfig, id_of};
use weir_kafka::{KafkaError, Record, Scan, Start};
use weir_service::{EXIT_FAILED, SystemClock};

use crate::line::Line;
use crate::output;
use crate::since::{self, Since};
use report::{Report, Served};
use state::{Audit, Topic};

/// How often to look for predictions that are still to come.
const LOOK: Duration = Duration::from_millis(200);

/// Arguments of `weir model audit`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
It reads the topics of measurements, predictions and joined rows, and the dead letters of measurements, up to their
present ends, shows which version predicted which offsets, and checks that
  - every measurement has a prediction or is a dead letter;
  - every joined event is joined with one version, and has one row (repetitions of it are harmless);
  - a joined row has used the first prediction of its event (later ones are superseded);
  - every version has one digest.

Memory grows with the number of events, by about 100 bytes each. Where Kafka has deleted predictions whose
measurements are still there, --since tells from when on measurements count; predictions and rows are always
read whole, since an earlier one decides which one counts.

Examples:
  weir model audit --kafka localhost:9092
  weir model audit --since 2h -n 100
  weir model audit --json | jq -c '.served[]'

Exit codes: 0 all is well, 1 something is missing or contradictory, or it failed, 2 wrong arguments,
78 wrong configuration.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    line: Line,
    /// Only measurements written to Kafka since then must have a prediction.
    #[arg(long, value_name = "TIME|DURATION")]
    since: Option<Since>,
    /// Wait so long for predictions that are still to come.
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = duration)]
    wait: Duration,
    /// Of each list show so many.
    #[arg(short = 'n', default_value_t = 20, value_name = "N")]
    listed: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    since::duration(text).ok_or("not a duration (10s, 15m, 2h)")
}

/// Runs `weir model audit`.
pub(crate) async fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = arguments.line.load()?;
    let schema = config.schema()?;
    let Arguments { since, wait, listed, json, .. } = arguments;
    let (report, config) = tokio::task::spawn_blocking(move || {
        let mut reader = Reader { config, schema, audit: Audit::new(listed) };
        reader.read(since, wait)?;
        Ok::<_, KafkaError>((reader.audit.report(), reader.config))
    })
    .await??;
    print(&report, &config, json)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

fn print(report: &Report, config: &HostConfig, json: bool) -> anyhow::Result<()> {
    let text = match json {
        true => serde_json::to_string(report).context("write the report as JSON")? + "\n",
        false => show::text(report, &config.topics),
    };
    output::is_read(output::stdout().write_all(text.as_bytes()))?;
    Ok(())
}

/// Gives records to the audit.
struct Reader {
    config: HostConfig,
    schema: Schema,
    audit: Audit,
}

impl Reader {
    /// Reads all topics. Blocks.
    fn read(&mut self, since: Option<Since>, wait: Duration) -> Result<(), KafkaError> {
        let start = since.map_or(Start::Beginning, |since| since.start(&SystemClock));
        let (kafka, names) = (self.config.kafka(), self.config.topics.clone());
        let open = |topic: &str, start| Scan::topics(&kafka, &[topic], start);
        self.drain(&mut open(&names.measurement, start)?, Self::measurement)?;
        self.drain(&mut open(&names.joined, Start::Beginning)?, Self::joined)?;
        let mut predictions = open(&names.prediction, Start::Beginning)?;
        if !predictions.is_whole() {
            self.audit.predictions_are_cut();
        }
        let set_aside = TopicNames::dead_letter(&names.measurement);
        let mut dead_letters = open(&set_aside, Start::Beginning)?;
        self.drain(&mut predictions, Self::prediction)?;
        self.drain(&mut dead_letters, Self::dead_letter)?;
        let missing = self.audit.missing();
        if missing > 0 && !wait.is_zero() {
            tracing::warn!(missing, ?wait, "measurements have no prediction yet; waiting");
        }
        let began = Instant::now();
        while self.audit.missing() > 0 && began.elapsed() < wait {
            std::thread::sleep(LOOK.min(wait));
            predictions.go_on()?;
            dead_letters.go_on()?;
            self.drain(&mut predictions, Self::prediction)?;
            self.drain(&mut dead_letters, Self::dead_letter)?;
        }
        Ok(())
    }

    fn drain(
        &mut self,
        scan: &mut Scan,
        each: impl Fn(&mut Self, &Record),
    ) -> Result<(), KafkaError> {
        while let Some(record) = scan.next()? {
            each(self, &record);
        }
        Ok(())
    }

    fn measurement(&mut self, record: &Record) {
        let source = Source::record(record.timestamp);
        match self.schema.decode(EventKind::Measurement, record.payload(), &source) {
            Ok(_) => self.audit.measurement(id_of(record), record.position),
            Err(_) => self.audit.unreadable(Topic::Measurement),
        }
    }

    fn dead_letter(&mut self, record: &Record) {
        // One without an id is of no event that could be missed.
        if let Some(id) = record.header(headers::ID).and_then(|id| id.parse().ok()) {
            self.audit.dead_letter(id);
        }
    }

    fn prediction(&mut self, record: &Record) {
        let id = id_of(record);
        match self.schema.decode_prediction(record.payload(), id) {
            Ok(prediction) => self.audit.prediction(id, record.position, prediction.model.into()),
            Err(_) => self.audit.unreadable(Topic::Prediction),
        }
    }

    fn joined(&mut self, record: &Record) {
        match self.schema.decode_joined(record.payload()) {
            Ok(row) => {
                // Written anew: what counts is what a row says, not how another release wrote it.
                let content = Digest::of(&self.schema.encode_joined(&row));
                let (id, model) = (row.prediction.measurement.id, row.prediction.model.into());
                self.audit.joined(id, record.position, model, content);
            }
            Err(_) => self.audit.unreadable(Topic::Joined),
        }
    }
}

impl From<ModelRef> for Served {
    fn from(model: ModelRef) -> Self {
        Self { version: model.version, digest: model.digest }
    }
}
