//! Programs that real servers and the tests against them need, and where Debian has them.
//!
//! As root on Debian what is missing is installed, and only that; each package is named before. Elsewhere
//! the command stops with the line to run. Nothing is fetched from anywhere but the system's own packages.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Something that must be on the machine.
#[derive(Debug)]
pub(crate) struct Tool {
    /// What it is called when it is missing.
    what: &'static str,
    /// Debian's package.
    package: &'static str,
    is_there: fn() -> bool,
}

pub(crate) const JAVA: Tool = Tool {
    what: "java, version 17 or newer",
    package: "default-jre-headless",
    is_there: || version("java", "-version").is_some_and(|version| version >= (17, 0)),
};
pub(crate) const MAVEN: Tool =
    Tool { what: "mvn", package: "maven", is_there: || find("mvn").is_some() };
/// Any version since 1.21 fetches by itself the one that a module asks for.
pub(crate) const GO: Tool = Tool {
    what: "go, version 1.21 or newer",
    package: "golang-go",
    is_there: || version("go", "version").is_some_and(|version| version >= (1, 21)),
};
pub(crate) const KCAT: Tool =
    Tool { what: "kcat", package: "kafkacat", is_there: || find("kcat").is_some() };
pub(crate) const NETCAT: Tool =
    Tool { what: "nc, OpenBSD's", package: "netcat-openbsd", is_there: || find("nc").is_some() };
pub(crate) const OPENSSL: Tool = Tool {
    what: "openssl, version 3 or newer",
    package: "openssl",
    is_there: || version("openssl", "version").is_some_and(|version| version >= (3, 0)),
};
pub(crate) const OPENSSL_HEADERS: Tool =
    Tool { what: "OpenSSL's headers", package: "libssl-dev", is_there: has_openssl_headers };
pub(crate) const PKG_CONFIG: Tool =
    Tool { what: "pkg-config", package: "pkg-config", is_there: || find("pkg-config").is_some() };
pub(crate) const MOSQUITTO: Tool = Tool {
    what: "mosquitto and mosquitto_passwd",
    package: "mosquitto",
    is_there: || find("mosquitto").is_some() && find("mosquitto_passwd").is_some(),
};
pub(crate) const MOSQUITTO_CLIENTS: Tool = Tool {
    what: "mosquitto_pub and mosquitto_sub",
    package: "mosquitto-clients",
    is_there: || find("mosquitto_pub").is_some() && find("mosquitto_sub").is_some(),
};
/// For tests of clocks that are wrong.
pub(crate) const FAKETIME: Tool = Tool {
    what: "faketime and its library",
    package: "faketime",
    is_there: || find("faketime").is_some(),
};
/// For tests of what services tell about themselves, and of the alert rules.
pub(crate) const PROMTOOL: Tool =
    Tool { what: "promtool", package: "prometheus", is_there: || find("promtool").is_some() };
/// The collector of traces is linked with it.
pub(crate) const LIBPYTHON: Tool = Tool {
    what: "Python's library, of one of the versions 3.11 to 3.13",
    package: "libpython3-dev",
    is_there: || libpython().is_some(),
};
/// For tests that hand model versions to other programs.
pub(crate) const SKOPEO: Tool =
    Tool { what: "skopeo", package: "skopeo", is_there: || find("skopeo").is_some() };
pub(crate) const REGISTRY: Tool = Tool {
    what: "docker-registry",
    package: "docker-registry",
    is_there: || find("docker-registry").is_some(),
};
/// For the test of the page.
pub(crate) const BROWSER: Tool =
    Tool { what: "chromium", package: "chromium", is_there: || find("chromium").is_some() };
pub(crate) const BROWSER_DRIVER: Tool = Tool {
    what: "chromedriver",
    package: "chromium-driver",
    is_there: || find("chromedriver").is_some(),
};
/// For `cargo xtask package` alone. It finds which packages a program's libraries are in.
pub(crate) const DPKG_DEV: Tool = Tool {
    what: "dpkg-deb and dpkg-shlibdeps",
    package: "dpkg-dev",
    is_there: || find("dpkg-deb").is_some() && find("dpkg-shlibdeps").is_some(),
};
/// For `cargo xtask cross --check` alone.
pub(crate) const QEMU: Tool = Tool {
    what: "qemu-aarch64-static and qemu-arm-static",
    package: "qemu-user-static",
    is_there: || find("qemu-aarch64-static").is_some() && find("qemu-arm-static").is_some(),
};
/// What an emulated ARMv7 takes for its own libraries.
pub(crate) const ARMHF_ROOT: &str = "/usr/arm-linux-gnueabihf";
pub(crate) const ARMHF_LIBC: Tool = Tool {
    what: "a C library for ARMv7",
    package: "libc6-armhf-cross",
    is_there: || Path::new(ARMHF_ROOT).join("lib/ld-linux-armhf.so.3").exists(),
};

/// Sees to it that all of these are there.
pub(crate) fn ensure(tools: &[&Tool]) -> Result<()> {
    let missing = missing(tools);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: BTreeSet<&str> = missing.iter().map(|tool| tool.package).collect();
    let packages: Vec<&str> = packages.into_iter().collect();
    if !may_install() {
        bail!(
            "find {}; install what is missing, on Debian with:\n  \
             sudo apt-get install --no-install-recommends {}",
            names(&missing),
            packages.join(" ")
        );
    }
    install(&packages)?;
    let missing = self::missing(tools);
    if !missing.is_empty() {
        // Such as the Go of an old Debian.
        bail!("find {}: Debian's packages do not bring it; install it by hand", names(&missing));
    }
    Ok(())
}

/// The version of Python's library that is here.
pub(crate) fn libpython() -> Option<&'static str> {
    let listed = Command::new(find("ldconfig").unwrap_or_else(|| "/sbin/ldconfig".into()))
        .arg("-p")
        .output()
        .ok()?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let versions = ["3.11", "3.12", "3.13"];
    versions.into_iter().find(|version| listed.contains(&format!("libpython{version}.so.1.0 ")))
}

/// The path of a program. Servers lie where the PATH of an ordinary user does not lead.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// A command of a program that [`ensure`] has seen.
pub(crate) fn command(program: &str) -> Command {
    let path = find(program).unwrap_or_else(|| program.into());
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

fn missing<'a>(tools: &[&'a Tool]) -> Vec<&'a Tool> {
    tools.iter().copied().filter(|tool| !(tool.is_there)()).collect()
}

fn names(tools: &[&Tool]) -> String {
    let names: BTreeSet<&str> = tools.iter().map(|tool| tool.what).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// Whether this is root on a Debian.
fn may_install() -> bool {
    is_root() && Path::new("/etc/debian_version").exists() && find("apt-get").is_some()
}

pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn install(packages: &[&str]) -> Result<()> {
    for package in packages {
        eprintln!("installing Debian's package {package}");
    }
    let install = |packages: &[&str]| {
        let options = ["install", "-y", "-q", "--no-install-recommends"];
        apt_get(&[options.as_slice(), packages].concat())
    };
    if install(packages).is_ok() {
        return Ok(());
    }
    eprintln!("once more, with newer lists of packages");
    apt_get(&["update", "-q"])?;
    install(packages)
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = command("apt-get");
    // The standard output belongs to what the caller reads.
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(std::io::stderr());
    let status = command.status().context("run apt-get")?;
    if !status.success() {
        bail!("run apt-get {} ({status}); its output above says why", arguments.join(" "));
    }
    Ok(())
}

/// The first two numbers of what a program says about its version.
fn version(program: &str, question: &str) -> Option<(u32, u32)> {
    let output = command(program).arg(question).output().ok()?;
    // Java answers on the standard error.
    let text = [output.stdout, output.stderr].concat();
    parse_version(&String::from_utf8_lossy(&text))
}

/// The first number of a text, and the number after its dot.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let start = text.find(|character: char| character.is_ascii_digit())?;
    let version =
        text[start..].split(|character: char| !character.is_ascii_digit() && character != '.');
    let mut numbers = version.into_iter().next()?.split('.');
    let major = numbers.next()?.parse().ok()?;
    Some((major, numbers.next().and_then(|minor| minor.parse().ok()).unwrap_or(0)))
}

fn has_openssl_headers() -> bool {
    let mut command = command("pkg-config");
    command.args(["--exists", "openssl"]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_print() {
        for (printed, version) in [
            ("openjdk version \"17.0.15\" 2025-04-15\n", Some((17, 0))),
            ("openjdk version \"21\" 2023-09-19\n", Some((21, 0))),
            ("java version \"1.8.0_391\"\n", Some((1, 8))),
            ("go version go1.26.8 linux/amd64\n", Some((1, 26))),
            ("OpenSSL 3.0.22 25 Aug 2026 (Library: OpenSSL 3.0.22)\n", Some((3, 0))),
            ("command not found\n", None),
        ] {
            assert_eq!(parse_version(printed), version, "{printed}");
        }
    }

    #[test]
    fn what_is_there_is_not_missing() {
        const NOWHERE: Tool = Tool { what: "nothing", package: "none", is_there: || false };
        const HERE: Tool = Tool { what: "something", package: "some", is_there: || true };
        let missing = missing(&[&HERE, &NOWHERE]);
        assert_eq!(names(&missing), "nothing");
        assert!(find("no-such-program").is_none() && find("sh").is_some());
    }
}
