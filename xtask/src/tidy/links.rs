//! What a package links in the end, as cargo resolves it: its manifest shows only the first step.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::Finding;
use super::rules::NOT_LINKED;

pub(super) fn check(root: &Path, findings: &mut Vec<Finding>) {
    let finding =
        |wrong: String, cure: String| Finding { path: "Cargo.lock".into(), line: 1, wrong, cure };
    for &(package, forbidden) in NOT_LINKED {
        match tree(root, package) {
            Ok(tree) => findings.extend(linked(&tree, forbidden).map(|name| {
                let cure = format!("`cargo tree --package {package} --invert {name}` says why");
                finding(format!("{package} links {name}"), cure)
            })),
            // The other findings still are worth showing.
            Err(error) => findings.push(finding(
                format!("what {package} links is not known ({error:#})"),
                "make `cargo tree --locked` work".into(),
            )),
        }
    }
}

/// Everything a package links, one `name version` on each line.
fn tree(root: &Path, package: &str) -> Result<String> {
    let output = Command::new(crate::cargo())
        .args(["tree", "--locked", "--package", package, "--edges", "normal"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}"])
        .current_dir(root)
        .output()
        .context("start cargo tree")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let errors = errors.trim_end();
    ensure!(output.status.success(), "cargo tree --package {package} failed: {errors}");
    String::from_utf8(output.stdout).context("read what cargo tree prints")
}

/// Those of the forbidden packages that a tree has.
fn linked<'a>(tree: &'a str, forbidden: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let has = |name: &&str| tree.lines().any(|line| line.split(' ').next() == Some(name));
    forbidden.iter().copied().filter(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_package_is_found_by_its_whole_name() {
        let tree = "weir-agent v0.1.0 (/weir)\nwasmtime v48.0.0\nredb-derive v1.0.0\n";
        let found: Vec<_> = linked(tree, &["wasmtime", "redb", "rdkafka-sys"]).collect();
        assert_eq!(found, ["wasmtime"]);
    }

    #[test]
    fn a_tree_that_cannot_be_had_is_a_finding() {
        let mut findings = Vec::new();
        check(Path::new("/"), &mut findings);
        assert_eq!(findings.len(), NOT_LINKED.len());
    }

    #[test]
    fn the_tree_of_a_package_has_what_it_links() {
        let tree = tree(&crate::workspace_root().unwrap(), "weir-kafka").unwrap();
        let found: Vec<_> = linked(&tree, &["rdkafka-sys", "weir-events", "wasmtime"]).collect();
        assert_eq!(found, ["rdkafka-sys", "weir-events"]);
    }
}
