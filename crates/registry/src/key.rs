//! The keys that sign manifests: ed25519, in the PEM forms that OpenSSL reads and writes.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _,
};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use weir_events::{Digest, DigestError};

/// What a key is called: the SHA-256 of its 32 public bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(Digest);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for KeyId {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse().map(Self)
    }
}

/// A text that is no key.
#[derive(Debug, thiserror::Error)]
#[error("read an ed25519 {kind} key in PEM: {reason}")]
pub struct KeyError {
    kind: &'static str,
    reason: String,
}

/// Signs manifests. Only the process that trains has one.
pub struct SecretKey(SigningKey);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretKey").field(&self.public().id()).finish()
    }
}

impl SecretKey {
    /// The key of a seed, which must be random and secret.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads `-----BEGIN PRIVATE KEY-----` (PKCS #8).
    ///
    /// # Errors
    /// If the text is no such key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let key = SigningKey::from_pkcs8_pem(text);
        key.map(Self).map_err(|error| KeyError { kind: "private", reason: error.to_string() })
    }

    /// The secret as PEM. Whoever has it signs in this key's name.
    pub fn to_pem(&self) -> String {
        let pem = self.0.to_pkcs8_pem(LineEnding::LF).expect("a key of fixed length is encoded");
        pem.to_string()
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// Checks signatures. Hosts are given two or more of them, so that one can be replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----` (SPKI).
    ///
    /// # Errors
    /// If the text is no such key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_public_key_pem(text);
        key.map(Self).map_err(|error| KeyError { kind: "public", reason: error.to_string() })
    }

    /// The key as PEM.
    pub fn to_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).expect("a key of fixed length is encoded")
    }

    /// What it is called.
    pub fn id(&self) -> KeyId {
        KeyId(Digest::of(self.0.as_bytes()))
    }

    /// Strictly: there is one valid signature of a message, and none under a weak key.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = Signature::from_slice(signature);
        signature.is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first test vector of RFC 8032, section 7.1: an empty message.
    #[test]
    fn signs_as_the_standard_says() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let expected = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
        let bytes = |text: &str| -> Vec<u8> {
            let pairs = (0..text.len()).step_by(2);
            pairs.map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
        };
        let key = SecretKey::from_seed(&bytes(seed).try_into().expect("32 bytes"));
        assert_eq!(key.sign(b"").to_vec(), bytes(expected));
        assert!(key.public().verifies(b"", &bytes(expected)));
        assert!(!key.public().verifies(b"x", &bytes(expected)));
    }

    #[test]
    fn keys_are_read_back_and_do_not_show_the_secret() {
        let key = SecretKey::from_seed(&[7; 32]);
        let read = SecretKey::from_pem(&key.to_pem()).expect("reads back");
        assert_eq!(read.public(), key.public());
        assert_eq!(PublicKey::from_pem(&key.public().to_pem()).expect("reads back"), key.public());
        assert!(PublicKey::from_pem(&key.to_pem()).is_err());
        assert!(!format!("{key:?}").contains("0707"), "{key:?}");
    }
}
