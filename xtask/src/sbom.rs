//! `cargo xtask sbom`: what each packaged program is made of, as CycloneDX in JSON, under `target/sbom`.
//!
//! cargo-cyclonedx writes it for the workspace as a whole: features that only another member turns on are in it.
//! What cargo does not link into the program is taken out again, and what it links must be there. C
//! libraries that a crate brings (librdkafka, zstd, zlib) are in it as that crate. Paths of the building
//! machine and the time are not in it, so that equal sources give equal files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::fetched::{self, Program};
use crate::package::{PACKAGES, Package};
use crate::workspace::Metadata;
use crate::{cargo, execute, output, report, workspace_root};

const CYCLONEDX: Program = Program { name: "cargo-cyclonedx", version: "0.5.9" };
/// What the tool calls its files, without the extension that it adds. It puts one beside each manifest.
const SCRATCH: &str = ".weir-sbom";

pub(crate) fn run() -> Result<()> {
    let root = workspace_root()?;
    PACKAGES.iter().try_for_each(|package| write(&root, package, None).map(drop))
}

/// Writes the file of one package, for this machine or another target. Returns its path.
pub(crate) fn write(root: &Path, package: &Package, target: Option<&str>) -> Result<PathBuf> {
    let tool = fetched::from_crate(root, &CYCLONEDX)?;
    let members = Metadata::read(root)?.members();
    let made = make(root, package, target, &tool);
    for member in members {
        // Most were not asked for.
        drop(fs::remove_file(member.join(format!("{SCRATCH}.json"))));
    }
    let text = made?.replace(&format!("path+file://{}", root.display()), "path+file:///weir");
    let mut bom: Value = serde_json::from_str(&text).context("read what cargo-cyclonedx writes")?;
    let linked = linked(root, package, target)?;
    prune(&mut bom, &linked)?;
    let components = check(&bom, package, &linked)?;
    let text = serde_json::to_string_pretty(&bom).context("write the components")? + "\n";
    ensure!(!text.contains(&*root.to_string_lossy()), "keep this machine's paths out of {text}");

    let path = root.join("target/sbom").join(format!("{}.cdx.json", package.name));
    fs::create_dir_all(root.join("target/sbom")).context("create target/sbom")?;
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    report(&format!("{}: {components} components, in {}", package.name, path.display()));
    Ok(path)
}

/// What the tool writes for the package.
fn make(root: &Path, package: &Package, target: Option<&str>, tool: &Path) -> Result<String> {
    let folder = root.join(package.folder);
    let mut command = Command::new(tool);
    command.args(["cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5"]);
    command.args(["--no-build-deps", "--override-filename", SCRATCH]);
    command.args(package.features()).arg("--manifest-path").arg(folder.join("Cargo.toml"));
    command.args(options_of(target));
    // The same time always: else each file would differ.
    command.env("SOURCE_DATE_EPOCH", "0").current_dir(root);
    execute(&mut command)?;
    let path = folder.join(format!("{SCRATCH}.json"));
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

fn options_of(target: Option<&str>) -> Vec<&str> {
    target.map(|target| vec!["--target", target]).unwrap_or_default()
}

/// The crates in the program, as name and version, itself included.
fn linked(
    root: &Path,
    package: &Package,
    target: Option<&str>,
) -> Result<BTreeSet<(String, String)>> {
    let mut command = Command::new(cargo());
    command.args(["tree", "--locked", "--package", package.name, "--edges", "normal"]);
    command.args(["--prefix", "none", "--format", "{p}"]).args(package.features());
    command.args(options_of(target));
    let text = output(command.current_dir(root))?;
    Ok(parse_tree(&text))
}

/// Lines such as `bytes v1.12.2` and `weir-mqtt v0.1.0 (/path)`.
fn parse_tree(text: &str) -> BTreeSet<(String, String)> {
    let crate_of = |line: &str| {
        let mut words = line.split(' ');
        let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
        Some((name.to_owned(), version.to_owned()))
    };
    text.lines().filter_map(crate_of).collect()
}

/// Takes out what is not linked, and the random number that makes each file another one.
fn prune(bom: &mut Value, linked: &BTreeSet<(String, String)>) -> Result<()> {
    let whole = bom.as_object_mut().context("find the components")?;
    whole.shift_remove("serialNumber");
    if let Some(metadata) = whole.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("timestamp");
    }
    let components = whole.get_mut("components").and_then(Value::as_array_mut);
    let components = components.context("find the components")?;
    let mut gone = BTreeSet::new();
    components.retain(|component| {
        let stays = linked.contains(&name_and_version(component));
        if let (false, Some(reference)) = (stays, component["bom-ref"].as_str()) {
            gone.insert(reference.to_owned());
        }
        stays
    });
    let is_gone = |reference: &Value| reference.as_str().is_some_and(|text| gone.contains(text));
    if let Some(dependencies) = whole.get_mut("dependencies").and_then(Value::as_array_mut) {
        dependencies.retain(|dependency| !is_gone(&dependency["ref"]));
        for dependency in dependencies {
            if let Some(on) = dependency.get_mut("dependsOn").and_then(Value::as_array_mut) {
                on.retain(|reference| !is_gone(reference));
            }
        }
    }
    Ok(())
}

/// Returns how many components there are: every crate of the program, but itself.
fn check(bom: &Value, package: &Package, linked: &BTreeSet<(String, String)>) -> Result<usize> {
    ensure!(bom["bomFormat"] == "CycloneDX", "{}: this is no CycloneDX", package.name);
    let components = bom["components"].as_array().context("find the components")?;
    ensure!(!components.is_empty(), "{}: there are no components", package.name);
    let mut listed: BTreeSet<_> = components.iter().map(name_and_version).collect();
    listed.insert(name_and_version(&bom["metadata"]["component"]));
    let missing: Vec<_> = linked.difference(&listed).collect();
    ensure!(missing.is_empty(), "{}: not among the components: {missing:?}", package.name);
    Ok(components.len())
}

fn name_and_version(component: &Value) -> (String, String) {
    let text = |field: &str| component[field].as_str().unwrap_or_default().to_owned();
    (text("name"), text("version"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bom() -> Value {
        json!({
            "bomFormat": "CycloneDX",
            "serialNumber": "urn:uuid:1",
            "metadata": {"timestamp": "now", "component": {"name": "weir-agent", "version": "0.1.0"}},
            "components": [
                {"bom-ref": "a", "name": "bytes", "version": "1.12.2"},
                {"bom-ref": "b", "name": "mongocrypt", "version": "0.4.0"},
            ],
            "dependencies": [
                {"ref": "a", "dependsOn": ["b"]},
                {"ref": "b", "dependsOn": ["a"]},
            ],
        })
    }

    #[test]
    fn only_what_is_linked_stays() {
        let linked = parse_tree("weir-agent v0.1.0 (/here)\nbytes v1.12.2\nbytes v1.12.2 (*)\n\n");
        assert_eq!(linked.len(), 2);
        let mut bom = bom();
        prune(&mut bom, &linked).unwrap();
        assert_eq!(check(&bom, &PACKAGES[0], &linked).unwrap(), 1);
        assert_eq!(bom["dependencies"], json!([{"ref": "a", "dependsOn": []}]));
        let text = bom.to_string();
        assert!(!text.contains("urn:uuid") && !text.contains("timestamp"), "{text}");
    }

    #[test]
    fn what_is_linked_and_not_listed_is_an_error() {
        let linked = parse_tree("weir-agent v0.1.0\nring v0.17.14\n");
        let error = check(&bom(), &PACKAGES[0], &linked).unwrap_err().to_string();
        assert!(error.contains("ring"), "{error}");
    }
}
