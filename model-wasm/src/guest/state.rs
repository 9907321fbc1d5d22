//! The trained model of this instance: the part of its memory that a snapshot is taken for.

use std::cell::UnsafeCell;

use crate::Model;

/// A model without rows stands for none: an `Option` around it would add padding, whose bytes are
/// not ours to determine.
struct Slot(UnsafeCell<Model>);

// SAFETY: a component instance is single-threaded; the target has no threads.
unsafe impl Sync for Slot {}

static SLOT: Slot = Slot(UnsafeCell::new(Model::UNTRAINED));

/// The model, once `fit` has succeeded.
pub(super) fn model() -> Option<&'static Model> {
    // SAFETY: `keep` is the only writer, and no export that reads runs while `fit` does: calls into
    // an instance do not nest.
    let model = unsafe { &*SLOT.0.get() };
    model.is_trained().then_some(model)
}

/// Replaces the model.
pub(super) fn keep(model: &Model) {
    // SAFETY: as above; no reference from `model` survives the call of the export it served.
    unsafe { *SLOT.0.get() = *model }
}
