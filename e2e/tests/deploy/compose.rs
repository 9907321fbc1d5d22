//! docker-compose.yml as these tests read it: after the merges, before anything an engine would add.

use std::path::{Path, PathBuf};

use serde_norway::{Mapping, Value};

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The file.
pub(crate) struct Compose(Mapping);

/// One service of it.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) name: String,
    settings: Mapping,
}

impl Compose {
    pub(crate) fn read() -> Self {
        let path = repository().join("docker-compose.yml");
        let text = std::fs::read_to_string(path).expect("docker-compose.yml");
        let mut value: Value = serde_norway::from_str(&text).expect("YAML");
        // A merged part may itself merge another.
        for _ in 0..3 {
            value.apply_merge().expect("merges");
        }
        match value {
            Value::Mapping(mapping) => Self(mapping),
            other => panic!("no mapping: {other:?}"),
        }
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = Service> {
        let services = self.0["services"].as_mapping().expect("services");
        services.iter().map(|(name, settings)| Service {
            name: text(name),
            settings: settings.as_mapping().expect("a mapping").clone(),
        })
    }

    pub(crate) fn service(&self, name: &str) -> Service {
        self.services().find(|service| service.name == name).expect("the service")
    }

    pub(crate) fn has(&self, section: &str, name: &str) -> bool {
        self.0[section].as_mapping().is_some_and(|section| section.contains_key(name))
    }

    pub(crate) fn secret_file(&self, name: &str) -> String {
        text(&self.0["secrets"][name]["file"])
    }
}

impl Service {
    fn text(&self, setting: &str) -> String {
        self.settings.get(setting).map(text).unwrap_or_default()
    }

    pub(crate) fn list(&self, setting: &str) -> Vec<String> {
        let list = self.settings.get(setting).and_then(Value::as_sequence);
        list.map(|list| list.iter().map(text).collect()).unwrap_or_default()
    }

    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let environment = self.settings.get("environment").and_then(Value::as_mapping);
        let pairs = environment.into_iter().flatten();
        pairs.map(|(name, value)| (text(name), text(value))).collect()
    }

    /// The services that must be there first.
    pub(crate) fn needs(&self) -> Vec<String> {
        let needs = self.settings.get("depends_on").and_then(Value::as_mapping);
        needs.into_iter().flatten().map(|(name, _)| text(name)).collect()
    }

    /// Files of the repository, and where they are in the container.
    pub(crate) fn mounts(&self) -> Vec<(String, String)> {
        let volumes = self.list("volumes");
        let parts = volumes.iter().map(|volume| volume.split(':').collect::<Vec<_>>());
        let files = parts.filter(|parts| parts[0].starts_with('.'));
        files.map(|parts| (parts[0].to_owned(), parts[1].to_owned())).collect()
    }

    /// The named volumes.
    pub(crate) fn volumes(&self) -> Vec<String> {
        let volumes = self.list("volumes");
        let named = volumes.iter().filter(|volume| !volume.starts_with('.'));
        named.map(|volume| volume.split(':').next().expect("a name").to_owned()).collect()
    }

    /// What the service may or lacks against the rules.
    pub(crate) fn faults(&self) -> Vec<String> {
        let user = self.text("user");
        let volumes = self.list("volumes");
        let mut binds = volumes.iter().filter(|volume| volume.starts_with('.'));
        let has = |setting: &str| self.settings.contains_key(setting);
        let rules = [
            ("its image is not pinned", is_pinned(&self.text("image"))),
            ("its root can be written", self.text("read_only") == "true"),
            ("it keeps capabilities", self.list("cap_drop") == ["ALL"]),
            ("it may gain privileges", self.list("security_opt") == ["no-new-privileges:true"]),
            ("it is root", !user.is_empty() && !user.starts_with("root") && !user.starts_with('0')),
            ("its memory is not bounded", has("mem_limit")),
            ("its processes are not bounded", has("pids_limit")),
            ("its log is not bounded", has("logging")),
            ("nobody starts it again", has("restart")),
            (
                "it has neither a health check nor a reason",
                has("healthcheck") || has("x-no-healthcheck"),
            ),
            (
                "a port is open beyond this machine",
                self.list("ports").iter().all(|port| port.starts_with("127.0.0.1:")),
            ),
            ("it may write to the repository", binds.all(|volume| volume.ends_with(":ro"))),
            ("it is privileged", !has("privileged") && !has("cap_add") && !has("network_mode")),
        ];
        let broken = rules.into_iter().filter(|(_, fine)| !fine);
        broken.map(|(fault, _)| format!("{}: {fault}", self.name)).collect()
    }
}

/// Whether an image names a version: a tag or stage of its own that has a digit.
pub(crate) fn is_pinned(image: &str) -> bool {
    image.split_once(':').is_some_and(|(_, tag)| tag.contains('.') || tag.contains("-20"))
}

/// A scalar as text.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        other => panic!("no scalar: {other:?}"),
    }
}
