//! Secrets: whether their files are kept from others, and whether the keys of versions fit together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use weir_host::{HostConfig, Role};
use weir_registry::PublicKey;
use weir_service::{Security, locate_secret};

use super::files::{group_may, mode, others_may};
use super::finding::Report;
use super::said;
use super::settings::Settings;

/// Checks files and keys.
pub(super) fn check(settings: &Settings, report: &mut Report) {
    check_secrets(settings, report);
    check_trust(&settings.host, report);
}

/// The settings that name files which nobody else may read, as far as they are set.
fn secrets(settings: &Settings) -> Vec<(String, PathBuf)> {
    let host = &settings.host;
    let named: Vec<(String, &Path)> = vec![
        ("train.key-file".into(), &host.train.key_file),
        ("store.password-file".into(), &host.store.password_file),
    ];
    let link = |section: &str, security: &Security| -> [(String, PathBuf); 2] {
        [
            (format!("{section}.password-file"), security.password_file.clone()),
            (format!("{section}.key-file"), security.key_file.clone()),
        ]
    };
    let mut links = Vec::new();
    links.extend(link("kafka.security", &host.kafka.security));
    if let Some(bridge) = &settings.bridge {
        links.extend(link("bridge's mqtt.security", &bridge.mqtt.security));
        links.extend(link("bridge's kafka.security", &bridge.kafka.security));
    }
    if let Some(agent) = &settings.agent {
        links.extend(link("agent's mqtt.security", &agent.mqtt.security));
    }
    let named = named.into_iter().map(|(setting, path)| (setting, path.to_owned()));
    let mut seen = BTreeSet::new();
    named
        .chain(links)
        .filter(|(_, path)| !path.as_os_str().is_empty() && seen.insert(path.clone()))
        .collect()
}

fn check_secrets(settings: &Settings, report: &mut Report) {
    let mut private = 0;
    for (setting, path) in secrets(settings) {
        let located = match locate_secret(&setting, &path) {
            Ok(located) => located,
            Err(error) => {
                let next = "run the doctor in the unit's surroundings, or name a file";
                report.warning("keys", said(&error), next);
                continue;
            }
        };
        let place = located.display();
        match mode(&located) {
            Err(error) => {
                let next = format!("put the file there, or correct {setting}");
                report.failed("keys", format!("{setting}: {place}: {error}"), next);
            }
            Ok(mode) if others_may(mode) => {
                let found = format!("{setting}: {place} can be read by others (mode {mode:o})");
                let next = format!(
                    "chmod 600 {place}, and make a new secret if somebody may have read this one"
                );
                report.failed("keys", found, next);
            }
            Ok(mode) if group_may(mode) => {
                let found = format!("{setting}: {place} can be read by its group (mode {mode:o})");
                report.warning("keys", found, format!("chmod 600 {place}, unless that is meant"));
            }
            Ok(_) => private += 1,
        }
    }
    if private > 0 {
        let noun = if private == 1 { "secret is" } else { "secrets are" };
        report.ok("keys", format!("{private} {noun} readable by the owner alone"));
    }
}

fn check_trust(host: &HostConfig, report: &mut Report) {
    let [trains, predicts] = [Role::Train, Role::Predict].map(|role| host.roles.contains(&role));
    if !trains && !predicts {
        report.skipped("keys", "this host neither trains nor predicts", None);
        return;
    }
    if !host.names_keys() {
        let next = "weir model keygen trainer, then trust.keys = [\"trainer.pub\"] and train.key-file = \"trainer.pem\"";
        report.failed("keys", "no keys are set, and without them a host does not start", next);
        return;
    }
    if let Err(error) = host.check_trust() {
        let next = "name the trainer's public key in trust.keys; weir model keygen makes a pair";
        report.failed("keys", said(&error), next);
        return;
    }
    if host.trust.allow_unsigned {
        let next =
            "for development alone: set trust.allow-unsigned = false and name keys in trust.keys";
        report.warning("keys", "versions serve that nobody has signed", next);
        return;
    }
    let ids: Vec<String> = host.trust.keys.iter().filter_map(|path| id(path)).collect();
    let signs = if trains { "; this host signs with one of them" } else { "" };
    report.ok("keys", format!("trusts {}{signs}", ids.join(", ")));
}

fn id(path: &Path) -> Option<String> {
    let path = locate_secret("trust.keys", path).ok()?;
    let text = std::fs::read_to_string(path).ok()?;
    Some(PublicKey::from_pem(&text).ok()?.id().to_string())
}
