//! The units under `deploy/systemd`, judged by systemd's own tool: that it understands them, and how much of the
//! system they leave open to a service that was taken over. Without the tool the check is left out, and says so.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::{report, tools};

/// The most that a unit may leave open: 0 is nothing, 10 everything.
const EXPOSURE_MAX: f64 = 2.5;

/// Settings of newer versions of systemd that the units may have: older ones pass over them.
const NEWER: [&str; 2] = ["'RestartSteps'", "'RestartMaxDelaySec'"];

pub(super) fn check(folder: &Path) -> Result<()> {
    let units = units(folder)?;
    if tools::find("systemd-analyze").is_none() {
        report("SKIPPED: the units for systemd are not judged, systemd-analyze is not installed");
        return Ok(());
    }
    for unit in units {
        let name = unit.file_name().unwrap_or_default().display().to_string();
        let complaints = complaints(&unit)?;
        ensure!(
            complaints.is_empty(),
            "{name}: systemd-analyze verify:\n{}",
            complaints.join("\n")
        );
        let mut command = tools::command("systemd-analyze");
        command.args(["security", "--offline=true", "--no-pager"]).arg(&unit);
        let rating = command.output().context("run systemd-analyze")?;
        let exposure = exposure(&String::from_utf8_lossy(&rating.stdout))
            .with_context(|| format!("find the exposure of {name}"))?;
        ensure!(
            exposure <= EXPOSURE_MAX,
            "{name} is exposed {exposure}, above {EXPOSURE_MAX}: {command:?} says by what"
        );
        report(&format!("{name}: systemd-analyze takes it; exposure {exposure}"));
    }
    Ok(())
}

fn units(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut units = list().with_context(|| format!("list {}", folder.display()))?;
    units.retain(|path| path.extension().is_some_and(|extension| extension == "service"));
    units.sort();
    ensure!(!units.is_empty(), "find a unit in {}", folder.display());
    Ok(units)
}

/// What systemd does not understand. Its exit code does not say it.
fn complaints(unit: &Path) -> Result<Vec<String>> {
    let mut command = tools::command("systemd-analyze");
    let output = command.arg("verify").arg(unit).output().context("run systemd-analyze")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(text.lines().filter(|line| is_complaint(line, unit)).map(str::to_owned).collect())
}

/// Units of the system are read too, and the programs are not installed here.
fn is_complaint(line: &str, unit: &Path) -> bool {
    let name = unit.file_name().unwrap_or_default().to_string_lossy();
    line.contains(&*name)
        && !line.contains("is not executable")
        && !NEWER.iter().any(|newer| line.contains(newer))
}

/// The number in the last line of `systemd-analyze security`.
fn exposure(text: &str) -> Option<f64> {
    let (_, rest) = text.split_once("Overall exposure level for ")?;
    let (_, rest) = rest.split_once(": ")?;
    rest.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposure_is_read() {
        let text = "✗ PrivateNetwork=  0.5\n\n→ Overall exposure level for x.service: 1.2 OK 🙂\n";
        assert_eq!(exposure(text), Some(1.2));
        assert_eq!(exposure("nothing"), None);
    }

    #[test]
    fn what_systemd_does_not_understand_is_a_complaint() {
        let unit = Path::new("/w/weir-x.service");
        for (line, expected) in [
            (
                "/w/weir-x.service:3: Unknown key 'RestartSteps' in section [Service], ignoring.",
                false,
            ),
            (
                "/w/weir-x.service:3: Unknown key 'RestartStep' in section [Service], ignoring.",
                true,
            ),
            ("weir-x.service: Command /usr/bin/weir-x is not executable: No such file", false),
            ("/lib/systemd/system/other.service:1: Unknown key 'A' in section [Unit]", false),
        ] {
            assert_eq!(is_complaint(line, unit), expected, "{line}");
        }
    }
}
