//! `weir dead-letters`: looks at what was refused, and sends it again after a fix.
//!
//! It never deletes or changes a dead letter: Kafka's retention does. [`retry`] has the rules for sending again.

mod letter;
mod list;
mod retry;
mod show;

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use weir_events::TopicNames;
use weir_host::HostConfig;
use weir_kafka::{KafkaError, Scan, Start};
use weir_service::SystemClock;

use crate::line::Line;
use crate::since::Since;
use letter::Letter;

/// Arguments of `weir dead-letters`.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// List dead letters, oldest first, and count them by reason.
    #[command(after_help = "\
Examples:
  weir dead-letters list --kafka localhost:9092
  weir dead-letters list --topic machine-weight --reason out-of-range --since 2h
  weir dead-letters list -n 1000000 --json | jq -r .source | sort | uniq -c")]
    List(list::List),
    /// Show one dead letter: its headers and what was refused.
    #[command(after_help = "\
Examples:
  weir dead-letters show machine-weight-dead-letter/0/17
  weir dead-letters show machine-weight-dead-letter/0/17 --raw > payload.json")]
    Show(show::Show),
    /// Send dead letters again after a fix, with the ids that their events have.
    #[command(after_help = "\
What the bridge refused takes the bridge's way again, judged by the time at which it was refused; what a role
refused goes back to the topic from which the role read it. Ids stay the same, so retrying twice joins and
stores nothing twice. Event times stay the same too: an event that comes again later than join.lateness
allows ends in the topic of unjoined events as `late`.

What would be refused again, or was cut (more than 64 KiB), is told and left. No dead letter is deleted.

Examples:
  weir dead-letters retry --all --dry-run
  weir dead-letters retry machine-weight-dead-letter/0/17
  weir dead-letters retry --all --reason out-of-range --config host.toml --bridge-config bridge.toml

Exit codes: 0 all were sent, 1 not, 2 wrong arguments, 78 wrong configuration.")]
    Retry(retry::Retry),
}

/// Runs `weir dead-letters`.
pub(crate) async fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.action {
        Action::List(list) => list.execute().await,
        Action::Show(show) => show.execute().await,
        Action::Retry(retry) => retry.execute().await,
    }
}

/// Which dead letters.
#[derive(clap::Args, Clone, Debug)]
struct Filter {
    /// Only those of this topic; either its own name or that of its dead letters.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Only those with this reason, for example out-of-range.
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: Option<weir_events::Reason>,
    /// Only those that were refused since then.
    #[arg(long, value_name = "TIME|DURATION")]
    since: Option<Since>,
}

fn reason(text: &str) -> Result<weir_events::Reason, String> {
    use weir_events::Reason;
    let names = || Reason::ALL.map(Reason::as_str).join(", ");
    Reason::parse(text).ok_or_else(|| format!("the reasons are {}", names()))
}

impl Filter {
    /// Opens a scan of the topics that are asked for. Blocks.
    fn scan(&self, config: &HostConfig) -> anyhow::Result<Scan> {
        let topics = self.topics(&config.topics)?;
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let start = self.since.map_or(Start::Beginning, |since| since.start(&SystemClock));
        Ok(Scan::topics(&config.kafka(), &topics, start)?)
    }

    fn topics(&self, names: &TopicNames) -> anyhow::Result<Vec<String>> {
        let all = names.dead_letters();
        let Some(topic) = &self.topic else { return Ok(all) };
        let of_topic = TopicNames::dead_letter(topic);
        let found = all.iter().find(|name| *name == topic || **name == of_topic);
        match found {
            Some(found) => Ok(vec![found.clone()]),
            None => bail!("find dead letters of {topic:?}; there are {}", all.join(", ")),
        }
    }

    /// The next letter that is asked for. Blocks.
    fn next(&self, scan: &mut Scan) -> Result<Option<Letter>, KafkaError> {
        while let Some(record) = scan.next()? {
            let letter = Letter::of(record);
            if self.reason.is_none_or(|reason| letter.reason.as_deref() == Some(reason.as_str())) {
                return Ok(Some(letter));
            }
        }
        Ok(None)
    }
}

/// The settings, and `work` on them on a thread that may block.
async fn blocking<T: Send + 'static>(
    line: &Line,
    work: impl FnOnce(HostConfig) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let config = line.load()?;
    tokio::task::spawn_blocking(move || work(config)).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_named_by_itself_or_by_its_dead_letters() {
        let names = TopicNames::default();
        let topics = |topic: &str| {
            let filter = Filter { topic: Some(topic.into()), reason: None, since: None };
            filter.topics(&names).map_err(|error| error.to_string())
        };
        let weights = Ok(vec!["machine-weight-dead-letter".to_owned()]);
        assert_eq!(topics("machine-weight"), weights);
        assert_eq!(topics("machine-weight-dead-letter"), weights);
        assert_eq!(topics("unrouted-dead-letter"), Ok(vec!["unrouted-dead-letter".to_owned()]));
        assert!(topics("models").expect_err("none").contains("machine-weight-dead-letter"));
    }
}
