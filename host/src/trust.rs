//! The keys that the configuration names.

use std::path::{Path, PathBuf};

use weir_registry::{PublicKey, SecretKey, Trust};
use weir_service::{ConfigError, locate_secret};

use crate::config::{HostConfig, Role};

impl HostConfig {
    /// Whose versions count.
    ///
    /// # Errors
    /// If a file cannot be read or holds no key, or if nothing would count.
    pub fn trust(&self) -> Result<Trust, ConfigError> {
        let section = &self.trust;
        let read = |path: &PathBuf| {
            let text = text(path, "trust.keys")?;
            PublicKey::from_pem(&text).map_err(|error| refused(path, "trust.keys", &error))
        };
        let keys: Vec<PublicKey> = section.keys.iter().map(read).collect::<Result<_, _>>()?;
        if keys.is_empty() && !section.allow_unsigned {
            let message = "trust.keys: names no key, so no version would ever serve; make one with `weir model keygen` \
                           and name its public half here, or set trust.allow-unsigned = true for development";
            return Err(ConfigError::value(message));
        }
        if keys.iter().all(|key| section.revoked.contains(&key.id())) && !section.allow_unsigned {
            return Err(ConfigError::value("trust.revoked: names every key in trust.keys"));
        }
        Ok(Trust::new(keys, section.revoked.clone()).allowing_unsigned(section.allow_unsigned))
    }

    /// The key that signs versions; none if they are not signed.
    ///
    /// # Errors
    /// If there is none and must be one, or its file cannot be read or holds no key.
    pub fn signing_key(&self) -> Result<Option<SecretKey>, ConfigError> {
        let path = &self.train.key_file;
        if path.as_os_str().is_empty() {
            if self.trust.allow_unsigned {
                return Ok(None);
            }
            let message = "train.key-file: names no key to sign versions with; make one with `weir model keygen`, \
                           or set trust.allow-unsigned = true for development";
            return Err(ConfigError::value(message));
        }
        let text = text(path, "train.key-file")?;
        let key = SecretKey::from_pem(&text);
        key.map(Some).map_err(|error| refused(path, "train.key-file", &error))
    }

    /// Whether anything is said about keys. The defaults are a file to start from, and say nothing.
    pub fn names_keys(&self) -> bool {
        let names_key_file = !self.train.key_file.as_os_str().is_empty();
        self.trust.allow_unsigned || !self.trust.keys.is_empty() || names_key_file
    }

    /// Checks the keys that this host's roles need.
    ///
    /// # Errors
    /// If one cannot be used.
    pub fn check_trust(&self) -> Result<(), ConfigError> {
        let trains = self.roles.contains(&Role::Train);
        if trains || self.roles.contains(&Role::Predict) {
            self.trust()?;
        }
        let Some(key) = (if trains { self.signing_key()? } else { None }) else { return Ok(()) };
        // A trainer whose own versions do not count would make one after the other in vain.
        if self.trust()?.believes(&key.public()) {
            return Ok(());
        }
        let id = key.public().id();
        let message =
            format!("train.key-file: its public half {id} is not in trust.keys, or revoked");
        Err(ConfigError::value(message))
    }
}

fn text(path: &Path, setting: &str) -> Result<String, ConfigError> {
    let path = locate_secret(setting, path)?;
    std::fs::read_to_string(&path).map_err(|error| refused(&path, setting, &error))
}

fn refused(path: &Path, setting: &str, error: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::value(format!("{setting}: {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_needed_unless_it_is_said_that_they_are_not() {
        let mut config = HostConfig::load(None).expect("the defaults are valid");
        let error = config.check_trust().expect_err("refused").to_string();
        assert!(error.contains("weir model keygen"), "{error}");
        config.trust.allow_unsigned = true;
        config.check_trust().expect("allowed");
    }

    #[test]
    fn a_trainer_signs_with_a_key_that_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = SecretKey::from_seed(&[1; 32]);
        let (secret, public) = (folder.path().join("key.pem"), folder.path().join("key.pub"));
        std::fs::write(&secret, key.to_pem()).expect("written");
        std::fs::write(&public, key.public().to_pem()).expect("written");
        let mut config = HostConfig::load(None).expect("the defaults are valid");
        config.trust.keys = vec![public.clone()];
        config.train.key_file.clone_from(&secret);
        config.check_trust().expect("valid");
        config.trust.revoked = [key.public().id()].into();
        assert!(config.check_trust().expect_err("refused").to_string().contains("trust.revoked"));
        config.trust.revoked.clear();
        let other = SecretKey::from_seed(&[2; 32]);
        std::fs::write(&secret, other.to_pem()).expect("written");
        let error = config.check_trust().expect_err("refused").to_string();
        assert!(error.contains("is not in trust.keys"), "{error}");
        config.train.key_file = public;
        assert!(config.check_trust().is_err());
    }
}
