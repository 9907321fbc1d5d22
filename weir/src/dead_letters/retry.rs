//! `weir dead-letters retry`: sends refused events again, judged by the present settings.
//!
//! [`judge`] says which record a dead letter becomes. Here they are read, sent and told, a bounded number at a
//! time. Nothing is deleted, so a retry that is cut off is simply done again.

mod judge;

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;
use weir_bridge::BridgeConfig;
use weir_host::HostConfig;
use weir_kafka::{Delivery, NewRecord, Producer, Progress, Scan};
use weir_service::{ConfigError, EXIT_FAILED};

use super::Filter;
use super::letter::{Letter, Place};
use crate::line::Line;
use judge::{Event, Judge};
use weir_view::show;

/// How many may be under way.
const BATCH: usize = 500;
/// Whoever cuts off the report must not take it for success.
const OUTPUT: &str = "write to standard output what became of the dead letters";

#[derive(clap::Args, Debug)]
pub(super) struct Retry {
    #[command(flatten)]
    line: Line,
    /// Settings of the bridge (TOML), whose rules are for what it refused. Without them: its defaults, with the
    /// schema and the topics of the host.
    #[arg(long, value_name = "FILE")]
    bridge_config: Option<PathBuf>,
    /// Dead letters: topic/partition/offset, as `list` prints them.
    #[arg(
        value_name = "PLACE",
        required_unless_present = "all",
        conflicts_with_all = ["all", "topic", "reason", "since"]
    )]
    places: Vec<Place>,
    /// All dead letters, or those that the following options choose.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    /// Send nothing; tell what would be sent.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object for each dead letter, and no sum.
    #[arg(long)]
    json: bool,
}

impl Retry {
    pub(super) async fn execute(self) -> anyhow::Result<ExitCode> {
        let config = self.line.load()?;
        let bridge = bridge(&config, self.bridge_config.as_deref())?;
        let judge = Judge::new(bridge.transform()?, config.schema()?, config.topics.clone());
        let producer = Producer::new(&config.kafka(), Progress::default())?;
        let mut letters = Letters::new(config, self.places, self.filter);
        let mut tally = Tally { dry_run: self.dry_run, json: self.json, ..Tally::default() };
        loop {
            let (rest, batch) = tokio::task::spawn_blocking(move || letters.batch()).await?;
            letters = rest;
            let batch = batch?;
            if batch.is_empty() {
                break;
            }
            let mut sent = Vec::with_capacity(batch.len());
            for asked in batch {
                sent.push(send(&judge, &producer, asked, self.dry_run).await);
            }
            for attempt in sent {
                tally.tell(attempt.ended().await).context(OUTPUT)?;
            }
        }
        if !self.json {
            writeln!(io::stdout().lock(), "{tally}").context(OUTPUT)?;
        }
        Ok(ExitCode::from(if tally.failed == 0 { 0 } else { EXIT_FAILED }))
    }
}

/// The settings by which the bridge judges.
fn bridge(host: &HostConfig, file: Option<&Path>) -> Result<BridgeConfig, ConfigError> {
    let Some(file) = file else {
        let (schema, topics) = (host.schema.clone(), host.topics.clone());
        return Ok(BridgeConfig { schema, topics, ..BridgeConfig::default() });
    };
    let bridge = BridgeConfig::load(Some(file))?;
    if bridge.topics != host.topics {
        let message = "topics: the bridge's differ from the host's; give --config and --bridge-config of \
                       one line, with equal [topics]";
        return Err(ConfigError::value(message));
    }
    Ok(bridge)
}

/// A dead letter that is asked for, or why it cannot be read.
struct Asked {
    place: Place,
    letter: Result<Letter, String>,
}

/// The letters that are asked for, a batch at a time.
struct Letters {
    config: HostConfig,
    /// Those that are named and still to be read. None if all are asked for.
    places: Option<VecDeque<Place>>,
    filter: Filter,
    scan: Option<Scan>,
}

impl Letters {
    fn new(config: HostConfig, places: Vec<Place>, filter: Filter) -> Self {
        let places = (!places.is_empty()).then(|| places.into());
        Self { config, places, filter, scan: None }
    }

    /// The next batch; empty at the end. Blocks.
    fn batch(mut self) -> (Self, anyhow::Result<Vec<Asked>>) {
        let batch = match self.places.take() {
            Some(mut places) => {
                let next = places.drain(..places.len().min(BATCH)).collect();
                self.places = Some(places);
                self.named(next)
            }
            None => self.scanned(),
        };
        (self, batch)
    }

    fn named(&self, places: Vec<Place>) -> anyhow::Result<Vec<Asked>> {
        let topics = self.config.topics.dead_letters();
        let asked = |place: Place| {
            let letter = if topics.contains(&place.topic) {
                let found = Scan::record(&self.config.kafka(), &place.topic, place.position)?;
                found.map(Letter::of).ok_or_else(|| "it is not there, or no longer".to_owned())
            } else {
                Err("it lies in no topic of dead letters of this line".to_owned())
            };
            Ok(Asked { place, letter })
        };
        places.into_iter().map(asked).collect()
    }

    fn scanned(&mut self) -> anyhow::Result<Vec<Asked>> {
        let mut scan = match self.scan.take() {
            Some(scan) => scan,
            None => self.filter.scan(&self.config)?,
        };
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(letter) = self.filter.next(&mut scan)?
        {
            batch.push(Asked { place: letter.place.clone(), letter: Ok(letter) });
        }
        self.scan = Some(scan);
        Ok(batch)
    }
}

/// A letter on its way.
struct Attempt {
    place: Place,
    state: Result<(Event, Option<Delivery>), String>,
}

async fn send(judge: &Judge, producer: &Producer, asked: Asked, dry_run: bool) -> Attempt {
    let place = asked.place;
    let event = match asked.letter.and_then(|letter| judge.event(letter)) {
        Ok(event) => event,
        Err(reason) => return Attempt { place, state: Err(reason) },
    };
    if dry_run {
        return Attempt { place, state: Ok((event, None)) };
    }
    let headers: Vec<_> =
        event.headers.iter().map(|(name, text)| (&**name, text.as_bytes())).collect();
    let record = NewRecord {
        topic: &event.topic,
        key: event.key.as_deref(),
        payload: Some(&event.payload),
        headers: &headers,
        timestamp: event.timestamp,
    };
    let state = match producer.send_patiently(&record).await {
        Ok(delivery) => Ok((event, Some(delivery))),
        Err(error) => Err(format!("failed to {error}")),
    };
    Attempt { place, state }
}

/// What became of a letter: where its event went, or why it did not.
struct Ended {
    place: Place,
    result: Result<Gone, String>,
}

/// An event that was sent, or would be.
struct Gone {
    /// The record, or the topic where nothing is sent.
    to: String,
    id: String,
    is_sent: bool,
}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let done = if self.is_sent { "sent to" } else { "would go to" };
        write!(f, "{done} {}, id {}", self.to, self.id)
    }
}

impl Attempt {
    async fn ended(self) -> Ended {
        let result = match self.state {
            Err(reason) => Err(reason),
            Ok((event, None)) => {
                Ok(Gone { to: event.topic, id: event.id.to_string(), is_sent: false })
            }
            Ok((event, Some(delivery))) => match delivery.await {
                Ok(position) => {
                    let to = Place { topic: event.topic, position }.to_string();
                    Ok(Gone { to, id: event.id.to_string(), is_sent: true })
                }
                Err(error) => Err(format!("failed to {error}")),
            },
        };
        Ended { place: self.place, result }
    }
}

#[derive(Default)]
struct Tally {
    dry_run: bool,
    json: bool,
    sent: u64,
    failed: u64,
}

impl Tally {
    fn tell(&mut self, ended: Ended) -> io::Result<()> {
        let Ended { place, result } = ended;
        match &result {
            Ok(_) => self.sent += 1,
            Err(_) => self.failed += 1,
        }
        let mut out = io::stdout().lock();
        if self.json {
            let gone = result.as_ref().ok();
            let object = json!({
                "place": place.to_string(),
                "sent": gone.is_some_and(|gone| gone.is_sent),
                "to": gone.map(|gone| &gone.to),
                "id": gone.map(|gone| &gone.id),
                "reason": result.as_ref().err(),
            });
            let object = object.to_string();
            let line = show::json(object.as_bytes()).expect("an object was written");
            return writeln!(out, "{line}");
        }
        match result {
            Ok(gone) => writeln!(out, "{place}  {gone}"),
            Err(reason) => writeln!(out, "{place}  not sent: {}", show::text(&reason, 300)),
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sent = if self.dry_run { "would be sent" } else { "sent" };
        write!(f, "{} {sent}, {} not; no dead letter was deleted", self.sent, self.failed)
    }
}
