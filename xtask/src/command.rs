//! What `cargo xtask` can be asked to do, and who does it.

use anyhow::Result;
use clap::Subcommand;

use crate::{cross, deploy, docs, guest, mutate, package, sbom, services, soak, test, tidy};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs every test.
    Test(test::Arguments),
    /// Runs the fault tests with the standard load and many random histories.
    Soak(soak::Arguments),
    /// Puts known bugs back, one at a time, and sees that a test catches each.
    Mutate(mutate::Arguments),
    /// Starts and stops the real servers that tests need.
    Services {
        #[command(subcommand)]
        action: services::Action,
    },
    /// Looks for the programs that tests and servers need; as root on Debian, installs what is missing.
    Tools,
    /// Checks the boundaries between crates, and the rules for files and manifests.
    Tidy,
    /// Builds the model template, `model-wasm/template.wasm`.
    Guest(guest::Arguments),
    /// Writes docs/configuration.md, the reference of the settings.
    Docs(docs::Arguments),
    /// Checks docker-compose.yml, Dockerfile and the units for systemd with their makers' tools; needs no engine.
    Deploy,
    /// Builds the agent for ARM gateways; with --check, runs it under emulation.
    Cross(cross::Arguments),
    /// Builds Debian packages, and checks what is in them.
    Package(package::Arguments),
    /// Writes what each program is made of, as CycloneDX.
    Sbom,
}

impl Command {
    pub(crate) fn run(&self) -> Result<()> {
        match self {
            Self::Test(arguments) => test::run(arguments),
            Self::Soak(arguments) => soak::run(arguments),
            Self::Mutate(arguments) => mutate::run(arguments),
            Self::Services { action } => services::run(action),
            Self::Tools => test::ensure_tools(),
            Self::Tidy => tidy::run(),
            Self::Guest(arguments) => guest::run(arguments),
            Self::Docs(arguments) => docs::run(arguments),
            Self::Deploy => deploy::run(),
            Self::Cross(arguments) => cross::run(arguments),
            Self::Package(arguments) => package::run(arguments),
            Self::Sbom => sbom::run(),
        }
    }
}
