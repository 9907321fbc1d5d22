//! Nothing counts that no pinned key has signed.

use proptest::prelude::*;
use weir_events::{Digest, ModelVersion};

use super::{key, manifest};
use crate::{Envelope, Manifest, Trust, TrustError};

fn trust() -> Trust {
    Trust::new(vec![key(1).public(), key(2).public()], [].into())
}

fn sealed(manifest: &Manifest, seed: u8) -> Vec<u8> {
    Envelope::seal(manifest, Some(&key(seed))).to_bytes()
}

#[test]
fn any_pinned_key_counts_and_no_other() {
    let manifest = manifest(1, b"one");
    for seed in [1, 2] {
        assert_eq!(trust().open(&sealed(&manifest, seed)).expect("counts"), manifest);
    }
    assert!(matches!(trust().open(&sealed(&manifest, 3)), Err(TrustError::Signature)));
    let unsigned = Envelope::seal(&manifest, None).to_bytes();
    assert!(matches!(trust().open(&unsigned), Err(TrustError::Unsigned)));
    assert_eq!(Trust::unsigned().open(&unsigned).expect("allowed"), manifest);
}

#[test]
fn a_revoked_key_counts_no_more_but_another_signature_does() {
    let manifest = manifest(1, b"one");
    let revoked = [key(1).public().id()].into();
    let trust = Trust::new(vec![key(1).public(), key(2).public()], revoked);
    let mut envelope = Envelope::seal(&manifest, Some(&key(1)));
    let refused = trust.open(&envelope.to_bytes()).expect_err("refused");
    assert!(matches!(refused, TrustError::Revoked(id) if id == key(1).public().id()), "{refused}");
    envelope.sign(&key(2));
    trust.open(&envelope.to_bytes()).expect("counts");
}

#[test]
fn a_signature_is_of_these_bytes_alone() {
    let envelope = Envelope::seal(&manifest(1, b"one"), Some(&key(1)));
    let other = Envelope::seal(&manifest(2, b"two"), Some(&key(1)));
    let swapped = Envelope { signatures: other.signatures, ..envelope.clone() };
    assert!(matches!(trust().open(&swapped.to_bytes()), Err(TrustError::Signature)));
    let retyped = Envelope { payload_type: "application/json".into(), ..envelope };
    assert!(matches!(trust().open(&retyped.to_bytes()), Err(TrustError::OtherType(_))));
    let large = vec![b' '; crate::ENVELOPE_BYTES_MAX + 1];
    assert!(matches!(trust().open(&large), Err(TrustError::TooLarge(_))));
}

proptest! {
    /// Whatever one bit of an envelope is flipped: it is refused, or says the same as before.
    #[test]
    fn no_flipped_bit_changes_a_manifest(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let manifest = manifest(1, b"one");
        let mut bytes = sealed(&manifest, 1);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(opened) = trust().open(&bytes) {
            prop_assert_eq!(opened, manifest);
        }
    }

    /// Arbitrary bytes are refused without a panic.
    #[test]
    fn nothing_from_outside_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(trust().open(&bytes).is_err());
    }
}

#[test]
fn the_card_shows_text_as_text() {
    let mut manifest = manifest(3, b"one");
    manifest.levels = vec!["<b>|x".into(), "a\nb".into()];
    let card = manifest.to_markdown();
    assert!(card.contains(r"\<b\>\|x, a b"), "{card}");
    assert!(card.starts_with("# Model weight v3\n"), "{card}");
    assert!(card.contains(&Digest::of(b"one").to_string()), "{card}");
    assert_eq!(manifest.version, ModelVersion(3));
}
