//! Rules for the services' default settings: these files are the documentation of the settings.

use anyhow::Result;
use toml::Table;

use super::rules::{DEFAULTS, SAME_SECTIONS};
use super::{File, Finding};

pub(super) fn check(files: &[File], findings: &mut Vec<Finding>) -> Result<()> {
    let mut parsed: Vec<(&File, Table)> = Vec::new();
    for path in DEFAULTS {
        match files.iter().find(|file| file.path == *path) {
            Some(file) => parsed.push((file, file.toml()?)),
            None => findings.push(Finding {
                path: (*path).into(),
                line: 1,
                wrong: "the default settings are gone".into(),
                cure: "write them, or take them off xtask/src/tidy/rules.rs".into(),
            }),
        }
    }
    for (file, _) in &parsed {
        if !file.text.starts_with('#') {
            let wrong = "the default settings do not explain themselves".into();
            findings.push(file.finding(1, wrong, "begin with a comment; explain every setting"));
        }
    }
    for pair in SAME_SECTIONS {
        check_same(pair, &parsed, findings);
    }
    Ok(())
}

fn check_same(pair: &[(&str, &str); 2], parsed: &[(&File, Table)], findings: &mut Vec<Finding>) {
    let [(model, model_section), (path, section)] = *pair;
    let of = |path: &str, section: &str| {
        let (file, table) = parsed.iter().find(|(file, _)| file.path == path)?;
        Some((*file, table.get(section)))
    };
    // Without its file, the absence is reported already.
    let (Some((_, expected)), Some((file, found))) = (of(model, model_section), of(path, section))
    else {
        return;
    };
    if found.is_none() || found != expected {
        let line = file.line_that_begins_with(&format!("[{section}]"));
        let wrong = format!("[{section}] is not as [{model_section}] of {model}");
        findings.push(file.finding(line, wrong, "make both say the same"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [&str; 3] = [
        "# Agent.\n[topics]\na = 1\n[schema]\nb = 2\n",
        "# Bridge.\n[topics]\nc = 3\n",
        "# Host.\n[topics]\nc = 3\n[schema]\nb = 2\n",
    ];

    fn found(texts: [&str; 3]) -> Vec<String> {
        let file = |(path, text): (&&str, &str)| File { path: (*path).into(), text: text.into() };
        let files: Vec<File> = DEFAULTS.iter().zip(texts).map(file).collect();
        let mut findings = Vec::new();
        check(&files, &mut findings).unwrap();
        findings.iter().map(|finding| format!("{}: {}", finding.line, finding.wrong)).collect()
    }

    #[test]
    fn defaults_agree() {
        let [agent, bridge, host] = GOOD;
        assert_eq!(found(GOOD), [""; 0]);
        let other = host.replace("c = 3", "c = 4");
        let wrong = ["2: [topics] is not as [topics] of bridge/weir-bridge.toml"];
        assert_eq!(found([agent, bridge, &other]), wrong);
        let other = bridge.replace("[topics]", "[words]");
        let wrong = ["2: [topics] is not as [topics] of bridge/weir-bridge.toml"];
        assert_eq!(found([agent, &other, host]), wrong);
    }

    #[test]
    fn defaults_explain_themselves() {
        let [agent, bridge, host] = GOOD;
        let wrong = ["1: the default settings do not explain themselves"];
        assert_eq!(found([agent, &bridge.replace("# Bridge.", ""), host]), wrong);
    }

    #[test]
    fn defaults_that_are_gone_are_missed() {
        let mut findings = Vec::new();
        check(&[], &mut findings).unwrap();
        assert_eq!(findings.len(), DEFAULTS.len());
    }
}
