//! The engine: one for a process, shared by every model.

use std::io;
use std::sync::Arc;

use wasmtime::{Config, Engine};

use crate::code_cache::CodeCache;
use crate::compile::Compiler;
use crate::fault::reason;
use crate::limits::{Limits, LimitsError};
use crate::ticker::Ticker;

/// A configured engine with its limits. Clones share it.
#[derive(Debug, Clone)]
pub struct Runtime(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    compiler: Compiler,
    engine: Engine,
    _ticker: Ticker,
}

/// Why no runtime could be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The limits make no sense.
    #[error("limits are invalid")]
    Limits(#[from] LimitsError),
    /// The engine refuses this machine or configuration.
    #[error("engine refused its configuration: {0}")]
    Engine(String),
    /// The operating system gave no thread for the epoch.
    #[error("epoch ticker could not be started")]
    Ticker(#[source] io::Error),
}

impl Runtime {
    /// Starts an engine and the thread that makes its deadlines pass; the thread ends when the
    /// last clone, model and predictor of this runtime are gone.
    pub fn new(limits: Limits) -> Result<Self, StartError> {
        limits.validate()?;
        let config = config(&limits).map_err(|e| StartError::Engine(reason(&e)))?;
        let engine = Engine::new(&config).map_err(|e| StartError::Engine(reason(&e)))?;
        let ticker = Ticker::start(&engine, limits.tick).map_err(StartError::Ticker)?;
        let compiler = Compiler::default();
        Ok(Self(Arc::new(Inner { limits, compiler, engine, _ticker: ticker })))
    }

    /// The limits this runtime holds every guest to.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn compiler(&self) -> &Compiler {
        &self.0.compiler
    }
}

fn config(limits: &Limits) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        // The same bits on every host: no other NaN, no instruction that may round either way.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        // Snapshots read 32-bit memories.
        .wasm_memory64(false)
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes_max)
        // A guest is optimised and stripped, so a trace would name nothing.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false);
    let cache = Arc::new(CodeCache::new(limits.code_cache_bytes_max));
    config.enable_incremental_compilation(cache)?;
    Ok(config)
}
