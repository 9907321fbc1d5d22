//! A store with limits, and calls into it with a deadline.
//!
//! Invariant: a store whose call failed is not called again; the owner drops the sandbox.

use std::time::Duration;

use wasmtime::{ResourceLimiter, Result, Store};

use crate::engine::Runtime;
use crate::fault::{Fault, Resource};
use crate::limits::PAGE_BYTES;

/// Reading a memory for a snapshot grows it by a page, and a component may have two.
const SNAPSHOT_BYTES: usize = 2 * PAGE_BYTES;

pub(crate) struct Sandbox {
    runtime: Runtime,
    store: Store<Budget>,
}

impl Sandbox {
    /// An empty store for predictions: nothing is instantiated yet.
    pub(crate) fn new(runtime: &Runtime) -> Self {
        let limits = runtime.limits();
        Self::with(runtime, limits.memory_bytes_max, limits.answer_bytes_max)
    }

    /// An empty store for a fit, whose memory can be read out afterwards.
    pub(crate) fn for_snapshot(runtime: &Runtime) -> Self {
        let limits = runtime.limits();
        let memory_bytes = limits.memory_bytes_max + SNAPSHOT_BYTES;
        Self::with(runtime, memory_bytes, memory_bytes.max(limits.answer_bytes_max))
    }

    fn with(runtime: &Runtime, memory_bytes: usize, answer_bytes: usize) -> Self {
        let budget = Budget {
            memory_bytes: Spent::of(memory_bytes),
            table_elements: Spent::of(runtime.limits().table_elements_max),
            instances: runtime.limits().instances_max,
            memories: runtime.limits().memories_max,
            tables: runtime.limits().tables_max,
        };
        let mut store = Store::new(runtime.engine(), budget);
        store.limiter(|budget| budget);
        store.set_hostcall_fuel(answer_bytes);
        store.epoch_deadline_trap();
        Self { runtime: runtime.clone(), store }
    }

    /// Enters the guest. `work` makes one call, or several that share the deadline.
    pub(crate) fn call<R>(
        &mut self,
        deadline: Duration,
        work: impl FnOnce(&mut Store<Budget>) -> Result<R>,
    ) -> Result<R, Fault> {
        self.store.set_epoch_deadline(self.runtime.limits().ticks(deadline));
        work(&mut self.store).map_err(|error| Fault::from_engine(&error, deadline))
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("budget", self.store.data()).finish_non_exhaustive()
    }
}

/// What a store may still use. A refusal is a trap that says so: left to itself a guest turns a
/// failed allocation into an `unreachable`, which looks like any other of its faults.
#[derive(Debug)]
pub(crate) struct Budget {
    memory_bytes: Spent,
    table_elements: Spent,
    instances: usize,
    memories: usize,
    tables: usize,
}

#[derive(Debug)]
struct Spent {
    spent: usize,
    max: usize,
}

impl Spent {
    fn of(max: usize) -> Self {
        Self { spent: 0, max }
    }

    /// Adds the growth of one memory or table to what all of them have, if that still fits.
    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let spent = self.spent.saturating_add(desired.saturating_sub(current));
        let fits = spent <= self.max;
        if fits {
            self.spent = spent;
        }
        fits
    }
}

impl Budget {
    fn memory(&self) -> wasmtime::Error {
        wasmtime::Error::new(Resource::MemoryBytes(self.memory_bytes.max))
    }

    fn table(&self) -> wasmtime::Error {
        wasmtime::Error::new(Resource::TableElements(self.table_elements.max))
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(&mut self, now: usize, want: usize, _: Option<usize>) -> Result<bool> {
        if self.memory_bytes.grow(now, want) { Ok(true) } else { Err(self.memory()) }
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        Err(self.memory())
    }

    fn table_growing(&mut self, now: usize, want: usize, _: Option<usize>) -> Result<bool> {
        if self.table_elements.grow(now, want) { Ok(true) } else { Err(self.table()) }
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        Err(self.table())
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.memories
    }

    fn tables(&self) -> usize {
        self.tables
    }
}
