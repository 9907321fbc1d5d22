//! `weir dead-letters show`: one record, whole.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;
use weir_kafka::{Record, Scan};

use super::blocking;
use super::letter::{Letter, Place};
use crate::line::Line;
use weir_view::show;

use crate::output;

#[derive(clap::Args, Debug)]
pub(super) struct Show {
    #[command(flatten)]
    line: Line,
    /// The dead letter: topic/partition/offset, as `list` prints it. Any other record can be shown too, for
    /// example the source of a dead letter.
    #[arg(value_name = "PLACE")]
    place: Place,
    /// Write the bytes of the payload to standard output, and nothing else.
    #[arg(long)]
    raw: bool,
    /// Print one JSON object. Bytes that are no UTF-8 are replaced in it.
    #[arg(long, conflicts_with = "raw")]
    json: bool,
}

impl Show {
    pub(super) async fn execute(self) -> anyhow::Result<ExitCode> {
        let place = self.place;
        let record = blocking(&self.line, move |config| {
            let found = Scan::record(&config.kafka(), &place.topic, place.position)?;
            found.with_context(|| {
                format!(
                    "find {place}: it is not there, or no longer; weir dead-letters list shows what is"
                )
            })
        })
        .await?;
        let text = match (self.raw, self.json) {
            (true, _) => record.payload().to_vec(),
            (_, true) => json(&record).into_bytes(),
            _ => text(&record).into_bytes(),
        };
        let mut out = io::stdout().lock();
        output::is_read(out.write_all(&text).and_then(|()| out.flush()))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn json(record: &Record) -> String {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: serde_json::Map<String, serde_json::Value> =
        record.headers().map(|(name, value)| (name.to_owned(), lossy(value).into())).collect();
    let object = json!({
        "place": Place::of(record).to_string(),
        "time": record.timestamp,
        "key": record.key.as_deref().map(lossy),
        "headers": headers,
        "payload": lossy(record.payload()),
    });
    let object = object.to_string();
    show::json(object.as_bytes()).expect("an object was written") + "\n"
}

fn text(record: &Record) -> String {
    let mut fields = vec![
        ("place".to_owned(), Place::of(record).to_string()),
        ("time".to_owned(), record.timestamp.to_string()),
        ("key".to_owned(), record.key.as_deref().map_or("-".to_owned(), show::payload)),
    ];
    for (name, value) in record.headers() {
        fields.push((show::text(name, 64), show::payload(value)));
    }
    let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, value) in &fields {
        writeln!(out, "{name:<width$}  {value}").expect("a string takes text");
    }
    let kept = record.payload().len();
    let size = Letter::of(record.clone()).size;
    let part = match size {
        Some(size) if size > kept as u64 => format!("the first {kept} of {size} bytes"),
        _ => format!("{kept} bytes"),
    };
    writeln!(out, "\npayload, {part}:\n{}", show::payload(record.payload()))
        .expect("a string takes text");
    out
}
