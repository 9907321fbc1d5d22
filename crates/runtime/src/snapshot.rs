//! What the pre-initialiser asks of an instance, read out beforehand.
//!
//! `wasmtime-wizer` adds accessors for every memory and global to the template, and afterwards
//! writes what they return into a new component. Its interface is asynchronous and cannot fail;
//! an accessor can, since reading a memory grows it. So all of them are called here first, with
//! errors, and the pre-initialiser is then answered from what they returned.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::{Component, ComponentExportIndex, Instance, Lift};
use wasmtime::error::Context as _;
use wasmtime::{Result, Store, bail};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use crate::fault::reason;
use crate::sandbox::Budget;

/// The instance that the instrumented template exports its accessors in.
const ACCESS: &str = "wasmtime:wizer/access";

/// Memories and globals of an instance, by the names of their accessors.
#[derive(Default)]
pub(crate) struct State {
    memories: HashMap<String, Vec<u8>>,
    globals: HashMap<String, Global>,
}

#[derive(Clone, Copy)]
enum Global {
    S32(i32),
    S64(i64),
    F32(u32),
    F64(u64),
}

pub(crate) fn wizer() -> Wizer {
    let mut wizer = Wizer::new();
    // The contract has no initialiser that would have to go.
    wizer.keep_init_func(true);
    wizer
}

impl State {
    /// Reads everything out of an instance of the instrumented template.
    pub(crate) fn read(
        store: &mut Store<Budget>,
        instance: &Instance,
        component: &Component,
    ) -> Result<Self> {
        let engine = component.engine().clone();
        let ty = component.component_type();
        let Some(ComponentItem::ComponentInstance(accessors)) =
            ty.get_export(&engine, ACCESS).map(|export| export.ty)
        else {
            bail!("template has no accessors");
        };
        let access =
            instance.get_export_index(&mut *store, None, ACCESS).context("no accessors")?;
        let mut state = Self::default();
        for (name, accessor) in accessors.exports(&engine) {
            let ComponentItem::ComponentFunc(function) = accessor.ty else { continue };
            let function = function.results().next().context("accessor without result")?;
            let index = instance.get_export_index(&mut *store, Some(&access), name);
            let index = index.context("accessor is not exported")?;
            state.read_one(store, instance, name, index, &function)?;
        }
        Ok(state)
    }

    fn read_one(
        &mut self,
        store: &mut Store<Budget>,
        instance: &Instance,
        name: &str,
        index: ComponentExportIndex,
        result: &Type,
    ) -> Result<()> {
        let global = match result {
            Type::S32 => Global::S32(call(store, instance, index)?),
            Type::S64 => Global::S64(call(store, instance, index)?),
            Type::Float32 => Global::F32(call::<f32>(store, instance, index)?.to_bits()),
            Type::Float64 => Global::F64(call::<f64>(store, instance, index)?.to_bits()),
            Type::List(_) => {
                self.memories.insert(name.into(), call(store, instance, index)?);
                return Ok(());
            }
            _ => bail!("accessor of an unknown type"),
        };
        self.globals.insert(name.into(), global);
        Ok(())
    }

    /// Writes a component whose instances start in this state.
    pub(crate) fn write(mut self, context: &ComponentContext<'_>) -> Result<Vec<u8>, String> {
        let wizer = wizer();
        let mut snapshot = pin!(wizer.snapshot_component(context, &mut self));
        match snapshot.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(bytes) => bytes.map_err(|error| reason(&error)),
            Poll::Pending => Err("snapshot waits for something".into()),
        }
    }

    fn global(&self, name: &str) -> Global {
        self.globals.get(name).copied().expect("every accessor of the context was read")
    }
}

fn call<R: Lift + 'static>(
    store: &mut Store<Budget>,
    instance: &Instance,
    index: ComponentExportIndex,
) -> Result<R> {
    let function = instance.get_typed_func::<(), (R,)>(&mut *store, index)?;
    Ok(function.call(store, ())?.0)
}

impl ComponentInstanceState for State {
    async fn call_func_ret_list_u8(
        &mut self,
        _: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        contents(self.memories.get(func).expect("every accessor of the context was read"));
    }

    async fn call_func_ret_s32(&mut self, _: &str, func: &str) -> i32 {
        match self.global(func) {
            Global::S32(value) => value,
            _ => unreachable!("accessors keep their types"),
        }
    }

    async fn call_func_ret_s64(&mut self, _: &str, func: &str) -> i64 {
        match self.global(func) {
            Global::S64(value) => value,
            _ => unreachable!("accessors keep their types"),
        }
    }

    async fn call_func_ret_f32(&mut self, _: &str, func: &str) -> u32 {
        match self.global(func) {
            Global::F32(bits) => bits,
            _ => unreachable!("accessors keep their types"),
        }
    }

    async fn call_func_ret_f64(&mut self, _: &str, func: &str) -> u64 {
        match self.global(func) {
            Global::F64(bits) => bits,
            _ => unreachable!("accessors keep their types"),
        }
    }
}
