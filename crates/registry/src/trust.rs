//! Which manifests count: those that a pinned key has signed.

use std::collections::BTreeSet;

use weir_events::EventTime;

use crate::envelope::{Envelope, PAYLOAD_TYPE};
use crate::key::{KeyId, PublicKey};
use crate::manifest::Manifest;

/// The largest envelope. A manifest with a thousand training rows has about 60 KiB.
pub const ENVELOPE_BYTES_MAX: usize = 512 << 10;

/// The keys that a host believes.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    keys: Vec<PublicKey>,
    revoked: BTreeSet<KeyId>,
    allows_unsigned: bool,
}

/// Why an envelope does not count.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It has more bytes than an envelope may have.
    #[error("envelope has {0} bytes, more than {ENVELOPE_BYTES_MAX}")]
    TooLarge(usize),
    /// It cannot be read.
    #[error("envelope cannot be read")]
    Envelope(#[source] serde_json::Error),
    /// It holds something else.
    #[error("envelope holds {0:?}, not {PAYLOAD_TYPE:?}")]
    OtherType(String),
    /// Nobody has signed it.
    #[error("manifest is not signed")]
    Unsigned,
    /// The key is known and must not be believed any more.
    #[error("manifest is signed with the key {0}, which is revoked")]
    Revoked(KeyId),
    /// No pinned key has signed these bytes.
    #[error("manifest has no valid signature of a key in trust.keys")]
    Signature,
    /// The bytes are signed, and no manifest.
    #[error("manifest cannot be read")]
    Manifest(#[source] serde_json::Error),
    /// It counts no more.
    #[error("manifest has expired at {0}")]
    Expired(EventTime),
}

impl Trust {
    /// Believes these keys, unless they are revoked.
    pub fn new(keys: Vec<PublicKey>, revoked: BTreeSet<KeyId>) -> Self {
        Self { keys, revoked, allows_unsigned: false }
    }

    /// Believes whoever can write to the topic of models. For development.
    pub fn unsigned() -> Self {
        Self { allows_unsigned: true, ..Self::default() }
    }

    /// Also believes what nobody has signed.
    #[must_use]
    pub fn allowing_unsigned(self, allows_unsigned: bool) -> Self {
        Self { allows_unsigned, ..self }
    }

    /// Whether what this key signs counts.
    pub fn believes(&self, key: &PublicKey) -> bool {
        let is_pinned = self.keys.contains(key) && !self.revoked.contains(&key.id());
        is_pinned || (self.allows_unsigned && self.keys.is_empty())
    }

    /// Opens an envelope. Size, form, signature and key are checked in this order, before the manifest is read.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn open(&self, bytes: &[u8]) -> Result<Manifest, TrustError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(TrustError::TooLarge(bytes.len()));
        }
        let envelope = Envelope::from_bytes(bytes).map_err(TrustError::Envelope)?;
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(TrustError::OtherType(envelope.payload_type.chars().take(80).collect()));
        }
        self.check(&envelope)?;
        Manifest::from_bytes(&envelope.payload).map_err(TrustError::Manifest)
    }

    fn check(&self, envelope: &Envelope) -> Result<(), TrustError> {
        if envelope.signatures.is_empty() {
            return if self.allows_unsigned { Ok(()) } else { Err(TrustError::Unsigned) };
        }
        let message = envelope.signed_bytes();
        let signed = |key: &&PublicKey| {
            envelope.signatures.iter().any(|signed| key.verifies(&message, &signed.sig))
        };
        let mut revoked = None;
        for key in self.keys.iter().filter(signed) {
            if !self.revoked.contains(&key.id()) {
                return Ok(());
            }
            revoked = Some(key.id());
        }
        // A revoked key need not be pinned any more to be named.
        let claimed = envelope.signers().find(|id| self.revoked.contains(id));
        match revoked.or(claimed) {
            Some(id) => Err(TrustError::Revoked(id)),
            // Where everything counts, keys do not matter.
            None if self.allows_unsigned && self.keys.is_empty() => Ok(()),
            None => Err(TrustError::Signature),
        }
    }
}
