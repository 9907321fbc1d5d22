//! Builds the model template from `model-wasm/` and keeps its checked-in bytes honest.
//!
//! The template is trusted by its digest, so the same sources must give the same bytes wherever they
//! are built. Three things see to that: the toolchain and the dependencies are pinned, every path of
//! the building machine is mapped to a fixed one, and the user's own `RUSTFLAGS` are replaced. The
//! build has a target directory of its own: these flags would otherwise invalidate the other one.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm};

use crate::{cargo, execute, report, targets, workspace_root};

const TARGET: &str = "wasm32-unknown-unknown";
const WORLD_EXPORT: &str = "weir:model/regressor@0.1.0";

/// Bytes of the guest's stack. The default of 1 MiB would be part of every instance's memory.
const STACK_BYTES: usize = 65_536;

/// Options of `cargo xtask guest`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Writes nothing; fails if the checked-in template is not what the sources give.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = workspace_root()?;
    targets::ensure(&root, TARGET)?;
    let module = build_module(&root)?;
    let template = componentise(&module).context("turn the guest into a component")?;
    check_world(&template)?;

    let path = root.join("model-wasm/template.wasm");
    let present = fs::read(&path).ok();
    let changed = present.as_deref() != Some(&template);
    let digest = hex::encode(Sha256::digest(&template));
    if arguments.check && changed {
        let present =
            present.map_or("absent".to_owned(), |bytes| hex::encode(Sha256::digest(bytes)));
        bail!(
            "model-wasm/template.wasm is not what its sources give: it is {present}, \
             they give {digest}; run `cargo xtask guest` and commit the file"
        );
    }
    if changed {
        fs::write(&path, &template).context("write model-wasm/template.wasm")?;
    }
    let outcome = if changed { "written" } else { "unchanged" };
    report(&format!(
        "model-wasm/template.wasm {outcome}: {} bytes, sha256 {digest}",
        template.len()
    ));
    Ok(())
}

/// The core module, as the compiler leaves it.
fn build_module(root: &Path) -> Result<Vec<u8>> {
    let target_dir = root.join("target/guest");
    let mut cargo = Command::new(cargo());
    cargo
        .args(["build", "--locked", "--package", "weir-model", "--lib", "--profile", "guest"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .current_dir(root)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(root)?)
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("CARGO_BUILD_RUSTC_WRAPPER");
    execute(&mut cargo)?;
    let module = target_dir.join(TARGET).join("guest/weir_model.wasm");
    fs::read(&module).with_context(|| format!("read {}", module.display()))
}

/// Compiler flags that map the machine's paths to fixed ones. Panic messages carry source paths, and
/// symbol order depends on them.
fn rustflags(root: &Path) -> Result<OsString> {
    let cargo_home = cargo_home()?;
    let mut mapped = vec![
        (root.to_owned(), "/weir"),
        (cargo_home.clone(), "/cargo"),
        (targets::sysroot(root)?, "/rust"),
    ];
    // Last, because the last match wins: these names hold the registry's host and a hash.
    let sources = cargo_home.join("registry/src");
    let mut registries = fs::read_dir(&sources)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
        })
        .with_context(|| format!("list the registries in {}", sources.display()))?;
    registries.sort();
    mapped.extend(registries.into_iter().map(|registry| (registry, "/deps")));

    let mut flags = OsString::from(format!("-Clink-arg=-zstack-size={STACK_BYTES}"));
    for (from, to) in mapped {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(from);
        flags.push(format!("={to}"));
    }
    Ok(flags)
}

fn cargo_home() -> Result<PathBuf> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => std::env::home_dir().context("find the home directory")?.join(".cargo"),
    };
    std::path::absolute(home).context("resolve the cargo home")
}

fn componentise(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.encode()
}

/// A template exports the world of the contract and imports nothing at all.
fn check_world(component: &[u8]) -> Result<()> {
    let DecodedWasm::Component(resolve, id) = wit_component::decode(component)? else {
        bail!("the template is not a component");
    };
    let world = &resolve.worlds[id];
    let imports: Vec<_> = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
    ensure!(imports.is_empty(), "the template imports {}", imports.join(", "));
    let exports: Vec<_> = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
    ensure!(exports == [WORLD_EXPORT], "the template exports {}", exports.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_template_exports_the_world_and_imports_nothing() {
        let path = workspace_root().unwrap().join("model-wasm/template.wasm");
        check_world(&fs::read(path).unwrap()).unwrap();
    }

    #[test]
    fn a_component_of_another_world_is_refused() {
        // The smallest component: a header and nothing else.
        let empty = b"\0asm\x0d\0\x01\0";
        let error = check_world(empty).unwrap_err().to_string();
        assert!(error.contains("exports"), "{error}");
    }
}
