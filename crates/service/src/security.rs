//! Who a client is to a server, and whom it trusts: the `security` section of `[mqtt]` and `[kafka]`.
//!
//! The settings name files, or `credential:NAME` for one that systemd provides; what is in the files is read
//! when a client is made, and shown nowhere.
//! Here are only the rules that both links share: how the files become the settings of a client library
//! is the business of the crate that names it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::credential::locate;

/// How a link is secured. Everything is empty by default: no user, no encryption.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Security {
    /// The user; empty for none.
    pub username: String,
    /// The file whose first line is the user's password.
    pub password_file: PathBuf,
    /// The certificates (PEM) that vouch for the server's. Given, the link is encrypted.
    pub ca_file: PathBuf,
    /// The client's own certificate (PEM), with those between it and its authority; empty for none.
    pub cert_file: PathBuf,
    /// The key of the client's certificate (PEM).
    pub key_file: PathBuf,
}

/// A user and the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Certificates and a key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificates that vouch for the server's.
    pub ca: Vec<u8>,
    /// The client's own certificates and key.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("client", &self.client.is_some()).finish_non_exhaustive()
    }
}

impl Security {
    /// Whether a user is named.
    pub fn has_user(&self) -> bool {
        !self.username.is_empty()
    }

    /// Whether the link is encrypted.
    pub fn is_encrypted(&self) -> bool {
        !is_unset(&self.ca_file)
    }

    /// The user and the password, if a user is named. `section` is what messages call this section.
    ///
    /// # Errors
    /// If one is given without the other, or the file cannot be read or is empty.
    pub fn credentials(&self, section: &str) -> Result<Option<Credentials>, ConfigError> {
        match (self.has_user(), !is_unset(&self.password_file)) {
            (false, false) => return Ok(None),
            (true, false) => return Err(alone(section, "username", "password-file")),
            (false, true) => return Err(alone(section, "password-file", "username")),
            (true, true) => {}
        }
        let setting = format!("{section}.password-file");
        let text = String::from_utf8(read(&setting, &self.password_file)?)
            .map_err(|_| ConfigError::value(format!("{setting}: the file is not UTF-8")))?;
        let password = text.lines().next().unwrap_or_default().to_owned();
        if password.is_empty() {
            let path = self.password_file.display();
            return Err(ConfigError::value(format!(
                "{setting}: the first line of {path} is empty"
            )));
        }
        Ok(Some(Credentials { username: self.username.clone(), password }))
    }

    /// Certificates and key, if the link is encrypted.
    ///
    /// # Errors
    /// If one is given without the other, or a file cannot be read or is no PEM.
    pub fn tls(&self, section: &str) -> Result<Option<Tls>, ConfigError> {
        let own = match (!is_unset(&self.cert_file), !is_unset(&self.key_file)) {
            (false, false) => false,
            (true, true) => true,
            (true, false) => return Err(alone(section, "cert-file", "key-file")),
            (false, true) => return Err(alone(section, "key-file", "cert-file")),
        };
        if !self.is_encrypted() {
            return if own { Err(alone(section, "cert-file", "ca-file")) } else { Ok(None) };
        }
        let pem = |name: &str, path: &Path, label: &str| {
            let setting = format!("{section}.{name}");
            let bytes = read(&setting, path)?;
            let holds = |line: &[u8]| line.starts_with(b"-----BEGIN ") && contains(line, label);
            if bytes.split(|&byte| byte == b'\n').any(holds) {
                return Ok(bytes);
            }
            let path = path.display();
            Err(ConfigError::value(format!("{setting}: {path} has no PEM block {label}")))
        };
        let ca = pem("ca-file", &self.ca_file, "CERTIFICATE")?;
        let client = own.then(|| {
            let certificates = pem("cert-file", &self.cert_file, "CERTIFICATE")?;
            Ok((certificates, pem("key-file", &self.key_file, "PRIVATE KEY")?))
        });
        Ok(Some(Tls { ca, client: client.transpose()? }))
    }
}

fn is_unset(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

fn contains(line: &[u8], label: &str) -> bool {
    line.windows(label.len()).any(|part| part == label.as_bytes())
}

fn alone(section: &str, given: &str, missing: &str) -> ConfigError {
    ConfigError::value(format!("{section}.{given}: needs {section}.{missing} too"))
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    let path = locate(setting, path)?;
    fs::read(&path).map_err(|error| {
        ConfigError::value(format!("{setting}: cannot read {}: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n";

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("temporary folder"))
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, text).expect("written");
            path
        }
    }

    #[test]
    fn nothing_given_is_an_open_link() {
        let open = Security::default();
        assert_eq!(open.credentials("mqtt.security").expect("valid"), None);
        assert_eq!(open.tls("mqtt.security").expect("valid"), None);
    }

    #[test]
    fn secrets_come_from_files_and_are_not_shown() {
        let files = Files::new();
        let security = Security {
            username: "bridge".into(),
            password_file: files.file("password", "open sesame\r\nsecond line\n"),
            ca_file: files.file("ca", CERTIFICATE),
            cert_file: files.file("cert", CERTIFICATE),
            key_file: files.file("key", KEY),
        };
        let credentials = security.credentials("mqtt.security").expect("valid").expect("a user");
        assert_eq!(credentials.password, "open sesame");
        let tls = security.tls("mqtt.security").expect("valid").expect("encrypted");
        assert_eq!(tls.client, Some((CERTIFICATE.into(), KEY.into())));
        let shown = format!("{credentials:?} {tls:?} {security:?}");
        assert!(!shown.contains("sesame") && !shown.contains("PRIVATE"), "{shown}");
    }

    #[test]
    fn what_is_wrong_names_the_setting() {
        let files = Files::new();
        let (certificate, key) = (files.file("cert", CERTIFICATE), files.file("key", KEY));
        let check = |change: &dyn Fn(&mut Security), part: &str| {
            let mut security = Security::default();
            change(&mut security);
            let checked = security
                .credentials("kafka.security")
                .and(security.tls("kafka.security").map(drop));
            let message = checked.expect_err(part).to_string();
            assert!(message.contains(part), "{message}");
        };
        check(&|s| s.username = "a".into(), "kafka.security.username: needs");
        check(&|s| s.password_file = key.clone(), "kafka.security.password-file: needs");
        check(&|s| s.cert_file = certificate.clone(), "kafka.security.cert-file: needs");
        check(&|s| s.key_file = key.clone(), "kafka.security.key-file: needs");
        check(&|s| s.ca_file = "/does/not/exist".into(), "ca-file: cannot read /does/not/exist");
        check(&|s| s.ca_file = "credential:../ca".into(), "kafka.security.ca-file: ");
        check(&|s| s.ca_file = key.clone(), "has no PEM block CERTIFICATE");
        let both = |s: &mut Security| {
            (s.cert_file, s.key_file) = (certificate.clone(), key.clone());
        };
        check(&both, "kafka.security.cert-file: needs kafka.security.ca-file");
        let swapped = |s: &mut Security| {
            (s.ca_file, s.cert_file) = (certificate.clone(), certificate.clone());
            s.key_file = certificate.clone();
        };
        check(&swapped, "key-file: ");
        let empty = files.file("empty", "\n");
        let no_password = |s: &mut Security| {
            (s.username, s.password_file) = ("a".into(), empty.clone());
        };
        check(&no_password, "kafka.security.password-file: the first line");
    }
}
