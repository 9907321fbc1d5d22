//! The component: the crate's types behind the bindings of `wit/model.wit`.
//!
//! Nothing of the training rows may outlive a `fit`, because a snapshot of the memory is published:
//! the allocator zeroes what is freed, the model has no padding, and the stack is overwritten before
//! `fit` returns. Nothing here may panic: input is checked by the library.

#[expect(unsafe_code, reason = "a global allocator is unsafe by its trait")]
mod alloc;
#[expect(unsafe_code, reason = "generated glue of the canonical ABI")]
mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "model" });
    use super::Component;
    export!(Component);
}
mod convert;
#[expect(unsafe_code, reason = "one static holds the trained model")]
mod state;

use bindings::exports::weir::model::regressor as wit;

use crate::{FitOptions, Schema, TrainingRows};

struct Component;

impl wit::Guest for Component {
    fn describe() -> wit::Description {
        match state::model() {
            Some(model) => wit::Description {
                schema: Some(model.schema().into()),
                levels: model.levels(),
                report: Some(model.report().into()),
            },
            None => wit::Description { schema: None, levels: Vec::new(), report: None },
        }
    }

    fn fit(
        schema: wit::Schema,
        options: wit::FitOptions,
        levels: Vec<String>,
        features: Vec<f64>,
        codes: Vec<u32>,
        target: Vec<f64>,
    ) -> Result<wit::FitReport, wit::FitError> {
        let outcome = fit_and_keep(
            &schema.into(),
            &options.into(),
            &TrainingRows { levels: &levels, features: &features, codes: &codes, target: &target },
        );
        scrub_stack();
        outcome
    }

    fn predict(features: Vec<f64>, codes: Vec<u32>) -> Result<wit::Predictions, wit::PredictError> {
        let model = state::model().ok_or(wit::PredictError::Untrained)?;
        let predictions = model.predict(&features, &codes)?;
        Ok(wit::Predictions { values: predictions.values, unseen_level: predictions.unseen_level })
    }
}

/// Not inlined, so that all it leaves on the stack lies below the frame of its caller.
#[inline(never)]
fn fit_and_keep(
    schema: &Schema,
    options: &FitOptions,
    rows: &TrainingRows<'_>,
) -> Result<wit::FitReport, wit::FitError> {
    let model = crate::fit(schema, options, rows)?;
    state::keep(&model);
    Ok(model.report().into())
}

/// Bytes overwritten below the caller's frame. The stack has 64 KiB; the deepest call of a fit uses
/// far less than this (a model is 8 KiB and is copied a few times).
const SCRUBBED_STACK: usize = 48 * 1024;

/// Overwrites what finished calls left on the stack.
#[inline(never)]
fn scrub_stack() {
    let zeros = [0u8; SCRUBBED_STACK];
    std::hint::black_box(&zeros);
}
