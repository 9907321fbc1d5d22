//! Where the file of a secret is: a path, or a credential that systemd has put down for this service.
//!
//! `LoadCredential=mqtt-password:/etc/...` in a unit makes systemd read the file as root and lay a copy where
//! only the service can read it, in a folder that `CREDENTIALS_DIRECTORY` names. The folder differs from unit
//! to unit, so settings write `credential:mqtt-password`.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Component, Path};

use crate::ConfigError;

const PREFIX: &str = "credential:";

/// The file that a setting names: `file` itself, or for `credential:NAME` the file NAME among systemd's
/// credentials for this process. It need not exist. `setting` is what messages call the setting.
///
/// # Errors
/// If a credential is named, and this process has none, or the name is no file name.
pub fn locate<'a>(setting: &str, file: &'a Path) -> Result<Cow<'a, Path>, ConfigError> {
    locate_in(setting, file, std::env::var_os("CREDENTIALS_DIRECTORY").as_deref())
}

fn locate_in<'a>(
    setting: &str,
    file: &'a Path,
    folder: Option<&OsStr>,
) -> Result<Cow<'a, Path>, ConfigError> {
    let Some(name) = file.to_str().and_then(|text| text.strip_prefix(PREFIX)) else {
        return Ok(Cow::Borrowed(file));
    };
    let mut parts = Path::new(name).components();
    let is_file_name = matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(part)), None) if part == name
    );
    if !is_file_name {
        let cure = "needs the name of a credential, without a folder, after \"credential:\"";
        return Err(ConfigError::value(format!("{setting}: {:?} {cure}", file.display())));
    }
    let Some(folder) = folder.filter(|folder| !folder.is_empty()) else {
        return Err(ConfigError::value(format!(
            "{setting}: {PREFIX}{name} is a credential of systemd, but CREDENTIALS_DIRECTORY is not \
             set; give the unit LoadCredential={name}:PATH, or name a file"
        )));
    };
    Ok(Cow::Owned(Path::new(folder).join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = "/run/credentials/weir.service";

    #[test]
    fn a_credential_is_in_systemds_folder_and_a_file_where_it_is() {
        let check = |file: &str, expected: &str| {
            let located = locate_in("a.b", Path::new(file), Some(FOLDER.as_ref())).expect(file);
            assert_eq!(located, Path::new(expected));
        };
        check("credential:mqtt-password", "/run/credentials/weir.service/mqtt-password");
        for file in ["/etc/weir/password", "password", "", "./credential:a"] {
            check(file, file);
            assert_eq!(locate_in("a.b", Path::new(file), None).expect(file), Path::new(file));
        }
    }

    #[test]
    fn a_credential_that_cannot_be_says_why() {
        let check = |file: &str, folder: Option<&str>, part: &str| {
            let located =
                locate_in("mqtt.security.key-file", file.as_ref(), folder.map(OsStr::new));
            let message = located.expect_err(file).to_string();
            let setting = "mqtt.security.key-file: ";
            assert!(message.contains(setting) && message.contains(part), "{message}");
        };
        check("credential:key", None, "CREDENTIALS_DIRECTORY is not set");
        check("credential:key", Some(""), "LoadCredential=key:PATH");
        for name in ["", "..", ".", "../key", "/etc/key", "a/b", "key/"] {
            check(&format!("credential:{name}"), Some(FOLDER), "without a folder");
        }
    }
}
