//! `cargo xtask package`: Debian packages of the services, under `target/packages`, and what they are checked for.
//!
//! Each program is built by itself, so that no other one's features get into it. cargo-deb packs what the manifests
//! say (`[package.metadata.deb]`). Then the package is unpacked into a folder of its own: files,
//! rights and settings are looked at, and the program must take the settings that come with it. As root it is
//! also installed, with its scripts, below another folder. Nothing of the system is changed, and the services
//! are not started.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::cross::{self, Machine, emulated};
use crate::fetched::{self, Program};
use crate::workspace::Metadata;
use crate::{cargo, execute, output, report, sbom, tools, workspace_root};

const CARGO_DEB: Program = Program { name: "cargo-deb", version: "3.8.0" };

/// A service that is packaged.
pub(crate) struct Package {
    /// The package, the program and the unit.
    pub(crate) name: &'static str,
    /// Where its manifest is.
    pub(crate) folder: &'static str,
    /// Its settings under /etc/weir.
    settings: &'static str,
    features: &'static [&'static str],
}

pub(crate) const PACKAGES: [Package; 3] = [
    Package { name: "weir-agent", folder: "edge-agent", settings: "agent.toml", features: &[] },
    Package {
        name: "weir-bridge",
        folder: "bridge",
        settings: "bridge.toml",
        features: &["kafka-tls", "otlp"],
    },
    Package {
        name: "weir-host",
        folder: "host",
        settings: "host.toml",
        features: &["kafka-tls", "otlp"],
    },
];

impl Package {
    /// How it is built: see the workspace's manifest.
    fn profile(&self) -> &'static str {
        if self.name == "weir-agent" { "edge" } else { "dist" }
    }

    /// Options of cargo for the features that it is shipped with.
    pub(crate) fn features(&self) -> Vec<String> {
        match self.features {
            [] => Vec::new(),
            features => vec!["--features".to_owned(), features.join(",")],
        }
    }
}

/// What lintian finds and is meant so.
const SUPPRESSED: [&str; 4] = [
    // `--help` and the commented settings are the manual.
    "no-manual-page",
    // It is in CHANGELOG.md, which is no changelog of Debian's.
    "no-changelog",
    // The agent for 64-bit ARM: it runs on any Linux.
    "statically-linked-binary",
    // It depends on nothing.
    "empty-field",
];

/// The one that gateways of other machines need.
const AGENT: &str = PACKAGES[0].name;

/// Options of `cargo xtask package`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The packages, such as weir-agent; all if none is named.
    #[arg(value_parser = PACKAGES.map(|package| package.name))]
    packages: Vec<String>,
    /// What it runs on: another machine than this one for weir-agent only.
    #[arg(long, value_enum, default_value_t = Machine::Native)]
    machine: Machine,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = workspace_root()?;
    let machine = arguments.machine;
    let all = arguments.packages.is_empty() && machine == Machine::Native;
    let named =
        |package: &Package| all || arguments.packages.iter().any(|name| name == package.name);
    ensure!(
        machine == Machine::Native || arguments.packages == [AGENT],
        "name {AGENT}: it alone is packaged for another machine"
    );
    tools::ensure(&[&tools::DPKG_DEV])?;
    emulated::ensure(&[machine])?;
    for package in PACKAGES.iter().filter(|package| named(package)) {
        if !package.features.is_empty() {
            tools::ensure(&[&tools::OPENSSL_HEADERS, &tools::PKG_CONFIG])?;
        }
        match machine.target() {
            None => build(&root, package)?,
            Some(_) => drop(cross::build(&root, machine)?),
        }
        sbom::write(&root, package, machine.target())?;
        let deb = pack(&root, package, machine)?;
        check(&root, package, machine, &deb).with_context(|| format!("check {}", deb.display()))?;
    }
    Ok(())
}

fn build(root: &Path, package: &Package) -> Result<()> {
    let mut command = Command::new(cargo());
    command.args(["build", "--locked", "--profile", package.profile(), "--package", package.name]);
    execute(command.args(package.features()).current_dir(root))
}

/// Packs what was built. Returns the package's path.
fn pack(root: &Path, package: &Package, machine: Machine) -> Result<PathBuf> {
    let tool = fetched::from_crate(root, &CARGO_DEB)?;
    let folder = root.join("target/packages");
    fs::create_dir_all(&folder).context("create target/packages")?;
    let mut command = Command::new(tool);
    command.args(["--no-build", "--locked", "--profile", package.profile()]);
    command.args(["--package", package.name]);
    // The profiles have done it. cargo-deb does not see that where one inherits it, and this machine's `strip` knows no other's
    // programs.
    command.arg("--no-strip");
    command.arg("--output").arg(&folder);
    if let Some(target) = machine.target() {
        // What the package depends on cannot be asked of a program of another machine: the manifest says it.
        command.args(["--target", target, "--variant", target]);
    }
    let printed = output(command.current_dir(root))?;
    let path = printed.lines().last().context("find the package that cargo-deb made")?;
    Ok(path.into())
}

fn check(root: &Path, package: &Package, machine: Machine, deb: &Path) -> Result<()> {
    let contents = output(tools::command("dpkg-deb").arg("--contents").arg(deb))?;
    report(&contents);
    report(&output(tools::command("dpkg-deb").arg("--info").arg(deb))?);
    let scratch = root.join("target/packages").join(package.name);
    if scratch.exists() {
        fs::remove_dir_all(&scratch).context("remove what was unpacked before")?;
    }
    execute(tools::command("dpkg-deb").arg("--raw-extract").arg(deb).arg(&scratch))?;
    check_files(package, &scratch)?;
    check_version(root, package, machine, &scratch)?;
    install(package, deb, &root.join("target/packages/root"))?;
    lint(deb)?;
    let size = fs::metadata(deb).context("look at the package")?.len();
    let program = scratch.join("usr/bin").join(package.name);
    let program = fs::metadata(program).context("look at the program")?.len();
    report(&format!("{}: {size} bytes, its program {program} bytes", deb.display()));
    Ok(())
}

/// What must be where, and which rights it must have.
fn check_files(package: &Package, scratch: &Path) -> Result<()> {
    let (name, settings) = (package.name, package.settings);
    let files = [
        (format!("usr/bin/{name}"), 0o755),
        (format!("etc/weir/{settings}"), 0o644),
        (format!("usr/lib/systemd/system/{name}.service"), 0o644),
        (format!("usr/share/doc/{name}/copyright"), 0o644),
        (format!("usr/share/doc/{name}/sbom.cdx.json"), 0o644),
        (format!("usr/share/doc/{name}/{name}.toml"), 0o644),
        ("DEBIAN/postinst".to_owned(), 0o755),
    ];
    for (file, mode) in files {
        let found = fs::metadata(scratch.join(&file)).with_context(|| format!("find /{file}"))?;
        let found = found.permissions().mode() & 0o7777;
        ensure!(found == mode, "/{file} has the mode {found:o}, not {mode:o}");
    }
    let kept = fs::read_to_string(scratch.join("DEBIAN/conffiles")).context("read conffiles")?;
    let settings = format!("/etc/weir/{settings}");
    ensure!(kept.lines().any(|line| line == settings), "an upgrade would replace {settings}");
    Ok(())
}

/// The program of the package runs, and takes the settings that come with it.
fn check_version(root: &Path, package: &Package, machine: Machine, scratch: &Path) -> Result<()> {
    let program = scratch.join("usr/bin").join(package.name);
    let settings = scratch.join("etc/weir").join(package.settings);
    let printed = output(emulated::command(machine, &program).arg("--version"))?;
    let expected = format!("{} {}", package.name, Metadata::read(root)?.version(package.name)?);
    ensure!(printed.trim_end() == expected, "{} is {printed}", program.display());
    let mut command = emulated::command(machine, &program);
    output(command.arg("--check-config").arg("--config").arg(&settings))?;
    report(&format!("{expected}: takes its settings"));
    Ok(())
}

/// Installs it below a folder, where its scripts must find what they change.
fn install(package: &Package, deb: &Path, root: &Path) -> Result<()> {
    if !tools::is_root() {
        report("SKIPPED: not root, so installing is not tried");
        return Ok(());
    }
    if root.exists() {
        fs::remove_dir_all(root).context("remove what was installed before")?;
    }
    let database = root.join("var/lib/dpkg");
    for folder in ["updates", "info"] {
        fs::create_dir_all(database.join(folder)).context("create dpkg's database")?;
    }
    fs::write(database.join("status"), "").context("create dpkg's database")?;
    let mut dpkg = tools::command("dpkg");
    dpkg.arg(format!("--root={}", root.display()));
    // No shell is below the folder, and no library that the package depends on.
    dpkg.args([
        "--force-script-chrootless",
        "--force-depends",
        "--force-architecture",
        "--log=/dev/null",
        "--install",
    ]);
    execute(dpkg.arg(deb))?;
    let secrets = root.join("etc/weir/credentials");
    let mode = fs::metadata(&secrets).context("find /etc/weir/credentials")?.permissions().mode();
    ensure!(mode & 0o7777 == 0o700, "/etc/weir/credentials has the mode {mode:o}");
    let wanted = root.join("etc/systemd/system/multi-user.target.wants");
    ensure!(!wanted.exists(), "{} is enabled before anybody has set it up", package.name);
    report(&format!("{}: installs below {}", package.name, root.display()));
    Ok(())
}

/// Debian's own judge, if it is there.
fn lint(deb: &Path) -> Result<()> {
    if tools::find("lintian").is_none() {
        report("SKIPPED: lintian is not installed");
        return Ok(());
    }
    let mut command = tools::command("lintian");
    command.args(["--fail-on", "error,warning", "--suppress-tags", &SUPPRESSED.join(",")]);
    // Debian's builders are not root; here somebody may be.
    execute(command.arg("--allow-root").arg(deb)).context("satisfy lintian")?;
    report("lintian: no error and no warning");
    Ok(())
}
