//! `cargo xtask tidy`: the boundaries that the compiler does not see, as checks.
//!
//! What may be where is data in [`rules`]; the neighbours apply it to sources, manifests, default
//! settings and the resolved dependencies. Formatting, lints and types are left to their own tools.
//! Every finding names file and line, what is wrong and what to do. The test below runs the same
//! check over this workspace, so that the suite fails when a boundary does.

mod defaults;
mod links;
mod manifest;
mod rules;
mod source;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use manifest::Manifest;

/// Directories that hold no sources of ours.
const SKIPPED: [&str; 3] = ["target", "weir-out", "node_modules"];
/// The kinds of files that rules exist for.
const KINDS: [&str; 3] = ["rs", "toml", "md"];

pub(crate) fn run() -> Result<()> {
    let findings = check(&crate::workspace_root()?)?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => bail!("tidy has {count} findings"),
    }
}

/// A rule that is broken.
struct Finding {
    path: String,
    line: usize,
    wrong: String,
    cure: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.wrong, self.cure)
    }
}

/// A file of the repository; its path is relative, with `/`.
struct File {
    path: String,
    text: String,
}

impl File {
    fn finding(&self, line: usize, wrong: String, cure: &str) -> Finding {
        Finding { path: self.path.clone(), line, wrong, cure: cure.to_owned() }
    }

    fn toml(&self) -> Result<toml::Table> {
        self.text.parse().with_context(|| format!("parse {}", self.path))
    }

    /// The number of the first such line; 1 if there is none.
    fn line_that_begins_with(&self, start: &str) -> usize {
        let found = self.text.lines().position(|line| line.starts_with(start));
        found.map_or(1, |index| index + 1)
    }
}

fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut files = Vec::new();
    collect(root, "", &mut files)?;
    let mut findings = Vec::new();
    for file in &files {
        check_length(file, &mut findings);
        if file.path.ends_with(".rs") {
            source::check(file, &mut findings);
        }
    }
    check_manifests(&files, &mut findings)?;
    defaults::check(&files, &mut findings)?;
    links::check(root, &mut findings);
    Ok(findings)
}

fn collect(directory: &Path, prefix: &str, files: &mut Vec<File>) -> Result<()> {
    let list = || -> std::io::Result<Vec<fs::DirEntry>> { fs::read_dir(directory)?.collect() };
    let mut entries = list().with_context(|| format!("list {}", directory.display()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
                collect(&entry.path(), &format!("{path}/"), files)?;
            }
        } else if KINDS.iter().any(|kind| name.ends_with(&format!(".{kind}"))) {
            let text = fs::read_to_string(entry.path()).with_context(|| format!("read {path}"))?;
            files.push(File { path, text });
        }
    }
    Ok(())
}

fn check_length(file: &File, findings: &mut Vec<Finding>) {
    let limit = rules::LINES_MAX.iter().find(|(end, _)| file.path.ends_with(end));
    let Some(&(_, max)) = limit else { return };
    let lines = file.text.lines().count();
    if lines > max {
        let wrong = format!("the file has {lines} lines, {max} are the limit");
        findings.push(file.finding(max + 1, wrong, "split it by subject, or say less"));
    }
}

fn check_manifests(files: &[File], findings: &mut Vec<Finding>) -> Result<()> {
    let root = files.iter().find(|file| file.path == "Cargo.toml").context("find Cargo.toml")?;
    let members = files.iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    let manifests = members.map(Manifest::parse).collect::<Result<Vec<_>>>()?;
    for manifest in &manifests {
        manifest.check(findings);
    }
    manifest::check_workspace(root, &manifests, findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let findings = check(&crate::workspace_root().unwrap()).unwrap();
        let lines: Vec<_> = findings.iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "{} findings:\n{}", lines.len(), lines.join("\n"));
    }

    #[test]
    fn the_whole_workspace_is_looked_at() {
        let mut files = Vec::new();
        collect(&crate::workspace_root().unwrap(), "", &mut files).unwrap();
        let has = |path: &str| files.iter().any(|file| file.path == path);
        for path in ["Cargo.toml", "README.md", "crates/kafka/src/lib.rs", "xtask/src/tidy.rs"] {
            assert!(has(path), "{path} is not looked at");
        }
        assert!(!files.iter().any(|file| file.path.starts_with("target/")));
    }

    #[test]
    fn long_files_are_found_and_short_ones_are_not() {
        let found = |path: &str, lines: usize| {
            let mut findings = Vec::new();
            check_length(&File { path: path.into(), text: "x\n".repeat(lines) }, &mut findings);
            findings.pop().map(|finding| finding.line)
        };
        for (path, max) in [("host/src/main.rs", 60), ("host/src/lib.rs", 450), ("README.md", 120)]
        {
            assert_eq!(found(path, max), None, "{path}");
            assert_eq!(found(path, max + 1), Some(max + 1), "{path}");
        }
        assert_eq!(found("CHANGELOG.md", 9_999), None);
    }

    #[test]
    fn a_finding_names_place_fault_and_cure() {
        let file = File { path: "a/b.rs".into(), text: String::new() };
        let finding = file.finding(7, "x is wrong".into(), "do y");
        assert_eq!(finding.to_string(), "a/b.rs:7: x is wrong; do y");
    }
}
