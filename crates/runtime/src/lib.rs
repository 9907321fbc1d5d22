//! Runs model components: the only place in the project that names a WebAssembly engine.
//!
//! A model is a component of the world in `wit/model.wit`. This crate loads one from bytes that
//! may be hostile ([`Runtime::load`]), predicts batches with it ([`Predictor`]), makes a trained
//! component out of an untrained one ([`Template::fit`]) and lets workers change models between
//! two batches ([`Slot`], [`Worker`]).
//!
//! What it does not do: signatures, versions and files (the registry), threads of its own but for
//! the epoch ticker and a compilation, and statistics (the guest).
//!
//! Invariants:
//! - A component that imports anything, or exports anything but the contract, is refused.
//! - Every call into a guest has a deadline, every store has limits, and all of them are finite.
//! - After a trap, a refused allocation or a missed deadline a store is never entered again.
//! - Whatever a guest answers is checked before a caller sees it.
//! - No engine type is visible outside; compiled code is neither read from nor written to disk.

mod bindings;
mod code_cache;
mod compile;
mod description;
mod engine;
mod fault;
mod golden;
mod limits;
mod load;
mod predict;
mod sandbox;
mod slot;
mod snapshot;
mod template;
mod ticker;

pub use compile::CompileError;
pub use description::{
    Description, DescriptionError, FStatistic, FitReport, LEVELS_MAX, NAME_BYTES_MAX, Schema,
    TERMS_MAX, Term,
};
pub use engine::{Runtime, StartError};
pub use fault::{Fault, Resource};
pub use golden::{GoldenVector, SelfTestError};
pub use limits::{Limits, LimitsError};
pub use load::{LoadError, Model, NotAComponent};
pub use predict::{CallError, Predictions, Predictor};
pub use slot::{Active, Serving, Slot, Worker};
pub use template::{FitError, FitOptions, FitTimings, Fitted, Refusal, Template, TemplateError};
