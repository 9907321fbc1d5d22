//! The arguments of `weir`.

use clap::{Parser, Subcommand};

/// Predicts an expensive measurement from cheap ones on a factory line, sees when the model has gone
/// wrong, retrains, and puts the new model into service without losing an event.
#[derive(Parser, Debug)]
#[command(
    version,
    after_help = "\
Examples:
  weir demo                          the whole loop in one process, nothing installed
  weir demo --scenario fishcatch     real fish: new species arrive and are learned
  weir model train --csv train.csv --kafka localhost:9092"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run the whole loop in one process on embedded brokers.
    Demo(Box<crate::demo::Arguments>),
    /// Make and look at model versions.
    Model(crate::model::Arguments),
}
