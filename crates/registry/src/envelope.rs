//! The envelope that a manifest travels in: DSSE, <https://github.com/secure-systems-lab/dsse>, protocol 1.0.
//!
//! What is signed are the manifest's exact bytes together with their type, so nothing has to be brought into a
//! canonical form, and nothing is parsed before its signature is checked.

use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::key::{KeyId, SecretKey};
use crate::manifest::Manifest;

/// The type of what is signed.
pub const PAYLOAD_TYPE: &str = "application/vnd.weir.manifest.v1+json";

/// A manifest's bytes and who vouches for them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// The type of the payload.
    pub payload_type: String,
    #[serde(with = "standard")]
    pub(crate) payload: Vec<u8>,
    pub(crate) signatures: Vec<Signed>,
}

/// One signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Signed {
    /// A hint which key to try, no proof of anything.
    pub(crate) keyid: String,
    #[serde(with = "standard")]
    pub(crate) sig: Vec<u8>,
}

impl Envelope {
    /// Signs a manifest; without a key it vouches for nothing, and only hosts that are told to accept it do.
    pub fn seal(manifest: &Manifest, key: Option<&SecretKey>) -> Self {
        let mut envelope = Self {
            payload_type: PAYLOAD_TYPE.into(),
            payload: manifest.to_bytes(),
            signatures: Vec::new(),
        };
        if let Some(key) = key {
            envelope.sign(key);
        }
        envelope
    }

    /// Adds a signature, in place of the key's own if it has signed before.
    pub fn sign(&mut self, key: &SecretKey) {
        let keyid = key.public().id().to_string();
        self.signatures.retain(|signed| signed.keyid != keyid);
        let sig = key.sign(&self.signed_bytes()).to_vec();
        self.signatures.push(Signed { keyid, sig });
    }

    /// Which keys are said to have signed it. Nothing is checked.
    pub fn signers(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.signatures.iter().filter_map(|signed| signed.keyid.parse().ok())
    }

    /// The manifest's bytes, whoever vouches for them.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The envelope's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an envelope has string keys and can be written")
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// DSSE's "pre-authentication encoding".
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        let (kind, body) = (&self.payload_type, &self.payload);
        let head = format!("DSSEv1 {} {kind} {} ", kind.len(), body.len());
        [head.as_bytes(), body].concat()
    }
}

/// Bytes as base64 in JSON.
mod standard {
    use super::STANDARD;
    use base64::Engine as _;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the protocol's specification.
    #[test]
    fn what_is_signed_is_as_specified() {
        let envelope = Envelope {
            payload_type: "http://example.com/HelloWorld".into(),
            payload: b"hello world".to_vec(),
            signatures: Vec::new(),
        };
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(envelope.signed_bytes(), expected);
    }

    #[test]
    fn reads_back_and_keeps_one_signature_of_a_key() {
        let mut envelope = Envelope {
            payload_type: PAYLOAD_TYPE.into(),
            payload: b"{}".to_vec(),
            signatures: Vec::new(),
        };
        let key = SecretKey::from_seed(&[1; 32]);
        envelope.sign(&key);
        envelope.sign(&key);
        assert_eq!(envelope.signers().collect::<Vec<_>>(), [key.public().id()]);
        assert_eq!(Envelope::from_bytes(&envelope.to_bytes()).expect("reads back"), envelope);
    }
}
