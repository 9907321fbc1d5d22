//! The reference of all commands as Markdown: the help texts, in the order in which `--help` names them.

use std::fmt::Write as _;

use clap::Command;

const HEAD: &str = "\
# Commands

All programs and commands, as `--help` tells them. This page is made from the command line itself:
`cargo run -- man --reference docs/cli.md` writes it, and a test compares. `weir man --out DIR` makes man pages of the
same, `weir completions SHELL` completions for bash, elvish, fish, PowerShell and zsh.

With `--json`, a command prints objects with names in lower case, one a line where there may be many (`topics`, `tail`,
`model list`, `dead-letters list`), and no colour. Colours are on a terminal only, and nowhere if `NO_COLOR` is set.

## Exit codes

";

/// The page.
pub(super) fn text<const N: usize>(commands: [Command; N]) -> String {
    let mut out = HEAD.to_owned();
    out.push_str("| code | means |\n| --- | --- |\n");
    for (code, meaning) in weir_service::EXIT_CODES {
        writeln!(out, "| {code} | {meaning} |").expect("a string takes text");
    }
    for command in commands {
        // Not the version, which would change the page with each release.
        let mut command = command.disable_help_subcommand(true);
        command.build();
        let name = command.get_name().to_owned();
        add(&mut out, &name, &mut command, 2);
    }
    out
}

fn add(out: &mut String, name: &str, command: &mut Command, level: usize) {
    let help = command.render_long_help().to_string();
    write!(out, "\n{} {name}\n\n```text\n", "#".repeat(level)).expect("a string takes text");
    for line in help.trim_end().lines() {
        writeln!(out, "{}", line.trim_end()).expect("a string takes text");
    }
    out.push_str("```\n");
    let commands: Vec<String> = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(|command| command.get_name().to_owned())
        .collect();
    for sub in commands {
        let command = command.find_subcommand_mut(&sub).expect("its name was just asked for");
        add(out, &format!("{name} {sub}"), command, level.min(2) + 1);
    }
}
