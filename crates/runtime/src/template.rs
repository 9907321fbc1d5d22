//! Retraining: from rows to a new component, without a compiler for the guest's language.
//!
//! ```text
//! template ─► instrumented (once) ─► instance ─► fit ─► its memory and globals ─► component
//! ```
//!
//! The new component is the template with other initial data, so it is complete, exports the same
//! and depends on nothing but the template and the rows: equal rows in equal order give equal
//! bytes, on any machine. Every fit starts from the pristine template; a snapshot of a snapshot
//! would work too, but its bytes would depend on its ancestors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{Component, Instance};
use wasmtime_wizer::ComponentContext;

use crate::bindings::{World, WorldPre, wit};
use crate::compile::CompileError;
use crate::description::{DescriptionError, FitReport, Schema};
use crate::engine::Runtime;
use crate::fault::{Fault, reason};
use crate::load::{LoadError, Model};
use crate::sandbox::{Budget, Sandbox};
use crate::snapshot::{State, wizer};

/// An untrained component, ready to be trained any number of times. Clones share it.
#[derive(Debug, Clone)]
pub struct Template(Arc<Inner>);

struct Inner {
    model: Model,
    parsed: Parsed,
    instrumented: Component,
    world: WorldPre<Budget>,
}

self_cell::self_cell!(
    /// The template as the pre-initialiser reads it, with the bytes that it borrows.
    struct Parsed {
        owner: Arc<[u8]>,
        #[covariant]
        dependent: ComponentContext,
    }
);

/// Settings of a fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitOptions {
    /// A column is dropped as collinear when what the earlier ones leave of its norm is less than
    /// this fraction of it; in `[0, 1)`.
    pub tolerance: f64,
}

impl Default for FitOptions {
    /// As R's `lm`.
    fn default() -> Self {
        Self { tolerance: 1e-7 }
    }
}

/// A trained component.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The component; [`Runtime::load`] makes a model of it.
    pub bytes: Vec<u8>,
    /// What the fit found.
    pub report: FitReport,
    /// Where the time went.
    pub timings: FitTimings,
}

/// How long the steps of a fit took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FitTimings {
    /// Making an instance of the template.
    pub instantiate: Duration,
    /// The least squares, and copying the rows in.
    pub fit: Duration,
    /// Reading the instance out and writing the component.
    pub snapshot: Duration,
}

/// Why a component cannot serve as a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is not a model.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It has been trained: its bytes would depend on rows that are not named anywhere.
    #[error("component has been trained already")]
    Trained,
    /// Its state cannot be read out, for example because it changes tables.
    #[error("component cannot be pre-initialised: {0}")]
    Unsupported(String),
}

/// Why there is no trained component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// There are more rows than allowed.
    #[error("fit has {rows} rows, more than {max}")]
    TooManyRows {
        /// Rows given.
        rows: usize,
        /// Rows allowed.
        max: usize,
    },
    /// The guest cannot fit these rows. Another template may.
    #[error("rows cannot be fitted")]
    Refused(#[from] Refusal),
    /// The guest failed.
    #[error("template failed")]
    Fault(#[source] Fault),
    /// The guest's report cannot be true.
    #[error("template reported wrongly")]
    Report(#[from] DescriptionError),
    /// The instance could not be written as a component.
    #[error("snapshot failed: {0}")]
    Snapshot(String),
    /// The component would be larger than any host would load.
    #[error("trained component has {bytes} bytes, more than {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The size allowed.
        max: usize,
    },
}

/// The guest's own reason not to fit, as `fit-error` in `wit/model.wit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There are no rows.
    #[error("no rows")]
    NoRows,
    /// There are fewer rows than terms.
    #[error("{rows} rows for {terms} terms")]
    TooFewRows {
        /// Rows given.
        rows: u32,
        /// Columns of the design matrix.
        terms: u32,
    },
    /// A feature or the target is NaN or infinite.
    #[error("row {row} is not finite")]
    NonFinite {
        /// Where.
        row: u32,
    },
    /// The lengths of the columns do not fit together.
    #[error("columns do not fit together")]
    ShapeMismatch,
    /// A code is not an index into the levels.
    #[error("row {row} has an unknown level")]
    UnknownCode {
        /// Where.
        row: u32,
    },
    /// The schema is larger than the template can hold.
    #[error("schema is too large for the template")]
    TooLarge,
    /// The tolerance is not in `[0, 1)`.
    #[error("tolerance is not in [0, 1)")]
    BadTolerance,
    /// The numbers overflowed although every input was finite.
    #[error("numeric overflow")]
    NumericOverflow,
}

impl Template {
    /// Checks, instruments and compiles an untrained component. Once for a process and template.
    pub fn new(runtime: &Runtime, bytes: &[u8]) -> Result<Self, TemplateError> {
        let model = runtime.load(bytes)?;
        if model.description().is_trained() {
            return Err(TemplateError::Trained);
        }
        let (parsed, instrumented) = instrument(&model)?;
        let instrumented = compile(runtime, instrumented)?;
        let world = runtime.link(&instrumented)?;
        Ok(Self(Arc::new(Inner { model, parsed, instrumented, world })))
    }

    /// The template itself, as an untrained model.
    pub fn model(&self) -> &Model {
        &self.0.model
    }

    /// Fits the rows and returns a component that has learned them.
    ///
    /// `features` are column-major: the value of feature `j` in row `i` of `n` is at `j * n + i`.
    /// `levels` are the factor's, sorted by code point; `codes` has an index into them for each
    /// row. Both are empty if the schema has no factor.
    pub fn fit(
        &self,
        schema: &Schema,
        options: FitOptions,
        levels: &[String],
        features: &[f64],
        codes: &[u32],
        target: &[f64],
    ) -> Result<Fitted, FitError> {
        let limits = self.runtime().limits();
        if target.len() > limits.fit_rows_max {
            return Err(FitError::TooManyRows { rows: target.len(), max: limits.fit_rows_max });
        }
        let mut sandbox = Sandbox::for_snapshot(self.runtime());
        let (instance, instantiate) = timed(|| self.instantiate(&mut sandbox))?;
        let schema = wit::Schema::from(schema);
        let (report, fit) = timed(|| {
            sandbox.call(limits.fit_deadline, |store| {
                let world = World::new(&mut *store, &instance)?;
                let guest = world.weir_model_regressor();
                guest.call_fit(store, &schema, options.into(), levels, features, codes, target)
            })
        })
        .map_err(FitError::Fault)?;
        let report = FitReport::from(report.map_err(Refusal::from)?);
        report.check()?;
        let (bytes, snapshot) = timed(|| self.snapshot(&mut sandbox, &instance))?;
        let timings = FitTimings { instantiate, fit, snapshot };
        Ok(Fitted { bytes, report, timings })
    }

    fn runtime(&self) -> &Runtime {
        self.0.model.runtime()
    }

    fn instantiate(&self, sandbox: &mut Sandbox) -> Result<Instance, FitError> {
        let deadline = self.runtime().limits().describe_deadline;
        let world = self.0.world.instance_pre();
        sandbox.call(deadline, |store| world.instantiate(store)).map_err(FitError::Fault)
    }

    fn snapshot(&self, sandbox: &mut Sandbox, instance: &Instance) -> Result<Vec<u8>, FitError> {
        let limits = self.runtime().limits();
        let state = sandbox
            .call(limits.fit_deadline, |store| State::read(store, instance, &self.0.instrumented))
            .map_err(FitError::Fault)?;
        let bytes = state.write(self.0.parsed.borrow_dependent()).map_err(FitError::Snapshot)?;
        let max = limits.component_bytes_max;
        if bytes.len() > max {
            return Err(FitError::TooLarge { bytes: bytes.len(), max });
        }
        Ok(bytes)
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("model", &self.model).finish_non_exhaustive()
    }
}

/// Adds the accessors: the parsed template, and the bytes to compile.
fn instrument(model: &Model) -> Result<(Parsed, Vec<u8>), TemplateError> {
    let mut instrumented = Vec::new();
    let parsed = Parsed::try_new(Arc::clone(model.bytes()), |bytes| {
        let (context, bytes) = wizer().instrument_component(bytes)?;
        instrumented = bytes;
        Ok(context)
    });
    let parsed =
        parsed.map_err(|error: wasmtime::Error| TemplateError::Unsupported(reason(&error)))?;
    Ok((parsed, instrumented))
}

fn compile(runtime: &Runtime, bytes: Vec<u8>) -> Result<Component, TemplateError> {
    runtime.compile(bytes.into()).map_err(|error| match error {
        // Valid before it was instrumented, invalid after.
        CompileError::Invalid(reason) => TemplateError::Unsupported(reason),
        error => TemplateError::Load(error.into()),
    })
}

fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(T, Duration), E> {
    let start = Instant::now();
    Ok((work()?, start.elapsed()))
}
