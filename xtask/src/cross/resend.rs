//! An agent that is killed, with SIGKILL, while most of what it has sent is not confirmed end to end, and started again
//! on the same spool.
//!
//! ```text
//!  numbers  1        CONFIRMED                    last sent    last on disk
//!           │ confirmed  │ sent, not confirmed        │ not sent    │
//!  run 1    ├────────────┼───────────────────────────►┊             ┊      SIGKILL
//!  run 2                 ├─────────────────────────────────────────►├─────────────► ends by itself
//!                        │ under the ids of run 1                   │ run 2's own, when all before is confirmed
//! ```
//! What is looked at is what a bridge sees: topics, payloads and stamps (`<epoch>/<seq>/<floor>`, `crates/events/src/delivery.rs`).
//! [`Account`] judges each message; the rest of this file starts, confirms and kills.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};

use super::broker::{Broker, Confirmations, Messages, PATIENCE, Running, Session};
use super::check::{Agent, EVENTS};
use crate::report;

/// How many are confirmed before the agent is killed.
const CONFIRMED: u64 = 200;
/// The fewest that are sent before.
const SENT: u64 = 3 * CONFIRMED;
/// How many times faster than real time fish pass before: 1,000 events in a second, so that it is killed at its work.
const SPEED: &str = "1000";
/// So that more is on disk than was sent; and the smallest files, which go with smaller events only, so that there are several.
const SETTINGS: [(&str, &str); 3] = [
    ("WEIR__DELIVERY__UNCONFIRMED_MAX", "1000"),
    ("WEIR__SPOOL__SEGMENT_BYTES", "65536"),
    ("WEIR__LIMITS__SAMPLE_BYTES_MAX", "4096"),
];
/// After that long nothing of a dead agent is on its way any more.
const QUIET: Duration = Duration::from_secs(1);

/// Topic, user properties and payload.
const FORMAT: &str = "%t %P %p";

pub(super) fn check(agent: &Agent<'_>, broker: &Broker) -> Result<()> {
    let began = Instant::now();
    let line = agent.line("resend");
    let session = Session::begin(broker, &line)?;
    let state = tempfile::tempdir().context("make a folder")?;
    let start = |source: &[&str]| {
        let mut command = agent.command(broker, &line, state.path());
        command.envs(SETTINGS).args(source);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        child.map(Running).context("start the agent")
    };
    let mut bridge =
        Bridge { messages: session.messages(FORMAT)?, confirmations: session.confirmations()? };

    let mut killed = start(&["simulate", "--forever", "--speed", SPEED])?;
    let mut account = Account::default();
    bridge.confirm_some(&mut account, &mut killed)?;
    await_change(&state.path().join("spool/mark"))?;
    drop(killed);
    while let Some(message) = bridge.messages.next_within(QUIET)? {
        account.receive(&message)?;
    }

    let mut again = start(&["simulate", "--speed", "max"])?;
    let sent = account.begin_again()?;
    bridge.confirm_all(&mut account, sent, &mut again)?;
    let printed = std::io::read_to_string(again.0.stdout.take().context("read the agent")?);
    let printed = printed.context("read the agent")?;
    let kept = account.verdict(&printed)?;
    report(&format!(
        "{:30} {sent} events sent, {CONFIRMED} confirmed, killed; {kept} were on disk and came, those sent before \
         under their ids, then {EVENTS} new ones{} in {:.1} s",
        agent.machine.name(),
        broker.entry(),
        began.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Waits until the file is written again: the agent notes there what is confirmed, every few seconds.
fn await_change(file: &Path) -> Result<()> {
    let written = || -> Result<SystemTime> {
        let modified = fs::metadata(file).and_then(|metadata| metadata.modified());
        modified.with_context(|| format!("look at {}", file.display()))
    };
    let (began, before) = (Instant::now(), written()?);
    while written()? == before {
        ensure!(began.elapsed() < PATIENCE, "{} is not written again", file.display());
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// What stands in the place of a bridge.
struct Bridge {
    messages: Messages,
    confirmations: Confirmations,
}

impl Bridge {
    /// The next message; none if the agent has ended and nothing of it is on its way any more.
    fn next(&self, agent: &mut Running) -> Result<Option<String>> {
        let began = Instant::now();
        loop {
            if let Some(message) = self.messages.next_within(Duration::from_millis(100))? {
                return Ok(Some(message));
            }
            if agent.0.try_wait().context("wait for the agent")?.is_some() {
                return self.messages.next_within(QUIET);
            }
            ensure!(began.elapsed() < PATIENCE, "the agent neither sends nor ends");
        }
    }

    /// Confirms the first ones, and receives until the agent has heard of it and has sent many more.
    fn confirm_some(&mut self, account: &mut Account, agent: &mut Running) -> Result<()> {
        let began = Instant::now();
        loop {
            let message = self.next(agent)?.context("the agent ends before it is killed")?;
            let stamp = account.receive(&message)?;
            ensure!(began.elapsed() < PATIENCE, "{stamp:?}: the agent hears no confirmation");
            match stamp.floor {
                1 if stamp.seq >= CONFIRMED => self.confirm(&stamp.epoch, CONFIRMED)?,
                1 => {}
                floor => ensure!(floor == CONFIRMED + 1, "{stamp:?} was not confirmed so"),
            }
            if stamp.floor > 1 && stamp.seq >= SENT {
                return Ok(());
            }
        }
    }

    /// Confirms nothing until everything up to `last` has come again, and then all that comes, until the agent ends.
    fn confirm_all(&mut self, account: &mut Account, last: u64, agent: &mut Running) -> Result<()> {
        let began = Instant::now();
        while let Some(message) = self.next(agent)? {
            // Otherwise one that sends the same for ever would never fail.
            ensure!(began.elapsed() < 2 * PATIENCE, "the agent does not end: {:?}", account.counts);
            let stamp = account.receive(&message)?;
            let newest = account.counts.last().context("count the message")?;
            if newest.through >= last {
                self.confirm(&newest.epoch, newest.through)?;
            } else {
                ensure!(stamp.floor == CONFIRMED + 1, "{stamp:?}: none was confirmed in this run");
            }
        }
        let status = agent.0.wait().context("wait for the agent")?;
        ensure!(status.success(), "the agent ended with {status}");
        Ok(())
    }

    fn confirm(&mut self, epoch: &str, through: u64) -> Result<()> {
        self.confirmations.send(&format!(r#"{{"epoch":"{epoch}","through":{through}}}"#))
    }
}

/// What a message says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Stamp {
    epoch: String,
    seq: u64,
    floor: u64,
}

impl Stamp {
    /// Of a line in [`FORMAT`], with topic and payload.
    fn split(line: &str) -> Result<(Self, (String, String))> {
        let parts = || {
            let (topic, rest) = line.split_once(' ')?;
            let (stamp, payload) = rest.split_once(' ')?;
            let mut parts = stamp.strip_prefix("weir-record:")?.split('/');
            let epoch = parts.next().filter(|epoch| epoch.len() == 32)?.to_owned();
            let (seq, floor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let whole = parts.next().is_none();
            whole.then(|| (Self { epoch, seq, floor }, (topic.to_owned(), payload.to_owned())))
        };
        parts().with_context(|| format!("find the stamp in {line:?}"))
    }
}

/// How far the numbers of an epoch have come in one run of the agent.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Count {
    epoch: String,
    /// The number before the first one.
    base: u64,
    /// The last one; all between have come.
    through: u64,
}

/// What has come, of all runs, and whether it is as it should be.
#[derive(Default, Debug)]
struct Account {
    /// Topic and payload, by epoch and number.
    records: BTreeMap<(String, u64), (String, String)>,
    /// Of the run before.
    before: Option<Count>,
    /// Of this run: what is left of the epoch before, and the run's own.
    counts: Vec<Count>,
}

impl Account {
    /// The agent was started again. Returns how far it had come.
    fn begin_again(&mut self) -> Result<u64> {
        let counts = std::mem::take(&mut self.counts);
        let [count] = &counts[..] else { bail!("a first run has one epoch: {counts:?}") };
        self.before = Some(count.clone());
        Ok(count.through)
    }

    /// Takes a message. Fails if a number is missing before it, or if its number came with something else.
    fn receive(&mut self, line: &str) -> Result<Stamp> {
        let (stamp, record) = Stamp::split(line)?;
        ensure!(!record.0.ends_with("/gap"), "the agent has lost something: {line:?}");
        let id = (stamp.epoch.clone(), stamp.seq);
        let known = self.records.entry(id).or_insert_with(|| record.clone());
        ensure!(*known == record, "{stamp:?} is {record:?}, and was {known:?}");
        if self.counts.last().is_none_or(|count| count.epoch != stamp.epoch) {
            let over = self.counts.iter().any(|count| count.epoch == stamp.epoch);
            ensure!(!over, "{stamp:?} is of an epoch that was over");
            let first = self.counts.is_empty();
            let expected = self.before.as_ref().filter(|_| first);
            ensure!(
                expected.is_none_or(|count| count.epoch == stamp.epoch),
                "{stamp:?} has come, not what is left of {expected:?}"
            );
            let base = stamp.floor.checked_sub(1).context("read a floor of 0")?;
            // Numbers go on over the end of an epoch.
            let expected = self.counts.last().map_or(base, |count| count.through);
            ensure!(base == expected, "{stamp:?} follows {expected}");
            self.counts.push(Count { epoch: stamp.epoch.clone(), base, through: base });
        }
        let count = self.counts.last_mut().context("count the message")?;
        // One that came before may come again: the connection may have been lost, or nothing was confirmed for long.
        let expected = count.base + 1..=count.through + 1;
        ensure!(expected.contains(&stamp.seq), "{stamp:?} has come, not one of {expected:?}");
        count.through = count.through.max(stamp.seq);
        Ok(stamp)
    }

    /// How many of the first run were on disk and not confirmed, if the second run has told of all of them and of all that
    /// it took itself. `printed` is what the agent says.
    fn verdict(&self, printed: &str) -> Result<u64> {
        let [rest, new] = &self.counts[..] else { bail!("{:?} came", self.counts) };
        ensure!(rest.base == CONFIRMED, "{rest:?}: {CONFIRMED} were confirmed");
        let (kept, taken) = (rest.through - rest.base, new.through - new.base);
        ensure!(taken == EVENTS, "{taken} new events came, not {EVENTS}");
        let all = kept + taken;
        let expected = format!("found {kept}  taken {taken}  confirmed {all}  dropped 0  left 0  ");
        ensure!(printed.starts_with(&expected), "{expected:?} came; the agent says: {printed}");
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of the epoch that has this digit.
    fn message(digit: char, seq: u64, floor: u64, payload: &str) -> String {
        let epoch = digit.to_string().repeat(32);
        format!("weir/l/d/weight weir-record:{epoch}/{seq}/{floor} {payload}")
    }

    fn account(messages: &[String]) -> Result<Account> {
        let mut account = Account::default();
        messages.iter().try_for_each(|message| account.receive(message).map(drop))?;
        Ok(account)
    }

    #[test]
    fn a_stamp_is_found_between_topic_and_payload() {
        let (stamp, record) = Stamp::split(&message('a', 7, 3, r#"{"a": 1}"#)).unwrap();
        assert_eq!((stamp.seq, stamp.floor), (7, 3));
        assert_eq!(record, ("weir/l/d/weight".to_owned(), r#"{"a": 1}"#.to_owned()));
        for line in
            ["", "weir/l/d/weight  {}", "t weir-record:a/1/1 {}", &message('a', 7, 3, "")[..20]]
        {
            assert!(Stamp::split(line).is_err(), "{line}");
        }
    }

    #[test]
    fn numbers_come_in_order_and_repeat_with_the_same_content_only() {
        let [one, two, three] = [1, 2, 3].map(|seq| message('a', seq, 1, &format!("{seq}")));
        let good = account(&[one.clone(), two.clone(), one.clone(), two.clone(), three.clone()]);
        assert_eq!(good.unwrap().counts[0].through, 3);
        account(&[one.clone(), three]).unwrap_err();
        account(&[one.clone(), message('a', 1, 1, "other")]).unwrap_err();
        account(&[one, two.replace("/weight", "/gap")]).unwrap_err();
    }

    #[test]
    fn after_a_restart_nothing_comes_that_was_confirmed_and_another_epoch_goes_on() {
        let mut seen = account(&[message('a', 1, 1, "x"), message('a', 2, 1, "y")]).unwrap();
        assert_eq!(seen.begin_again().unwrap(), 2);
        seen.receive(&message('c', 2, 2, "y")).unwrap_err();
        seen.receive(&message('a', 2, 2, "y")).unwrap();
        seen.receive(&message('a', 1, 1, "x")).unwrap_err();
        seen.receive(&message('b', 4, 4, "z")).unwrap_err();
        seen.receive(&message('b', 3, 3, "z")).unwrap();
        seen.receive(&message('a', 2, 2, "y")).unwrap_err();
    }

    #[test]
    fn the_agents_own_figures_must_be_what_came() {
        let count = |epoch: &str, base, through| Count { epoch: epoch.to_owned(), base, through };
        let (rest, new) = (count("a", CONFIRMED, 1_000), count("b", 1_000, 1_000 + EVENTS));
        let account = Account { counts: vec![rest, new], ..Account::default() };
        let printed = "found 800  taken 360  confirmed 1160  dropped 0  left 0  too large 0";
        assert_eq!(account.verdict(printed).unwrap(), 800);
        account.verdict(&printed.replace("800", "801")).unwrap_err();
        account.verdict(&printed.replace("left 0", "left 1")).unwrap_err();
    }
}
