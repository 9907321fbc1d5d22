//! `cargo xtask docs`: the reference of the settings, `docs/configuration.md`, out of the services' commented defaults.
//!
//! The defaults are the documentation (`weir_service::config`); this gives them a form to search and to link to, with
//! the name that each setting has in the environment. Nothing is said here that is not in those files. A test fails
//! when the page is not what they give.

mod recording;
mod settings;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::{report, workspace_root};
use settings::{Comment, Section, Setting};

const PAGE: &str = "docs/configuration.md";

/// The programs, and where their defaults are.
const PROGRAMS: [(&str, &str); 3] = [
    ("weir-agent", "edge-agent/weir-agent.toml"),
    ("weir-bridge", "bridge/weir-bridge.toml"),
    ("weir-host", "host/weir-host.toml"),
];

const HEAD: &str = "\
<!-- Made by `cargo xtask docs` from the files named below. Change those, and run it again. -->

# Configuration

Every setting of the three programs, with its default. Each program has its defaults inside. A file overrides them (`--config
FILE`; only what differs need be there), and the environment overrides the file. `--check-config` prints the result
and ends; a setting that is unknown or cannot be used ends a program with exit code 78 and the setting's name.

Values in the environment are written as in the file, without the quotes of texts:
`WEIR__TRUST__KEYS='[\"trainer.pub\"]'`. Settings without a name there can only be given in a file. `weir` takes the host's file.
";

/// Options of `cargo xtask docs`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Writes nothing; fails if the page is not what the defaults give.
    #[arg(long)]
    check: bool,
    /// Records the demo on a terminal too, into docs/demo.svg. Takes half a minute.
    #[arg(long, conflicts_with = "check")]
    record: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = workspace_root()?;
    let path = root.join(PAGE);
    let page = page(&root)?;
    let changed = fs::read_to_string(&path).ok().as_ref() != Some(&page);
    if changed && arguments.check {
        bail!("{PAGE} is not what the defaults give; run `cargo xtask docs` and commit the file");
    }
    if changed {
        fs::write(&path, page).with_context(|| format!("write {PAGE}"))?;
    }
    report(&format!("{PAGE} {}", if changed { "written" } else { "unchanged" }));
    if arguments.record {
        recording::record(&root)?;
    }
    Ok(())
}

fn page(root: &Path) -> Result<String> {
    let mut page = HEAD.to_owned();
    for (name, path) in PROGRAMS {
        let text = fs::read_to_string(root.join(path)).with_context(|| format!("read {path}"))?;
        let sections = settings::read(&text).with_context(|| format!("understand {path}"))?;
        page.push_str(&format!("\n## {name}\n\nFrom [{path}](../{path}).\n"));
        for section in &sections {
            write_section(&mut page, section);
        }
    }
    Ok(page)
}

fn write_section(page: &mut String, section: &Section) {
    if !section.name.is_empty() {
        page.push_str(&format!("\n### `{}`\n", section.heading()));
    }
    write_comment(page, &section.comment);
    if !section.settings.is_empty() {
        page.push_str(
            "\n| setting | default | in the environment | |\n| --- | --- | --- | --- |\n",
        );
    }
    for setting in &section.settings {
        let Setting { name, value, comment } = setting;
        let environment = section.variable(setting).map(|name| format!("`{name}`"));
        let environment = environment.unwrap_or_default();
        let text = escaped(&comment.prose()).replace('\n', "<br>");
        let value = value.replace('|', "\\|");
        writeln!(page, "| `{name}` | `{value}` | {environment} | {text} |")
            .expect("writing into a string does not fail");
    }
    for note in &section.notes {
        write_comment(page, note);
    }
}

fn write_comment(page: &mut String, comment: &Comment) {
    let prose = comment.prose();
    if !prose.is_empty() {
        page.push_str(&format!("\n{}\n", escaped(&prose).replace('\n', "\n\n")));
    }
    if !comment.code.is_empty() {
        page.push_str(&format!("\n```toml\n{}\n```\n", comment.code.join("\n")));
    }
}

/// Text as Markdown shows it unchanged, but for what stands between backticks.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut code = false;
    for char in text.chars() {
        match char {
            '`' => code = !code,
            // A cell of a table ends here, in code too.
            '|' => escaped.push('\\'),
            '<' | '*' if !code => escaped.push('\\'),
            _ => {}
        }
        escaped.push(char);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_defaults_give() {
        let root = workspace_root().unwrap();
        let present = fs::read_to_string(root.join(PAGE)).unwrap();
        assert!(present == page(&root).unwrap(), "run `cargo xtask docs` and commit {PAGE}");
    }

    /// Whoever looks for a metric of the runbook must find it.
    #[test]
    fn the_runbook_names_metrics_that_exist() {
        let root = workspace_root().unwrap();
        let known = fs::read_to_string(root.join("docs/metrics.md")).unwrap();
        let runbook = fs::read_to_string(root.join("docs/runbook.md")).unwrap();
        let words = runbook.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics: Vec<&str> = words.filter(|word| word.starts_with("weir_")).collect();
        assert!(metrics.len() > 10, "{metrics:?}");
        for metric in metrics {
            let exists = known.contains(&format!("`{metric}"));
            assert!(exists, "{metric} is in docs/runbook.md and not in docs/metrics.md");
        }
    }

    #[test]
    fn a_section_becomes_a_table() {
        let text = "# All of it.\n\n# Who <it> is.\n[kafka.security]\n# A user; \"\" for none.\n\
                    #   one  the first\n#        of all\n#   two  the other\n\
                    username = \"\"\nca-file = \"\"\n# Any of these.\n# a = \"1\"\n";
        let mut page = String::new();
        for section in settings::read(text).unwrap() {
            write_section(&mut page, &section);
        }
        let expected = "\nAll of it.\n\n### `[kafka.security]`\n\nWho \\<it> is.\n\n\
            | setting | default | in the environment | |\n| --- | --- | --- | --- |\n\
            | `username` | `\"\"` | `WEIR__KAFKA__SECURITY__USERNAME` | A user; \"\" for none.<br>`one` the first of all\
            <br>`two` the other |\n\
            | `ca-file` | `\"\"` | `WEIR__KAFKA__SECURITY__CA_FILE` |  |\n\
            \nAny of these.\n\n```toml\na = \"1\"\n```\n";
        assert_eq!(page, expected);
    }
}
