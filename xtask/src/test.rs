//! `cargo xtask test`: every test of the workspace with one command, and how many there were.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only tests that need nothing installed: their brokers are inside the test processes. There are
    /// no others yet, so this changes nothing; tests against real servers will come beside them.
    #[arg(long)]
    embedded: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let began = Instant::now();
    let mut child = Command::new(crate::cargo())
        .args(["test", "--workspace", "--locked"])
        .current_dir(crate::workspace_root()?)
        .stdout(Stdio::piped())
        .spawn()
        .context("start cargo test")?;
    let output = child.stdout.take().context("read what cargo test prints")?;
    let mut counts = Counts::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("read what cargo test prints")?;
        crate::report(&line);
        counts.add(&line);
    }
    let status = child.wait().context("wait for cargo test")?;
    let Counts { passed, failed, ignored } = counts;
    let seconds = began.elapsed().as_secs();
    crate::report(&format!(
        "\nin {seconds} s: {passed} passed, {failed} failed, {ignored} ignored, on embedded brokers"
    ));
    if !arguments.embedded {
        crate::report("real servers: no tests yet");
    }
    if !status.success() {
        bail!("cargo test failed ({status}); its output above says where");
    }
    Ok(())
}

/// The sums over all test programs.
#[derive(Default, PartialEq, Debug)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
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
