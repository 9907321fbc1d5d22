//! What was found: one line for each check, told as it comes, or all at the end as JSON.

use std::io::{self, Write as _};

use anstyle::Style;
use serde::Serialize;

use crate::output;
use crate::style::{BAD, FAINT, FINE, WARNING};
use weir_view::show;

/// The most characters of a finding: brokers may say much.
const TEXT_MAX: usize = 600;

/// How good what was found is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Not looked at.
    Skipped,
    /// It works, or soon will; somebody should look.
    Warning,
    /// It does not work.
    Failed,
}

impl Level {
    fn shown(self) -> (&'static str, Style) {
        match self {
            Self::Ok => ("ok", FINE),
            Self::Skipped => ("skipped", FAINT),
            Self::Warning => ("warning", WARNING),
            Self::Failed => ("FAILED", BAD),
        }
    }
}

/// What one check found.
#[derive(PartialEq, Eq, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) level: Level,
    pub(super) found: String,
    /// What to do, unless all is well.
    pub(super) next: Option<String>,
}

/// All findings so far.
#[derive(Debug)]
pub(super) struct Report {
    findings: Vec<Finding>,
    /// Whether somebody reads along.
    is_told: bool,
}

impl Report {
    /// For a reader of JSON nothing is told before the end.
    pub(super) fn new(is_json: bool) -> Self {
        Self { findings: Vec::new(), is_told: !is_json }
    }

    pub(super) fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Level::Ok, found.into(), None);
    }

    pub(super) fn skipped(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        next: Option<&str>,
    ) {
        self.add(check, Level::Skipped, found.into(), next.map(str::to_owned));
    }

    pub(super) fn warning(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        next: impl Into<String>,
    ) {
        self.add(check, Level::Warning, found.into(), Some(next.into()));
    }

    pub(super) fn failed(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        next: impl Into<String>,
    ) {
        self.add(check, Level::Failed, found.into(), Some(next.into()));
    }

    fn add(&mut self, check: &'static str, level: Level, found: String, next: Option<String>) {
        let shown = |text: String| show::text(&text, TEXT_MAX);
        let finding = Finding { check, level, found: shown(found), next: next.map(shown) };
        if self.is_told {
            // Who has seen enough needs no more lines, but the exit code all the same.
            self.is_told = finding.print().is_ok();
        }
        self.findings.push(finding);
    }

    /// Whether something does not work.
    pub(super) fn has_failed(&self) -> bool {
        self.count(Level::Failed) > 0
    }

    /// The only finding, where there must be one.
    #[cfg(test)]
    pub(super) fn only(&self) -> &Finding {
        assert_eq!(self.findings.len(), 1, "{:?}", self.findings);
        &self.findings[0]
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// Tells the end: the counts, or everything as JSON.
    pub(super) fn finish(&self, is_json: bool) -> anyhow::Result<()> {
        let written = if is_json {
            let array = serde_json::to_string_pretty(&self.findings)?;
            writeln!(io::stdout().lock(), "{array}")
        } else if self.is_told {
            let counts = [Level::Ok, Level::Warning, Level::Failed, Level::Skipped]
                .map(|level| (level.shown().0, self.count(level)))
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| format!("{count} {name}"));
            let counts: Vec<String> = counts.collect();
            writeln!(output::stdout(), "\n{}", counts.join(", "))
        } else {
            Ok(())
        };
        output::is_read(written).map(drop)
    }
}

impl Finding {
    fn print(&self) -> io::Result<()> {
        let Self { check, level, found, next } = self;
        let (name, style) = level.shown();
        let mut out = output::stdout();
        writeln!(out, "{style}{name:<8}{style:#} {check:<9} {found}")?;
        if let Some(next) = next {
            writeln!(out, "{:19}-> {next}", "")?;
        }
        out.flush()
    }
}
