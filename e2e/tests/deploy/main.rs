//! docker-compose.yml and Dockerfile, as far as they can be checked without an engine: what the containers
//! may do, that every file and secret they name exists, and that Weir's programs take the very command
//! lines and settings. `cargo xtask deploy` has them judged by the tools of their makers.

mod compose;
mod packages;
mod watching;

use std::fs;
use std::path::{Path, PathBuf};

use compose::{Compose, Service, repository};
use weir_e2e::process::run_with;
use weir_embedded::kafka::EmbeddedKafka;
use weir_registry::SecretKey;

/// A folder with what a container would find: the mounted settings, with paths that exist here.
struct Sandbox(tempfile::TempDir);

impl Sandbox {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("temporary folder"))
    }

    /// The path outside for one inside the container.
    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside.trim_start_matches('/'))
    }

    /// The same text with paths that exist here.
    fn outside(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for root in ["/etc/weir/", "/run/secrets/"] {
            text = text.replace(root, &format!("{}/", self.path(root).display()));
        }
        text
    }

    fn fill(&self, service: &Service) {
        for (source, inside) in service.mounts() {
            let text =
                fs::read_to_string(repository().join(source)).expect("a file of the repository");
            self.write(&inside, &self.outside(&text));
        }
        for secret in service.list("secrets") {
            let key = SecretKey::from_seed(&[7; 32]);
            let text = match &*secret {
                "model-private" => key.to_pem(),
                "model-public" => key.public().to_pem(),
                _ => "not a real one".to_owned(),
            };
            self.write(&format!("/run/secrets/{secret}"), &text);
        }
    }

    fn write(&self, inside: &str, text: &str) {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
}

/// Runs a service's command as it is, but for paths, with some more arguments and variables.
fn run(
    service: &Service,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let sandbox = Sandbox::new();
    sandbox.fill(service);
    let command: Vec<String> =
        service.list("command").iter().map(|part| sandbox.outside(part)).collect();
    let (program, own) = command.split_first().expect("a command");
    let arguments: Vec<&str> =
        own.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
    let environment = service.environment();
    let mut environment: Vec<(&str, String)> =
        environment.iter().map(|(name, value)| (name.as_str(), sandbox.outside(value))).collect();
    environment.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
    run_with(program, &arguments, &environment)
}

#[test]
fn containers_may_do_no_more_than_they_must() {
    let mut wrong = Vec::new();
    for service in Compose::read().services() {
        wrong.extend(service.faults());
    }
    assert!(wrong.is_empty(), "docker-compose.yml:\n{}", wrong.join("\n"));
}

#[test]
fn services_name_only_what_exists() {
    let compose = Compose::read();
    let mut secrets = Vec::new();
    for service in compose.services() {
        for (source, _) in service.mounts() {
            assert!(repository().join(&source).exists(), "{}: {source} is missing", service.name);
        }
        for needed in service.needs() {
            assert!(compose.has("services", &needed), "{}: no service {needed}", service.name);
        }
        for network in service.list("networks") {
            assert!(compose.has("networks", &network), "{}: no network {network}", service.name);
        }
        for volume in service.volumes() {
            assert!(compose.has("volumes", &volume), "{}: no volume {volume}", service.name);
        }
        for secret in service.list("secrets") {
            assert!(compose.has("secrets", &secret), "{}: no secret {secret}", service.name);
            secrets.push(secret);
        }
    }
    // The script makes exactly the files that the compose file names.
    let script = fs::read_to_string(repository().join("deploy/compose/secrets.sh")).expect("there");
    let users = script.lines().find_map(|line| line.strip_prefix("for user in ")).expect("a list");
    let users = users.trim_end_matches("; do").split(' ');
    let mut made: Vec<String> = users.map(|user| format!("mqtt-{user}")).collect();
    for name in &made {
        let file = format!("./deploy/compose/secrets/{name}.password");
        assert_eq!(compose.secret_file(name), file);
    }
    for half in ["private", "public"] {
        let file = format!("secrets/model-{half}.pem");
        assert!(script.contains(&format!("-out {file}")), "{file} is not made");
        let name = format!("model-{half}");
        assert_eq!(compose.secret_file(&name), format!("./deploy/compose/{file}"));
        made.push(name);
    }
    secrets.sort();
    secrets.dedup();
    made.sort();
    assert_eq!(secrets, made);
}

/// The set-up runs at every start: it must neither fail nor replace what was learned since.
#[test]
fn the_first_model_is_made_once() {
    let kafka = EmbeddedKafka::start().expect("starts");
    kafka.create_topic("models", 1).expect("created");
    let brokers = kafka.brokers();
    let service = Compose::read().service("model");
    let variables = [("WEIR__KAFKA__BROKERS", brokers.as_str())];
    for _ in 0..2 {
        let (code, printed, log) = run(&service, &[], &variables);
        assert_eq!(code, Some(0), "{log}");
        assert!(printed.starts_with("v1 sha256:"), "{printed}");
    }
}

/// The schema decides the key, by which machine and number a fish is known everywhere.
#[test]
fn all_services_have_one_schema() {
    let schema = |name: &str| {
        let path = repository().join("deploy/compose").join(name);
        let text = fs::read_to_string(path).expect("there");
        let (_, schema) = text.split_once("\n[schema]\n").expect("a schema");
        schema.to_owned()
    };
    assert_eq!(schema("bridge.toml"), schema("host.toml"));
    assert_eq!(schema("host.toml"), schema("trainer.toml"));
}

#[test]
fn the_image_is_built_from_what_is_there_with_the_pinned_toolchain() {
    let read = |path: &str| fs::read_to_string(repository().join(path)).expect("there");
    let (dockerfile, toolchain) = (read("Dockerfile"), read("rust-toolchain.toml"));
    let channel = toolchain.split("channel = \"").nth(1).expect("a channel");
    let channel = channel.split('"').next().expect("a channel");
    assert!(dockerfile.contains(&format!("RUSTUP_TOOLCHAIN={channel} ")), "another toolchain");
    for line in dockerfile.lines().filter(|line| line.starts_with("FROM ")) {
        assert!(compose::is_pinned(line.split(' ').nth(1).expect("an image")), "{line}");
    }
    for line in dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let mut parts: Vec<&str> = line.split(' ').collect();
        parts.pop();
        for source in parts.iter().filter(|_| !line.starts_with("--from")) {
            assert!(repository().join(source).exists(), "COPY {line}: no {source}");
        }
    }
    // What the builder is sent holds every member of the workspace.
    let sent = read(".dockerignore");
    let sent: Vec<&str> = sent.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for path in &sent {
        assert!(repository().join(path).exists(), ".dockerignore: no {path}");
    }
    let manifest = read("Cargo.toml");
    let members = manifest.split("members = [").nth(1).expect("members");
    let members = members.split(']').next().expect("members").split(',');
    for member in members.map(|member| member.trim().trim_matches('"')).filter(|m| !m.is_empty()) {
        let folder = Path::new(member).iter().next().expect("a folder");
        assert!(
            sent.iter().any(|path| Path::new(path) == folder),
            ".dockerignore leaves out {member}"
        );
    }
}
