//! Versions that must not serve, versions that two trainers publish at once, and which version serves
//! first.

use std::sync::Arc;

use weir_events::{Digest, ModelVersion, Schema, SchemaConfig};
use weir_host::model::{Follower, Trained, Trainer};
use weir_registry::{Cause, Envelope, Manifest, RecordKey};
use weir_runtime::Runtime;
use weir_service::EventClock;

use crate::fish::{Event, fish, training_rows};
use crate::line::{Line, now, signing_key, soon};

impl Line {
    /// Writes a component and a manifest as they are, right or wrong.
    async fn force(&self, component: &[u8], manifest: &Manifest) {
        let record = |key: RecordKey, payload: Vec<u8>| Event {
            key: key.to_string().into_bytes(),
            id: None,
            payload,
        };
        let blob = record(RecordKey::Blob(manifest.digest), component.to_vec());
        let key = RecordKey::Manifest(manifest.model.clone(), manifest.version);
        let envelope = Envelope::seal(manifest, Some(&signing_key()));
        let events = [blob, record(key, envelope.to_bytes())];
        self.write(&self.config.topics.models, &events).await;
    }

    /// Lets one more fish pass and returns the version that predicted it. What was published before is
    /// judged first: a measurement does not wait for a version that is still being loaded.
    pub(crate) async fn version_of(&self, number: u32) -> u64 {
        self.settled().await;
        self.pass(&fish(number..number + 1, "salmon")).await;
        self.settled().await;
        let predictions = self.predictions().await;
        assert_eq!(predictions.len(), number as usize + 1);
        predictions[number as usize].model.version.0
    }
}

fn manifest_of(trainer: &Trainer, trained: &Trained, version: u64) -> Manifest {
    let manifest = trainer.manifest(trained, "weight", now(), Cause::file());
    Manifest { version: ModelVersion(version), ..manifest }
}

/// Each is passed over, the old version serves on, and the next good one takes over.
#[tokio::test(flavor = "multi_thread")]
async fn unfit_versions_do_not_serve() {
    let line = Line::start(1);
    let (good, first) = line.publish(&training_rows(&["salmon"])).await;
    let bytes = Arc::clone(good.model.bytes());
    let host = line.host();
    line.ready().await;
    assert_eq!(line.version_of(0).await, 1);

    // No component at all, under the digest that it really has.
    let garbage = b"no component".to_vec();
    let numbered = |version: u64| Manifest { version: ModelVersion(version), ..first.clone() };
    line.force(&garbage, &Manifest { digest: Digest::of(&garbage), ..numbered(2) }).await;
    assert_eq!(line.version_of(1).await, 1);
    // A good component cut short.
    let cut = &bytes[..bytes.len() / 2];
    line.force(cut, &Manifest { digest: Digest::of(cut), ..numbered(3) }).await;
    assert_eq!(line.version_of(2).await, 1);
    // A component for another schema.
    let other = SchemaConfig {
        formula: "Weight ~ Height + Length + Species".into(),
        ..SchemaConfig::fish()
    };
    let trainer = line.trainer(Arc::new(Schema::try_from(&other).expect("valid")));
    let swapped = trainer.train(&training_rows(&["salmon"]), 0).expect("fits");
    line.force(swapped.model.bytes(), &manifest_of(&trainer, &swapped, 4)).await;
    assert_eq!(line.version_of(3).await, 1);
    // A component that does not answer as its manifest says, if only in the last bit.
    let mut wrong = numbered(5);
    wrong.golden[0].expected = wrong.golden[0].expected.next_up();
    line.force(&bytes, &wrong).await;
    assert_eq!(line.version_of(4).await, 1);
    // A number that is not above those before it; bytes that have another digest; no manifest.
    let trainer = line.trainer(line.schema());
    let better = trainer.train(&training_rows(&["salmon", "walleye"]), 0).expect("fits");
    line.force(better.model.bytes(), &manifest_of(&trainer, &better, 5)).await;
    let forged = Digest::of(b"what the key names, not what lies under it");
    line.force(&garbage, &Manifest { digest: forged, ..numbered(6) }).await;
    let text = |key: &[u8]| Event { key: key.into(), id: None, payload: b"{}".to_vec() };
    let events = [text(b"manifest/weight"), text(b"else"), text(b"\xff")];
    line.write(&line.config.topics.models, &events).await;
    assert_eq!(line.version_of(5).await, 1);

    // A host that starts among them finds the one that is fit.
    host.stop().await;
    let host = line.host();
    assert_eq!(line.version_of(6).await, 1);
    let (_, next) = line.publish(&training_rows(&["salmon", "walleye"])).await;
    // Above every number that was seen; gaps are allowed.
    assert!(next.version > ModelVersion(5), "{}", next.version);
    assert_eq!(line.version_of(7).await, next.version.0);
    host.stop().await;
}

/// Two trainers that have read the same topic want the same number: one takes the next.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_publications_have_distinct_versions() {
    let line = Line::start(1);
    let trainer = line.trainer(line.schema());
    let [left, right] = [["salmon"], ["walleye"]]
        .map(|species| trainer.train(&training_rows(&species), 0).expect("fits"));
    let (mut first, mut second) = (line.catalog().await, line.catalog().await);
    // Several rounds: who wins is chance, and the winner may be a version ahead of the loser's reading.
    for round in 0..10 {
        let publications = soon("both publications", async {
            tokio::join!(
                first.publish(left.model.bytes(), manifest_of(&trainer, &left, 1)),
                second.publish(right.model.bytes(), manifest_of(&trainer, &right, 1)),
            )
        });
        let (left, right) = publications.await;
        let [left, right] =
            [left, right].map(|publication| publication.expect("published").manifest);
        let (left, right) = (&*left, &*right);
        let mut numbers = [left.version.0, right.version.0];
        numbers.sort_unstable();
        assert_eq!(numbers, [2 * round + 1, 2 * round + 2]);
        let versions = line.versions().await;
        assert_eq!(versions.len() as u64, 2 * round + 2, "each is published once");
        assert!(versions.contains(left) && versions.contains(right));
    }
}

/// A host that starts on a long history must not predict with versions that are long out of service,
/// not even while it still reads.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_version_is_the_first_to_serve() {
    let line = Line::start(1);
    let trainer = line.trainer(line.schema());
    let trained = trainer.train(&training_rows(&["salmon"]), 0).expect("fits");
    let mut catalog = line.catalog().await;
    // More than one fetch brings: a component has about 70 kB, a fetch at most 1 MB of a partition.
    for _ in 0..30 {
        let manifest = manifest_of(&trainer, &trained, 1);
        let published = catalog.publish(trained.model.bytes(), manifest);
        soon("a version", published).await.expect("published");
    }
    let runtime = Runtime::new(line.config.limits().expect("valid")).expect("starts");
    let (schema, progress) = (line.schema(), line.progress.clone());
    let clock = Arc::new(EventClock::new(now()));
    let follower = Follower::new(&line.config, schema, runtime, progress, clock).expect("starts");
    let slot = follower.slot().clone();
    let following = tokio::spawn(async move { follower.run().await });
    soon("a model", slot.ready()).await;
    let active = slot.slot().load().expect("a model");
    assert_eq!(active.tag.model.version, ModelVersion(30));
    following.abort();
}

/// A trainer that was replaced while it trained comes late with its answer, and adds no version.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_is_answered_once() {
    let line = Line::start(1);
    let rows = training_rows(&["salmon"]);
    let (trained, _) = line.publish(&rows).await;
    let trainer = line.trainer(line.schema());
    let cause = || Cause::trigger("window-mean/2026-01-05T08:00:00Z");
    for mut catalog in [line.catalog().await, line.catalog().await] {
        let manifest = trainer.manifest(&trained, "weight", now(), cause());
        let published = catalog.publish(trained.model.bytes(), manifest);
        let published = soon("a version", published).await.expect("published");
        assert_eq!(published.manifest.version, ModelVersion(2));
    }
    assert_eq!(line.publish(&rows).await.1.version, ModelVersion(3));
}
