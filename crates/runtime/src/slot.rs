//! The model in service, and how it is changed between two batches.
//!
//! ```text
//! store ──► Slot ◄── load ── Worker (owns a Predictor, one for each thread)
//! ```
//!
//! One pointer changes, atomically; readers never wait. A worker looks at the slot once before a
//! batch and holds on to what it found until the batch is answered, so every batch is predicted by
//! exactly one entry, and the entry says which.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

use crate::load::Model;
use crate::predict::{CallError, Predictions, Predictor};

/// A model in service with what its owner knows about it, such as its version.
#[derive(Debug)]
pub struct Active<T> {
    /// The model.
    pub model: Model,
    /// What the owner attached.
    pub tag: T,
}

/// Holds the entry in service, and the one before it.
#[derive(Debug)]
pub struct Slot<T> {
    current: ArcSwapOption<Active<T>>,
    /// Its lock also puts changes of `current` in order.
    previous: Mutex<Option<Arc<Active<T>>>>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { current: ArcSwapOption::const_empty(), previous: Mutex::new(None) }
    }
}

impl<T> Slot<T> {
    /// A slot without a model.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Puts an entry into service and returns the one it replaces, which is kept as the previous.
    pub fn store(&self, active: Arc<Active<T>>) -> Option<Arc<Active<T>>> {
        let mut previous = self.previous();
        let replaced = self.current.swap(Some(active));
        previous.clone_from(&replaced);
        replaced
    }

    /// The entry in service.
    pub fn load(&self) -> Option<Arc<Active<T>>> {
        self.current.load_full()
    }

    /// Takes the entry out of service, and forgets the one before.
    pub fn clear(&self) {
        let mut previous = self.previous();
        self.current.store(None);
        *previous = None;
    }

    /// Puts the previous entry back in place of one that failed. If another one serves by now, that one stays: it is
    /// not what failed. Returns whether something else than the failed one serves; false if there is no previous entry.
    pub fn replace(&self, failed: &Arc<Active<T>>) -> bool {
        let mut previous = self.previous();
        if !self.current.load().as_ref().is_some_and(|serving| Arc::ptr_eq(serving, failed)) {
            return true;
        }
        let Some(restored) = previous.take() else { return false };
        self.current.store(Some(restored));
        true
    }

    fn previous(&self) -> MutexGuard<'_, Option<Arc<Active<T>>>> {
        // Nothing panics while it is held, and any of its values is a good one.
        self.previous.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Predicts with whatever the slot holds. One for each thread.
#[derive(Debug)]
pub struct Worker<T> {
    slot: Arc<Slot<T>>,
    serving: Option<Serving<T>>,
}

impl<T> Worker<T> {
    /// A worker on this slot. It makes an instance when it first predicts.
    pub fn new(slot: Arc<Slot<T>>) -> Self {
        Self { slot, serving: None }
    }

    /// What serves the next batch; none while the slot is empty. Call it before each batch, and
    /// encode and predict the batch with what it returns.
    pub fn current(&mut self) -> Option<&mut Serving<T>> {
        let now = self.slot.load();
        let kept = match (&self.serving, &now) {
            (Some(serving), Some(active)) => Arc::ptr_eq(&serving.active, active),
            (serving, active) => serving.is_none() && active.is_none(),
        };
        if !kept {
            self.serving = now.map(Serving::new);
        }
        self.serving.as_mut()
    }
}

/// One entry with a predictor for it: a batch given to it is answered by this entry and no other.
#[derive(Debug)]
pub struct Serving<T> {
    active: Arc<Active<T>>,
    predictor: Predictor,
}

impl<T> Serving<T> {
    fn new(active: Arc<Active<T>>) -> Self {
        let predictor = active.model.predictor();
        Self { active, predictor }
    }

    /// The entry that answers.
    pub fn active(&self) -> &Arc<Active<T>> {
        &self.active
    }

    /// Predicts one batch; see [`Predictor::predict`].
    pub fn predict(&mut self, features: &[f64], codes: &[u32]) -> Result<Predictions, CallError> {
        self.predictor.predict(features, codes)
    }
}
