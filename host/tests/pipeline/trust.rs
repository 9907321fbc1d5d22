//! Row M-1 of the faults: versions that nobody who counts has signed do not serve.

use std::sync::Arc;

use weir_events::{Digest, EventTime, ModelVersion};
use weir_registry::{Envelope, Manifest, RecordKey, SecretKey};

use crate::fish::{Event, training_rows};
use crate::line::{Line, now, signing_key};

impl Line {
    /// Writes an envelope under the key of a version.
    pub(crate) async fn offer(&self, version: u64, envelope: Vec<u8>) {
        let key = RecordKey::Manifest("weight".into(), ModelVersion(version));
        let record = Event { key: key.to_string().into_bytes(), id: None, payload: envelope };
        self.write(&self.config.topics.models, &[record]).await;
    }

    pub(crate) async fn component(&self, digest: Digest, bytes: &[u8]) {
        let key = RecordKey::Blob(digest).to_string().into_bytes();
        let record = Event { key, id: None, payload: bytes.to_vec() };
        self.write(&self.config.topics.models, &[record]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_pinned_key_has_signed_serves() {
    let mut line = Line::start(1);
    let revoked = SecretKey::from_seed(&[8; 32]);
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("revoked.pub");
    std::fs::write(&path, revoked.public().to_pem()).expect("written");
    line.config.trust.keys.push(path);
    line.config.trust.revoked = [revoked.public().id()].into();
    let (_, first) = line.publish(&training_rows(&["salmon"])).await;
    let host = line.host();
    line.ready().await;

    let trainer = line.trainer(line.schema());
    let better = trainer.train(&training_rows(&["salmon", "walleye"]), 0).expect("fits");
    let bytes = Arc::clone(better.model.bytes());
    let manifest = |version: u64| {
        let manifest = trainer.manifest(&better, "weight", now(), weir_registry::Cause::file());
        Manifest { version: ModelVersion(version), ..manifest }
    };
    let key = signing_key();
    let sealed = |manifest: &Manifest| Envelope::seal(manifest, Some(&key)).to_bytes();
    let good = sealed(&manifest(2));
    line.component(manifest(2).digest, &bytes).await;
    let flipped = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    // In the middle of the payload, which is most of an envelope.
    let middle = good.len() / 2;
    let expired = Manifest { expires: Some(EventTime::EPOCH), ..manifest(2) };
    let offers: Vec<(&str, u64, Vec<u8>)> = vec![
        ("unsigned", 2, Envelope::seal(&manifest(2), None).to_bytes()),
        (
            "another's key",
            2,
            Envelope::seal(&manifest(2), Some(&SecretKey::from_seed(&[9; 32]))).to_bytes(),
        ),
        ("a revoked key", 2, Envelope::seal(&manifest(2), Some(&revoked)).to_bytes()),
        ("a flipped bit", 2, flipped(&good, middle)),
        ("cut short", 2, good[..good.len() - 9].to_vec()),
        ("expired", 2, sealed(&expired)),
        ("an old version again", 2, sealed(&first)),
        ("the same number with another component", 1, sealed(&manifest(1))),
        ("another number than its key's", 3, good.clone()),
        ("too large", 2, vec![b' '; weir_registry::ENVELOPE_BYTES_MAX + 1]),
        ("empty", 2, Vec::new()),
    ];
    let count = offers.len();
    for (fish, (what, version, envelope)) in (0..).zip(offers) {
        line.offer(version, envelope).await;
        assert_eq!(line.version_of(fish).await, 1, "{what}");
    }
    let fish = u32::try_from(count).expect("few");
    // A component that is not what its name says, and a manifest that is right.
    let other = Digest::of(b"another component");
    line.component(other, &flipped(&bytes, bytes.len() / 2)).await;
    line.offer(2, sealed(&Manifest { digest: other, ..manifest(2) })).await;
    assert_eq!(line.version_of(fish).await, 1, "a swapped component");
    line.offer(3, sealed(&manifest(3))).await;
    assert_eq!(line.version_of(fish + 1).await, 3, "after {} that are refused", count + 1);
    host.stop().await;
    println!(r#"{{"row":"M-1","offered":{},"refused":{}}}"#, count + 1, count + 1);
}
