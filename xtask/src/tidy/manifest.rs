//! Rules for the manifests: who depends on whom, and that all follow the workspace.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

use super::rules::{CONFINED, LAYERS, SERVICES, TESTS_ONLY};
use super::{File, Finding};

/// The manifest of a package.
pub(super) struct Manifest<'a> {
    file: &'a File,
    table: Table,
    name: String,
}

/// A dependency as a manifest declares it.
struct Dependency<'a> {
    name: &'a str,
    for_tests: bool,
    value: &'a Value,
}

impl<'a> Manifest<'a> {
    pub(super) fn parse(file: &'a File) -> Result<Self> {
        let table = file.toml()?;
        let name = table.get("package").and_then(|package| package.get("name"));
        let name = name.and_then(Value::as_str);
        let name = name.with_context(|| format!("find the package's name in {}", file.path))?;
        Ok(Self { file, name: name.to_owned(), table })
    }

    pub(super) fn check(&self, findings: &mut Vec<Finding>) {
        self.check_lints(findings);
        for dependency in self.dependencies() {
            self.check_declaration(&dependency, findings);
            self.check_confined(&dependency, findings);
            self.check_layer(&dependency, findings);
        }
        if layer(&self.name).is_none() {
            let wrong = format!("{} has no layer", self.name);
            findings.push(self.file.finding(1, wrong, "give it one in xtask/src/tidy/rules.rs"));
        }
    }

    /// The names of everything it depends on.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.dependencies().into_iter().map(|dependency| dependency.name)
    }

    fn dependencies(&self) -> Vec<Dependency<'_>> {
        let targets = self.table.get("target").and_then(Value::as_table);
        let targets = targets.into_iter().flat_map(|targets| targets.values());
        let mut dependencies = Vec::new();
        for table in std::iter::once(&self.table).chain(targets.filter_map(Value::as_table)) {
            for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
                let declared = table.get(section).and_then(Value::as_table).into_iter().flatten();
                let for_tests = section == "dev-dependencies";
                dependencies.extend(declared.map(|(name, value)| Dependency {
                    name,
                    for_tests,
                    value,
                }));
            }
        }
        dependencies
    }

    fn check_lints(&self, findings: &mut Vec<Finding>) {
        let lints = self.table.get("lints").and_then(|lints| lints.get("workspace"));
        if lints.and_then(Value::as_bool) != Some(true) {
            let wrong = "the lints of the workspace do not apply".into();
            findings.push(self.file.finding(1, wrong, "write [lints] workspace = true"));
        }
    }

    /// Versions are declared once, in the workspace.
    fn check_declaration(&self, dependency: &Dependency<'_>, findings: &mut Vec<Finding>) {
        if dependency.value.get("workspace").and_then(Value::as_bool) != Some(true) {
            let wrong = format!("{} is not the workspace's", dependency.name);
            let cure = "declare it in [workspace.dependencies], and here `workspace = true`";
            self.report(dependency, wrong, cure, findings);
        }
    }

    fn check_confined(&self, dependency: &Dependency<'_>, findings: &mut Vec<Finding>) {
        let directory = self.file.path.trim_end_matches("Cargo.toml");
        for confined in CONFINED {
            let is_named = confined.packages.contains(&dependency.name);
            if is_named && !confined.places.iter().any(|place| place.starts_with(directory)) {
                let wrong = format!("{} depends on {}", self.name, dependency.name);
                let cure = format!("only {} may name it", confined.places.join(", "));
                self.report(dependency, wrong, &cure, findings);
            }
        }
    }

    fn check_layer(&self, dependency: &Dependency<'_>, findings: &mut Vec<Finding>) {
        let (Some(own), Some(other)) = (layer(&self.name), layer(dependency.name)) else { return };
        let wrong = format!("{} depends on {}", self.name, dependency.name);
        if TESTS_ONLY.contains(&dependency.name) && !dependency.for_tests {
            let cure = "only tests may; meet it through wit/ and bytes";
            self.report(dependency, wrong, cure, findings);
        } else if !(other < own || dependency.for_tests && other < SERVICES) {
            let cure =
                "dependencies point downwards (xtask/src/tidy/rules.rs); move what both need";
            self.report(dependency, wrong, cure, findings);
        }
    }

    fn report(
        &self,
        dependency: &Dependency<'_>,
        wrong: String,
        cure: &str,
        findings: &mut Vec<Finding>,
    ) {
        let line = self.file.line_that_begins_with(dependency.name);
        findings.push(self.file.finding(line, wrong, cure));
    }
}

fn layer(package: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&package))
}

/// What the workspace declares must be used, and under its own name: the other checks go by names.
pub(super) fn check_workspace(
    root: &File,
    manifests: &[Manifest<'_>],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let table = root.toml()?;
    let declared = table.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let declared = declared.and_then(Value::as_table).context("find [workspace.dependencies]")?;
    let used: BTreeSet<&str> = manifests.iter().flat_map(Manifest::names).collect();
    for (name, value) in declared {
        let line = root.line_that_begins_with(name);
        if !used.contains(name.as_str()) {
            findings.push(root.finding(line, format!("nothing uses {name}"), "delete the line"));
        }
        if value.get("package").is_some() {
            let wrong = format!("{name} is another package's new name");
            findings.push(root.finding(line, wrong, "call the package by its own name"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in the manifest of this package with these sections.
    fn found(path: &str, name: &str, sections: &str) -> Vec<String> {
        let head = format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n");
        messages(&File { path: path.into(), text: head + sections })
    }

    fn messages(file: &File) -> Vec<String> {
        let mut findings = Vec::new();
        Manifest::parse(file).unwrap().check(&mut findings);
        findings.iter().map(|finding| format!("{}: {}", finding.line, finding.wrong)).collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn dependencies_point_downwards() {
        let found = |name: &str, sections: &str| found("bridge/Cargo.toml", name, sections);
        assert_eq!(found("weir-bridge", "[dependencies]\nweir-kafka.workspace = true\n"), NONE);
        for (name, other) in [
            ("weir-bridge", "weir-host"),
            ("weir-events", "weir-stream"),
            ("weir-kafka", "weir-mqtt"),
            ("weir-runtime", "weir-embedded"),
            ("xtask", "weir-events"),
        ] {
            let wrong = [format!("6: {name} depends on {other}")];
            let sections = format!("[dependencies]\n{other}.workspace = true\n");
            assert_eq!(found(name, &sections), wrong);
            let sections = format!("[build-dependencies]\n{other}.workspace = true\n");
            assert_eq!(found(name, &sections), wrong);
        }
    }

    #[test]
    fn tests_may_use_the_embedded_brokers_and_the_guest_but_no_other_service() {
        let found = |sections: &str| found("crates/mqtt/Cargo.toml", "weir-mqtt", sections);
        let upwards = "weir-embedded.workspace = true\nweir-model.workspace = true\n";
        assert_eq!(found(&format!("[dev-dependencies]\n{upwards}")), NONE);
        assert_eq!(found(&format!("[dependencies]\n{upwards}")).len(), 2);
        let service = found("[dev-dependencies]\nweir-host.workspace = true\n");
        assert_eq!(service, ["6: weir-mqtt depends on weir-host"]);
    }

    #[test]
    fn confined_crates_are_found_in_every_kind_of_section() {
        for section in ["dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies"] {
            let sections = format!("[{section}]\nrdkafka.workspace = true\n");
            let wrong = ["6: weir-bridge depends on rdkafka"];
            assert_eq!(found("bridge/Cargo.toml", "weir-bridge", &sections), wrong);
            assert_eq!(found("crates/kafka/Cargo.toml", "weir-kafka", &sections), NONE);
            assert_eq!(found("crates/embedded/Cargo.toml", "weir-embedded", &sections), NONE);
        }
    }

    #[test]
    fn a_manifest_follows_the_workspace() {
        let own = found("host/Cargo.toml", "weir-host", "[dependencies]\ncsv = \"1\"\n");
        assert_eq!(own, ["6: csv is not the workspace's"]);
        let text = "[package]\nname = \"weir-new\"\n".to_owned();
        let bare = messages(&File { path: "new/Cargo.toml".into(), text });
        assert_eq!(
            bare,
            ["1: the lints of the workspace do not apply", "1: weir-new has no layer"]
        );
    }

    #[test]
    fn the_workspace_declares_what_is_used_by_its_own_name() {
        let text = "[workspace.dependencies]\ncsv = \"1\"\nkafka = { package = \"rdkafka\", version = \"1\" }\n";
        let root = File { path: "Cargo.toml".into(), text: text.into() };
        let text = "[package]\nname = \"weir-host\"\n[dependencies]\nkafka.workspace = true\n";
        let host = File { path: "host/Cargo.toml".into(), text: text.into() };
        let mut findings = Vec::new();
        check_workspace(&root, &[Manifest::parse(&host).unwrap()], &mut findings).unwrap();
        let wrong: Vec<_> = findings.iter().map(|finding| finding.wrong.as_str()).collect();
        assert_eq!(wrong, ["nothing uses csv", "kafka is another package's new name"]);
    }
}
