//! What the Debian packages bring, as far as it can be checked without building them: settings that the programs
//! take, and units that start them as they are and keep them in. `cargo xtask deploy` has the units judged by
//! systemd's own tool, `cargo xtask package` builds the packages.

use std::fs;

use toml::{Table, Value};
use weir_e2e::process::complete;

use crate::compose::repository;

/// A package, the settings under /etc/weir, and the program's defaults.
const PACKAGES: [(&str, &str, &str); 3] = [
    ("weir-agent", "agent.toml", "edge-agent/weir-agent.toml"),
    ("weir-bridge", "bridge.toml", "bridge/weir-bridge.toml"),
    ("weir-host", "host.toml", "host/weir-host.toml"),
];

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).expect(path)
}

fn settings(file: &str) -> String {
    read(&format!("deploy/packages/{file}"))
}

/// The settings with everything in force that is there as a comment.
fn uncommented(file: &str) -> Table {
    let is_setting = |line: &str| line.starts_with('[') || line.contains(" = ");
    let text = settings(file);
    let lines = text.lines().filter_map(|line| line.strip_prefix("# "));
    let lines: Vec<&str> = lines.filter(|line| is_setting(line)).collect();
    lines.join("\n").parse().expect("TOML")
}

/// The names of all settings, as `section.name`.
fn names(prefix: &str, table: &Table) -> Vec<String> {
    let of = |(name, value): (&String, &Value)| match value {
        Value::Table(table) => names(&format!("{prefix}{name}."), table),
        _ => vec![format!("{prefix}{name}")],
    };
    table.iter().flat_map(of).collect()
}

/// The values of a unit's setting, in their order.
fn values<'a>(unit: &'a str, setting: &str) -> Vec<&'a str> {
    let value = |line: &'a str| line.strip_prefix(setting)?.strip_prefix('=');
    unit.lines().filter_map(value).collect()
}

fn unit(package: &str) -> String {
    read(&format!("deploy/systemd/{package}.service"))
}

#[test]
fn programs_take_the_settings_that_come_with_them() {
    for (program, file, _) in PACKAGES {
        let path = repository().join("deploy/packages").join(file);
        complete(program, &["--check-config", "--config", path.to_str().expect("UTF-8")]);
    }
}

#[test]
fn the_settings_in_comments_exist() {
    for (_, file, defaults) in PACKAGES {
        let defaults = names("", &read(defaults).parse().expect("TOML"));
        let shown = names("", &uncommented(file));
        assert!(shown.len() > 4, "{file}: {shown:?}");
        for name in shown {
            assert!(defaults.contains(&name), "{file}: there is no setting {name}");
        }
    }
}

/// A credential that the unit does not load is not there, and one without an empty value stops the start.
#[test]
fn units_load_the_credentials_that_the_settings_name() {
    for (package, file, _) in PACKAGES {
        let unit = unit(package);
        let name = |value: &&str| value.split(':').next().expect("a name").to_owned();
        let loaded: Vec<String> = values(&unit, "LoadCredential").iter().map(name).collect();
        let empty: Vec<String> = values(&unit, "SetCredential").iter().map(name).collect();
        assert_eq!(loaded, empty, "{package}");
        for named in settings(file).split("\"credential:").skip(1) {
            let named = named.split('"').next().expect("a name");
            assert!(loaded.iter().any(|loaded| loaded == named), "{package}: no {named}");
        }
    }
}

#[test]
fn units_start_what_the_packages_bring() {
    for (package, file, defaults) in PACKAGES {
        let unit = unit(package);
        let start = format!("/usr/bin/{package} --config /etc/weir/{file}");
        assert!(values(&unit, "ExecStart").concat().starts_with(&start), "{package}");
        assert_eq!(values(&unit, "StateDirectory"), [package]);
        assert_eq!(values(&unit, "WorkingDirectory"), [format!("%S/{package}")]);
        let folder = defaults.split('/').next().expect("a folder");
        let manifest: Table = read(&format!("{folder}/Cargo.toml")).parse().expect("TOML");
        let deb = &manifest["package"]["metadata"]["deb"];
        assert_eq!(deb["systemd-units"]["unit-name"].as_str(), Some(package));
        let kept = deb["conf-files"].as_array().expect("a list");
        assert!(kept.contains(&Value::from(format!("/etc/weir/{file}"))), "{package}: {kept:?}");
        let assets = deb["assets"].as_array().expect("a list");
        for source in assets.iter().filter_map(|asset| asset[0].as_str()) {
            let made = source.starts_with("target/") || source.starts_with("../target/");
            let path = repository().join(folder).join(source);
            assert!(made || path.exists(), "{package}: {source} is missing");
        }
    }
}

#[test]
fn units_keep_their_services_in() {
    for (package, _, _) in PACKAGES {
        let unit = unit(package);
        for (setting, value) in [
            ("Type", "notify"),
            ("NotifyAccess", "main"),
            ("DynamicUser", "yes"),
            ("StateDirectoryMode", "0700"),
            ("ProtectSystem", "strict"),
            ("NoNewPrivileges", "yes"),
            ("CapabilityBoundingSet", ""),
            ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
            ("Restart", "on-failure"),
            // A wrong configuration does not get right by starting again.
            ("RestartPreventExitStatus", "78"),
            // A gateway never gives up.
            ("StartLimitIntervalSec", "0"),
        ] {
            assert_eq!(values(&unit, setting), [value], "{package}: {setting}");
        }
        for bounded in ["MemoryMax", "TasksMax", "WatchdogSec"] {
            assert_eq!(values(&unit, bounded).len(), 1, "{package}: {bounded}");
        }
        // WebAssembly is compiled in the host.
        let sealed = values(&unit, "MemoryDenyWriteExecute") == ["yes"];
        assert_eq!(sealed, package != "weir-host", "{package}");
    }
}

/// The tests of real servers use the one, plants the other.
#[test]
fn both_brokers_give_devices_and_the_bridge_the_same_rights() {
    let rights = |path: &str| -> Vec<String> {
        let text = read(path);
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.take_while(|line| *line != "user monitor").map(str::to_owned).collect()
    };
    assert_eq!(rights("deploy/mosquitto/weir.acl"), rights("deploy/compose/mosquitto.acl"));
}
