//! What the command line says about itself, elsewhere than in `--help`: completions for shells, man pages, and the
//! reference `docs/cli.md`.
//!
//! All of it is made from the same definitions as the parser, so it cannot say anything else.

mod reference;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::output;

/// Arguments of `weir completions`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  weir completions bash > /usr/share/bash-completion/completions/weir
  weir completions zsh > ~/.zfunc/_weir
  weir completions --program weir-host bash > /usr/share/bash-completion/completions/weir-host
  source <(weir completions bash)               for this shell only")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
    /// The program that is completed.
    #[arg(long, value_enum, default_value_t)]
    program: Program,
}

/// Arguments of `weir man`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  weir man --out man1 && man -l man1/weir-model-train.1
  weir man --reference docs/cli.md              the same as one page of Markdown")]
pub(crate) struct Man {
    /// Write a page for each command and each service into this directory, which is made if there is none.
    #[arg(long, value_name = "DIR", required_unless_present = "reference")]
    out: Option<PathBuf>,
    /// Write the reference of all commands to this file.
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
}

/// A program of Weir.
#[derive(clap::ValueEnum, Clone, Copy, Default, Debug)]
enum Program {
    /// This one.
    #[default]
    Weir,
    /// The agent.
    WeirAgent,
    /// The bridge.
    WeirBridge,
    /// The host.
    WeirHost,
}

impl Program {
    const ALL: [Self; 4] = [Self::Weir, Self::WeirAgent, Self::WeirBridge, Self::WeirHost];

    fn command(self) -> clap::Command {
        match self {
            Self::Weir => crate::cli::Arguments::command(),
            Self::WeirAgent => weir_agent::cli::Arguments::command(),
            Self::WeirBridge => weir_bridge::cli::Arguments::command(),
            Self::WeirHost => weir_host::cli::Arguments::command(),
        }
    }
}

/// Runs `weir completions`.
pub(crate) fn completions(arguments: &Completions) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    let mut command = arguments.program.command();
    let name = command.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    output::is_read(std::io::stdout().lock().write_all(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `weir man`.
pub(crate) fn man(arguments: &Man) -> anyhow::Result<ExitCode> {
    if let Some(out) = &arguments.out {
        pages(out).with_context(|| format!("write man pages to {}", out.display()))?;
    }
    if let Some(file) = &arguments.reference {
        let text = reference::text(Program::ALL.map(Program::command));
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn pages(out: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(out)?;
    Program::ALL
        .into_iter()
        .try_for_each(|program| clap_mangen::generate_to(program.command(), out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Program::ALL.into_iter().for_each(|program| program.command().debug_assert());
    }

    /// `cargo run -- man --reference docs/cli.md` writes it anew.
    #[test]
    fn the_reference_is_up_to_date() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
        let kept = std::fs::read_to_string(file).expect("docs/cli.md is there");
        let made = reference::text(Program::ALL.map(Program::command));
        assert!(kept == made, "docs/cli.md is old: cargo run -- man --reference docs/cli.md");
    }

    #[test]
    fn there_is_a_page_for_each_command() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("man1");
        pages(&out).expect("written");
        for page in ["weir", "weir-doctor", "weir-model-train", "weir-host", "weir-agent-read-tcp"]
        {
            let text = std::fs::read_to_string(out.join(format!("{page}.1"))).expect(page);
            assert!(text.contains(&format!(".TH {page} 1 ")), "{page}: {text}");
        }
        assert!(!out.join("weir-bench-subscriber.1").exists(), "hidden commands have none");
    }
}
