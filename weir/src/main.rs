//! `weir`: the command people type.

mod audit;
mod bench;
mod check_config;
mod cli;
mod composed;
mod dead_letters;
mod demo;
mod doctor;
mod line;
mod manual;
mod model;
mod output;
mod service;
mod since;
mod style;
mod table;
mod tail;
mod topics;

use std::process::ExitCode;

use clap::Parser;

use cli::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The demo draws its own progress: services speak up only when something is wrong.
    let filter = match &arguments.command {
        Command::Demo(_) => "warn,weir_bridge=error,weir_kafka=error,rumqttd=off",
        Command::Bench(_) => "error",
        // It says itself what is wrong.
        Command::Doctor(_) => "off",
        // They end soon, and their errors say what Kafka's client would have logged.
        Command::Topics(_) | Command::DeadLetters(_) => "warn,weir_kafka=error",
        _ => "warn",
    };
    weir_service::start(filter, async move {
        match arguments.command {
            Command::Demo(arguments) => demo::execute(*arguments).await,
            Command::Model(arguments) => model::execute(arguments).await,
            Command::Topics(arguments) => topics::execute(arguments).await,
            Command::Tail(arguments) => tail::execute(arguments).await,
            Command::Agent(arguments) => service::execute("weir-agent", &arguments),
            Command::Bridge(arguments) => service::execute("weir-bridge", &arguments),
            Command::Host(arguments) => service::execute("weir-host", &arguments),
            Command::Bench(arguments) => bench::execute(arguments).await,
            Command::DeadLetters(arguments) => dead_letters::execute(*arguments).await,
            Command::Doctor(arguments) => doctor::execute(arguments).await,
            Command::CheckConfig(arguments) => check_config::execute(&arguments),
            Command::Completions(arguments) => manual::completions(&arguments),
            Command::Man(arguments) => manual::man(&arguments),
        }
    })
}
