//! From bytes that may be hostile to a model that may be asked.
//!
//! The order of the checks is from cheap to dear: size, the first eight bytes, compilation under a
//! deadline, imports and exports, types, one instance that describes itself. Signatures come
//! before all of this and belong to the registry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use wasmtime::component::{Component, Linker};

use crate::bindings::{INTERFACE, WorldPre};
use crate::compile::CompileError;
use crate::description::{Description, DescriptionError};
use crate::engine::Runtime;
use crate::fault::{Fault, reason};
use crate::predict::Predictor;
use crate::sandbox::{Budget, Sandbox};

/// A compiled component that has described itself. Clones share it.
#[derive(Debug, Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    runtime: Runtime,
    world: WorldPre<Budget>,
    bytes: Arc<[u8]>,
    digest: [u8; 32],
    description: Description,
    compile_time: Duration,
}

/// Why bytes are not a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// They are more than a component may have.
    #[error("component has {bytes} bytes, more than {max}")]
    TooLarge {
        /// How many there are.
        bytes: usize,
        /// How many there may be.
        max: usize,
    },
    /// They do not begin like a component.
    #[error("bytes are {0}, not a component")]
    NotAComponent(NotAComponent),
    /// They could not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It imports something, and a model must not.
    #[error("component imports {0}")]
    Import(String),
    /// It exports something that is not in the contract.
    #[error("component exports {0}, which is not in the contract")]
    Export(String),
    /// The contract's interface is missing or has other types.
    #[error("component does not implement {INTERFACE}: {0}")]
    World(String),
    /// It could not be instantiated.
    #[error("component could not be instantiated")]
    Instantiate(#[source] Fault),
    /// It could not say what it is.
    #[error("component could not describe itself")]
    Describe(#[source] Fault),
    /// What it said cannot be true.
    #[error("component describes itself wrongly: {0}")]
    Description(#[from] DescriptionError),
}

/// What bytes are instead of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAComponent {
    /// There are none.
    #[error("empty")]
    Empty,
    /// A core module, as compilers make before `wit-component`.
    #[error("a core module")]
    CoreModule,
    /// An object file, as engines make of a component. Running one means trusting it.
    #[error("machine code")]
    MachineCode,
    /// Something else.
    #[error("something else")]
    Unknown,
}

impl Runtime {
    /// Loads a component, compiles it and asks it what it is.
    ///
    /// Takes tens of milliseconds: call it off the path that serves. Equal bytes are compiled
    /// again, but functions seen before come from memory.
    pub fn load(&self, bytes: &[u8]) -> Result<Model, LoadError> {
        let max = self.limits().component_bytes_max;
        if bytes.len() > max {
            return Err(LoadError::TooLarge { bytes: bytes.len(), max });
        }
        check_preamble(bytes).map_err(LoadError::NotAComponent)?;
        let bytes: Arc<[u8]> = bytes.into();
        let start = Instant::now();
        let component = self.compile(Arc::clone(&bytes))?;
        let compile_time = start.elapsed();
        check_world(self, &component)?;
        let world = self.link(&component)?;
        let description = describe(self, &world)?;
        description.check()?;
        let digest = Sha256::digest(&bytes).into();
        let runtime = self.clone();
        Ok(Model(Arc::new(Inner { runtime, world, bytes, digest, description, compile_time })))
    }

    pub(crate) fn compile(&self, bytes: Arc<[u8]>) -> Result<Component, CompileError> {
        self.compiler().compile(self.engine(), bytes, self.limits().compile_deadline)
    }

    /// Resolves a component's exports; there is nothing to give it for imports.
    pub(crate) fn link(&self, component: &Component) -> Result<WorldPre<Budget>, LoadError> {
        Linker::new(self.engine())
            .instantiate_pre(component)
            .and_then(WorldPre::new)
            .map_err(|error| LoadError::World(reason(&error)))
    }
}

impl Model {
    /// SHA-256 of the component's bytes: what the model is called wherever it goes.
    pub fn digest(&self) -> [u8; 32] {
        self.0.digest
    }

    /// The component itself.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.0.bytes
    }

    /// What the component says it is; checked.
    pub fn description(&self) -> &Description {
        &self.0.description
    }

    /// How long its compilation took.
    pub fn compile_time(&self) -> Duration {
        self.0.compile_time
    }

    /// A predictor of its own, for one thread. It makes its instance when first used.
    pub fn predictor(&self) -> Predictor {
        Predictor::new(self.clone())
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    pub(crate) fn world(&self) -> &WorldPre<Budget> {
        &self.0.world
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("bytes", &self.bytes.len())
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

fn check_preamble(bytes: &[u8]) -> Result<(), NotAComponent> {
    match bytes {
        [] => Err(NotAComponent::Empty),
        // Version 13 of layer 1: the component model's binary format.
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(NotAComponent::CoreModule),
        [0x7f, b'E', b'L', b'F', ..] => Err(NotAComponent::MachineCode),
        _ => Err(NotAComponent::Unknown),
    }
}

fn check_world(runtime: &Runtime, component: &Component) -> Result<(), LoadError> {
    let ty = component.component_type();
    if let Some((name, _)) = ty.imports(runtime.engine()).next() {
        return Err(LoadError::Import(name.into()));
    }
    match ty.exports(runtime.engine()).find(|(name, _)| *name != INTERFACE) {
        Some((name, _)) => Err(LoadError::Export(name.into())),
        None => Ok(()),
    }
}

fn describe(runtime: &Runtime, world: &WorldPre<Budget>) -> Result<Description, LoadError> {
    let deadline = runtime.limits().describe_deadline;
    let mut sandbox = Sandbox::new(runtime);
    let instance =
        sandbox.call(deadline, |store| world.instantiate(store)).map_err(LoadError::Instantiate)?;
    let description = sandbox
        .call(deadline, |store| instance.weir_model_regressor().call_describe(store))
        .map_err(LoadError::Describe)?;
    Ok(description.into())
}
