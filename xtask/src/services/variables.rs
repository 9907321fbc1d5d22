//! Environment variables as shell text: what `up` prints and a server's folder keeps. The text is read back
//! by this module only as it wrote it; it is no parser of shell.

/// One line for each variable that a shell evaluates.
pub(super) fn to_exports(variables: &[(String, String)]) -> String {
    variables.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect()
}

/// The variables that [`to_exports`] wrote; none if something else did.
pub(super) fn from_exports(text: &str) -> Option<Vec<(String, String)>> {
    let variable = |line: &str| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
        Some((name.to_owned(), value.replace(r"'\''", "'")))
    };
    text.lines().map(variable).collect()
}

/// A word that a shell takes as it is.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn variables() -> Vec<(String, String)> {
        let values = ["127.0.0.1:9092", "/a b/it's $HOME", "mongodb://h:1/?tls=true&x=`y`", ""];
        let names = (1..).map(|number| format!("WEIR_TEST_{number}"));
        names.zip(values.map(str::to_owned)).collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let variables = variables();
        assert_eq!(from_exports(&to_exports(&variables)), Some(variables));
        assert_eq!(from_exports("export A=b\n"), None);
        assert_eq!(from_exports("A='b'\n"), None);
    }

    #[test]
    fn a_shell_reads_the_same() {
        for (name, value) in variables() {
            let script =
                format!("{}printf %s \"${name}\"", to_exports(&[(name.clone(), value.clone())]));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
        }
    }
}
