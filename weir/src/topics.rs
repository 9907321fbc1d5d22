//! `weir topics`: makes the topics that a line needs, and compares them with what is there.
//!
//! What exists is never changed: more partitions would send later events of a key elsewhere, and a topic that
//! differs may be meant to.

mod plan;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;
use weir_host::HostConfig;
use weir_kafka::{Admin, ClusterState, Creation, NewTopicSpec, TopicState};
use weir_service::EXIT_FAILED;

pub(crate) use plan::{POLICY, default_replication, differences, topics as wanted};

use crate::line::Line;
use crate::output;
use crate::table::Table;

/// Arguments of `weir topics`.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Make the topics that do not exist, or only compare.
    #[command(after_help = "\
Topics of events get N partitions, so that up to N hosts share the work; the others always get one. What
exists is left as it is, and told if it differs.

`models` is compacted. It takes components up to limits.component-bytes-max of the configuration (4 MiB).
Those that Weir trains are far smaller; to publish one above librdkafka's own limit of 1,000,000 bytes, set
\"message.max.bytes\" under [kafka.settings] too.

Examples:
  weir topics create --kafka localhost:9092
  weir topics create --partitions 4 --config /etc/weir/host.toml
  weir topics create --partitions 4 --check     change nothing, tell what differs

Exit codes: 0 all topics exist (with --check: and are as wanted), 1 not, 2 wrong arguments, 78 wrong
configuration.")]
    Create(Create),
}

#[derive(clap::Args, Debug)]
struct Create {
    #[command(flatten)]
    line: Line,
    /// Partitions of the topics of events.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Brokers that keep each partition [default: 3 where there are three brokers or more, else 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=32767))]
    replication: Option<i32>,
    /// Change nothing; compare, and exit with 1 if something is missing or differs.
    #[arg(long)]
    check: bool,
    /// Print one JSON object for each topic instead of a table.
    #[arg(long)]
    json: bool,
}

/// Runs `weir topics`.
pub(crate) async fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Action::Create(arguments) = arguments.action;
    create(arguments).await
}

async fn create(arguments: Create) -> anyhow::Result<ExitCode> {
    let config = arguments.line.load()?;
    let admin = Admin::new(&config.kafka())?;
    let names = plan::topics(&config, 1, 1);
    let names: Vec<&str> = names.iter().map(|topic| topic.name.as_str()).collect();
    let ClusterState { brokers, topics: found } = admin.describe(&names).await?;
    let replication = arguments.replication.unwrap_or(plan::default_replication(brokers));
    if replication > brokers {
        bail!(
            "keep {replication} copies of each topic: the brokers are {brokers}; give --replication \
             {brokers} or less"
        );
    }
    let found: BTreeMap<_, _> =
        found.into_iter().map(|topic| (topic.name.clone(), topic)).collect();
    let wanted = plan::topics(&config, arguments.partitions, replication);
    let missing: Vec<_> =
        wanted.iter().filter(|topic| !found.contains_key(&topic.name)).cloned().collect();
    let mut created = if arguments.check || missing.is_empty() {
        BTreeMap::new()
    } else {
        let results = admin.create(&missing).await?;
        missing.into_iter().map(|topic| topic.name).zip(results).collect()
    };
    let lines: Vec<Outcome> = wanted
        .into_iter()
        .map(|wanted| {
            let state = State::of(&wanted, found.get(&wanted.name), created.remove(&wanted.name));
            Outcome { found: found.get(&wanted.name).cloned(), wanted, state }
        })
        .collect();
    output::is_read(if arguments.json { print_json(&lines) } else { print_table(&lines) })?;
    let is_fine = lines.iter().all(|line| line.state.is_fine(arguments.check));
    Ok(ExitCode::from(if is_fine { 0 } else { EXIT_FAILED }))
}

/// Makes the topics of a line, for programs that have one of their own. What exists is left as it is.
///
/// # Errors
/// If the brokers do not answer, or refuse a topic.
pub(crate) async fn make(config: &HostConfig, partitions: i32) -> anyhow::Result<()> {
    let admin = Admin::new(&config.kafka())?;
    let replication = plan::default_replication(admin.describe(&[]).await?.brokers);
    let wanted = wanted(config, partitions, replication);
    for (topic, creation) in wanted.iter().zip(admin.create(&wanted).await?) {
        if let Creation::Refused(reason) = creation {
            bail!("make the topic {:?}: {reason}", topic.name);
        }
    }
    Ok(())
}

/// What became of one topic.
struct Outcome {
    wanted: NewTopicSpec,
    found: Option<TopicState>,
    state: State,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Created,
    Exists,
    Differs(Vec<String>),
    Missing,
    Refused(String),
}

impl State {
    fn of(wanted: &NewTopicSpec, found: Option<&TopicState>, created: Option<Creation>) -> Self {
        match (found, created) {
            (Some(found), _) => match plan::differences(wanted, found) {
                differences if differences.is_empty() => Self::Exists,
                differences => Self::Differs(differences),
            },
            (None, Some(Creation::Created)) => Self::Created,
            // Somebody else made it meanwhile, very likely with this command.
            (None, Some(Creation::Exists)) => Self::Exists,
            (None, Some(Creation::Refused(reason))) => Self::Refused(reason),
            (None, None) => Self::Missing,
        }
    }

    /// A comparison asks for equal topics; making them asks for topics.
    fn is_fine(&self, is_comparison: bool) -> bool {
        match self {
            Self::Created | Self::Exists => true,
            Self::Differs(_) => !is_comparison,
            Self::Missing | Self::Refused(_) => false,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Exists => "exists",
            Self::Differs(_) => "differs",
            Self::Missing => "missing",
            Self::Refused(_) => "refused",
        }
    }

    /// What there is to say beside the name, a sentence each.
    fn details(&self) -> &[String] {
        match self {
            Self::Differs(differences) => differences,
            Self::Refused(reason) => std::slice::from_ref(reason),
            Self::Created | Self::Exists | Self::Missing => &[],
        }
    }
}

impl Outcome {
    /// As it is, or as it should be if it is not there.
    fn shape(&self) -> (i32, i32, String) {
        let wanted = || self.wanted.settings.iter().cloned().collect();
        let (partitions, replication, settings) = match &self.found {
            Some(found) => (found.partitions, found.replication, found.settings.clone()),
            None => (self.wanted.partitions, self.wanted.replication, wanted()),
        };
        (partitions, replication, plan::policy(&settings).to_owned())
    }
}

fn print_table(lines: &[Outcome]) -> std::io::Result<()> {
    let mut table = Table::new(["topic", "partitions", "replication", "policy", "state"]);
    for line in lines {
        let (partitions, replication, policy) = line.shape();
        let state = match line.state.details() {
            [] => line.state.name().to_owned(),
            details => format!("{}: {}", line.state.name(), details.join("; ")),
        };
        let name = line.wanted.name.clone();
        table.row([name, partitions.to_string(), replication.to_string(), policy, state]);
    }
    write!(output::stdout(), "{table:#}")
}

fn print_json(lines: &[Outcome]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        let (partitions, replication, policy) = line.shape();
        let object = json!({
            "topic": line.wanted.name,
            "partitions": partitions,
            "replication": replication,
            "policy": policy,
            "state": line.state.name(),
            "details": line.state.details(),
        });
        writeln!(out, "{object}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> NewTopicSpec {
        let settings = vec![("cleanup.policy".to_owned(), "delete".to_owned())];
        NewTopicSpec { name: "t".into(), partitions: 2, replication: 1, settings }
    }

    fn found(partitions: i32) -> TopicState {
        let settings = wanted().settings.into_iter().collect();
        TopicState { name: "t".into(), partitions, replication: 1, settings }
    }

    #[test]
    fn a_difference_fails_a_comparison_only() {
        let check = |found: Option<TopicState>, created, expected: &str, fine: [bool; 2]| {
            let state = State::of(&wanted(), found.as_ref(), created);
            assert_eq!(state.name(), expected);
            assert_eq!([true, false].map(|check| state.is_fine(check)), fine, "{expected}");
        };
        check(Some(found(2)), None, "exists", [true, true]);
        check(Some(found(1)), None, "differs", [false, true]);
        check(None, None, "missing", [false, false]);
        check(None, Some(Creation::Created), "created", [true, true]);
        check(None, Some(Creation::Exists), "exists", [true, true]);
        check(None, Some(Creation::Refused("policy".into())), "refused", [false, false]);
    }

    #[test]
    fn a_topic_is_shown_as_it_is_and_a_new_one_as_it_was_made() {
        let state = State::Exists;
        let outcome = Outcome { wanted: wanted(), found: Some(found(1)), state: state.clone() };
        assert_eq!(outcome.shape(), (1, 1, "delete".to_owned()));
        let outcome = Outcome { wanted: wanted(), found: None, state };
        assert_eq!(outcome.shape(), (2, 1, "delete".to_owned()));
    }
}
