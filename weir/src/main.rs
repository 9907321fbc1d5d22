//! `weir`: the command people type.

mod cli;
mod demo;
mod model;

use std::process::ExitCode;

use clap::Parser;

use cli::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The demo draws its own progress: services speak up only when something is wrong.
    let filter = match &arguments.command {
        Command::Demo(_) => "warn,weir_bridge=error,weir_kafka=error,rumqttd=off",
        Command::Model(_) => "warn",
    };
    weir_service::start(filter, async move {
        match arguments.command {
            Command::Demo(arguments) => demo::execute(*arguments).await,
            Command::Model(arguments) => model::execute(arguments).await,
        }
    })
}
