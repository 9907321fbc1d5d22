//! Compilation with an end: one at a time, and nobody waits for it longer than the deadline.
//!
//! The compiler cannot be interrupted, so it runs on a thread of its own. A caller whose deadline
//! passes goes on without it; the thread ends when the compiler does, and until then further
//! compilations wait for their turn. So a component made to compile for ever costs one core, never
//! the caller, and there is never more than one such thread.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::fault::reason;

#[derive(Debug, Default)]
pub(crate) struct Compiler {
    turn: Arc<Turn>,
}

/// Why there is no compiled component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// It took too long, or an earlier compilation did.
    #[error("compilation exceeded its deadline of {0:?}")]
    Deadline(Duration),
    /// The bytes are not a valid component.
    #[error("component is invalid: {0}")]
    Invalid(String),
    /// The compiler itself failed.
    #[error("compiler failed")]
    Failed,
}

impl Compiler {
    pub(crate) fn compile(
        &self,
        engine: &Engine,
        bytes: Arc<[u8]>,
        deadline: Duration,
    ) -> Result<Component, CompileError> {
        let start = Instant::now();
        let held = self.turn.take(deadline).ok_or(CompileError::Deadline(deadline))?;
        let (done, compiled) = mpsc::sync_channel(1);
        let engine = engine.clone();
        let thread = thread::Builder::new().name("weir-compile".into()).spawn(move || {
            let _held = held;
            let result = Component::from_binary(&engine, &bytes)
                .map_err(|error| CompileError::Invalid(reason(&error)));
            if done.send(result).is_err() {
                tracing::warn!("compilation ended after its deadline");
            }
        });
        thread.map_err(|_| CompileError::Failed)?;
        match compiled.recv_timeout(deadline.saturating_sub(start.elapsed())) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(CompileError::Deadline(deadline)),
            Err(RecvTimeoutError::Disconnected) => Err(CompileError::Failed),
        }
    }
}

#[derive(Debug, Default)]
struct Turn {
    taken: Mutex<bool>,
    free: Condvar,
}

/// The turn, given back when dropped, so also when the compiler panics.
struct Held(Arc<Turn>);

impl Turn {
    fn take(self: &Arc<Self>, deadline: Duration) -> Option<Held> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, _) = self
            .free
            .wait_timeout_while(taken, deadline, |taken| *taken)
            .unwrap_or_else(PoisonError::into_inner);
        (!std::mem::replace(&mut *taken, true)).then(|| Held(Arc::clone(self)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_turn_and_it_comes_back() {
        let turn = Arc::new(Turn::default());
        let held = turn.take(Duration::ZERO).expect("nobody holds it");
        assert!(turn.take(Duration::ZERO).is_none());
        drop(held);
        assert!(turn.take(Duration::ZERO).is_some());
    }
}
