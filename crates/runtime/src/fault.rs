//! How a guest can fail, whatever was asked of it.

use std::time::Duration;

use wasmtime::{Error, Trap};

/// A guest's call that did not end in an answer. The instance is gone; the host is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It ran longer than it may.
    #[error("guest exceeded its deadline of {0:?}")]
    Deadline(Duration),
    /// It wanted more memory, or more table elements, than it may have.
    #[error("guest asked for more than its {0}")]
    OutOfMemory(Resource),
    /// It trapped, or its answer was not a value of the declared type.
    #[error("guest trapped: {0}")]
    Trap(String),
}

/// What a guest ran out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Resource {
    /// Linear memory, with its limit.
    #[error("{0} bytes of memory")]
    MemoryBytes(usize),
    /// Table elements, with their limit.
    #[error("{0} table elements")]
    TableElements(usize),
}

impl Fault {
    pub(crate) fn from_engine(error: &Error, deadline: Duration) -> Self {
        if let Some(resource) = error.downcast_ref::<Resource>() {
            return Self::OutOfMemory(*resource);
        }
        match error.downcast_ref::<Trap>() {
            // Nothing but the epoch interrupts a guest.
            Some(Trap::Interrupt) => Self::Deadline(deadline),
            Some(trap) => Self::Trap(trap.to_string()),
            None => Self::Trap(reason(error)),
        }
    }
}

/// The engine's message with its causes, cut short because it may quote a guest's own names.
pub(crate) fn reason(error: &Error) -> String {
    const CHARS_MAX: usize = 400;
    format!("{error:#}").chars().take(CHARS_MAX).collect()
}
