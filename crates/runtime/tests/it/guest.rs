//! Small guests in WebAssembly text, made components as any toolchain would make them.
//!
//! They implement the canonical ABI by hand: exports carry the names of `wit/model.wit`, and
//! results are returned as a pointer to their memory layout.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Answers each row with its only feature, so that predictions are easy to expect.
pub(crate) const IDENTITY: &str = "
    (i32.store (i32.const 260) (local.get $features)) (i32.store (i32.const 264) (local.get $n))
    (i32.store (i32.const 268) (i32.const 0)) (i32.store (i32.const 272) (i32.const 0))
    (i32.const 256)";

/// Fails if it is entered.
pub(crate) const UNREACHABLE: &str = "unreachable";

/// Never returns.
pub(crate) const SPIN: &str = "(loop $again (br $again)) (i32.const 256)";

/// Asks for a mebibyte until it gets none.
pub(crate) const MEMORY_BOMB: &str =
    "(loop $again (br_if $again (i32.ne (i32.const -1) (memory.grow (i32.const 16)))))
    (i32.const 256)";

/// The bodies of a guest's functions. Each returns the address of its result.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) describe: &'static str,
    pub(crate) fit: &'static str,
    pub(crate) predict: &'static str,
    /// More definitions of the module.
    pub(crate) more: &'static str,
    /// The bytes at 1024, where `describe` of a good guest points.
    pub(crate) description: Vec<u8>,
    /// Memory at the start, in pages.
    pub(crate) pages: usize,
}

impl Guest {
    /// A trained model of one feature, without factor.
    pub(crate) fn good() -> Self {
        Self {
            describe: "(i32.const 1024)",
            fit: UNREACHABLE,
            predict: IDENTITY,
            more: "",
            description: description(true),
            pages: 2,
        }
    }

    /// A template, untrained.
    pub(crate) fn template(fit: &'static str) -> Self {
        Self { fit, description: description(false), ..Self::good() }
    }

    pub(crate) fn predicting(predict: &'static str) -> Self {
        Self { predict, ..Self::good() }
    }

    pub(crate) fn describing(describe: &'static str) -> Self {
        Self { describe, ..Self::good() }
    }

    pub(crate) fn component(&self) -> Vec<u8> {
        component(&self.text(""), &contract(), "model")
    }

    pub(crate) fn core_module(&self) -> Vec<u8> {
        wat::parse_str(self.text("")).expect("valid")
    }

    /// The same guest in a world that imports a clock.
    pub(crate) fn importing(&self) -> Vec<u8> {
        let mut resolve = contract();
        let world = "package test:clocked; interface clock { now: func() -> u64; }
            world clocked { import clock; export weir:model/regressor@0.1.0; }";
        resolve.push_str("clocked.wit", world).expect("valid");
        let import = r#"(import "test:clocked/clock" "now" (func (result i64)))"#;
        component(&self.text(import), &resolve, "test:clocked/clocked")
    }

    fn text(&self, import: &str) -> String {
        let bytes: String = self.description.iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!(
            r#"(module {import}
                (memory (export "memory") {pages})
                (global $free (mut i32) (i32.const 65536))
                (data (i32.const 512) "yx")
                (data (i32.const 1024) "{bytes}")
                {more}
                (func (export "weir:model/regressor@0.1.0#describe") (result i32) {describe})
                (func (export "weir:model/regressor@0.1.0#fit") (param $args i32) (result i32)
                    {fit})
                (func (export "weir:model/regressor@0.1.0#predict")
                    (param $features i32) (param $n i32) (param $codes i32) (param $m i32)
                    (result i32)
                    (global.set $free (i32.const 65536))
                    {predict})
                (func (export "cabi_realloc")
                    (param $old i32) (param $size i32) (param $align i32) (param $new i32)
                    (result i32)
                    (local $at i32)
                    (local.set $at (i32.and
                        (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                    (global.set $free (i32.add (local.get $at) (local.get $new)))
                    (local.get $at)))"#,
            pages = self.pages,
            more = self.more,
            describe = self.describe,
            fit = self.fit,
            predict = self.predict,
        )
    }
}

/// A component of a world that has nothing to do with models.
pub(crate) fn of_another_world() -> Vec<u8> {
    let mut resolve = Resolve::default();
    let world = "package test:other; world other { export now: func() -> u32; }";
    resolve.push_str("other.wit", world).expect("valid");
    let text = r#"(module (func (export "now") (result i32) (i32.const 1)))"#;
    component(text, &resolve, "test:other/other")
}

/// A component that exports the contract's interface with one function of another type.
pub(crate) fn of_other_types() -> Vec<u8> {
    let mut resolve = Resolve::default();
    let world = "package weir:model@0.1.0; interface regressor { describe: func() -> u32; }
        world model { export regressor; }";
    resolve.push_str("types.wit", world).expect("valid");
    let name = "weir:model/regressor@0.1.0#describe";
    let text = format!(r#"(module (func (export "{name}") (result i32) (i32.const 1)))"#);
    component(&text, &resolve, "model")
}

fn contract() -> Resolve {
    let mut resolve = Resolve::default();
    let folders = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let wit = folders.map(|folder| folder.join("wit")).find(|wit| wit.join("model.wit").exists());
    resolve.push_path(wit.expect("the repository has it")).expect("valid");
    resolve
}

fn component(text: &str, resolve: &Resolve, world: &str) -> Vec<u8> {
    let packages: Vec<_> = resolve.packages.iter().map(|(id, _)| id).collect();
    let main = &packages[packages.len() - 1..];
    let world = resolve.select_world(main, Some(world)).expect("valid");
    let mut module = wat::parse_str(text).expect("valid");
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8, false)
        .expect("valid");
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .expect("valid")
        .encode()
        .expect("valid")
}

/// `description` of the contract in memory: 152 bytes, see the canonical ABI's alignment rules.
/// The target is `y` at 512, the only feature `x` at 513 through the list at 1176.
fn description(trained: bool) -> Vec<u8> {
    let mut bytes = vec![0; 160];
    let mut put = |at: usize, values: [u32; 2]| {
        let values: Vec<u8> = values.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes[at..at + 8].copy_from_slice(&values);
    };
    if trained {
        put(0, [1, 512]);
        put(8, [1, 1_024 + 152]);
        put(16, [1, 0]);
        put(48, [1, 0]);
    }
    put(152, [513, 1]);
    bytes
}
