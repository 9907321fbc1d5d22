//! In which order versions are accepted.

use std::sync::Arc;

use proptest::prelude::*;
use weir_events::{Digest, EventTime, ModelVersion};

use super::{NOW, blob, key, manifest, put};
use crate::{Envelope, Floor, Log, Manifest, Refusal, Stage, Trust, TrustError};

fn log() -> Log {
    Log::new("weight", Arc::new(Trust::unsigned()))
}

#[test]
fn a_version_is_handed_out_with_its_bytes() {
    let mut log = log();
    assert_eq!(log.next_version(), ModelVersion(1));
    assert!(blob(&mut log, b"one").expect("kept").is_none());
    let accepted = put(&mut log, None, &manifest(1, b"one")).expect("accepted").expect("new");
    assert_eq!(accepted.bytes.as_deref(), Some(&b"one"[..]));
    assert_eq!((accepted.manifest.version, log.next_version()), (ModelVersion(1), ModelVersion(2)));
}

#[test]
fn of_two_manifests_with_one_number_the_first_counts() {
    let mut log = log();
    put(&mut log, None, &manifest(1, b"one")).expect("accepted");
    let refusal = put(&mut log, None, &manifest(1, b"two")).expect_err("refused");
    assert!(matches!(refusal, Refusal::NotNewer { .. }), "{refusal}");
    let champion = log.champion().expect("one");
    assert_eq!(champion.manifest.digest, Digest::of(b"one"));
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut log = log();
    let forged = log.apply(&format!("blob/{}", Digest::of(b"one")), Some(b"two"));
    assert!(matches!(forged, Err(Refusal::Digest(_))));
    let accepted = put(&mut log, None, &manifest(1, b"one")).expect("accepted").expect("new");
    assert_eq!(accepted.bytes, None, "no bytes came");
    assert!(matches!(log.apply("else", Some(b"")), Err(Refusal::Key(_))));
    let no_envelope = log.apply("manifest/weight/2", Some(b"{}"));
    assert!(matches!(no_envelope, Err(Refusal::Trust(TrustError::Envelope(_)))));
    let bytes = Envelope::seal(&manifest(3, b"one"), None).to_bytes();
    let moved = log.apply("manifest/weight/4", Some(&bytes));
    assert!(matches!(moved, Err(Refusal::OtherKey(_))));
    assert!(log.apply("manifest/other/1", Some(b"{}")).expect("another model's").is_none());
    assert!(log.apply("manifest/weight/1", None).expect("a tombstone").is_none());
    assert_eq!(log.champion().map(|it| it.manifest.version), Some(ModelVersion(1)));
}

#[test]
fn what_has_expired_does_not_begin_to_serve_and_goes_on_serving() {
    let expired = Manifest { expires: Some(EventTime::EPOCH), ..manifest(1, b"one") };
    let mut fresh = log();
    let read = put(&mut fresh, None, &expired).expect("history").expect("read");
    let refused = fresh.may_serve(&read.manifest, NOW).expect_err("refused");
    assert!(matches!(refused, Refusal::Trust(TrustError::Expired(_))), "{refused}");
    let floor = Floor { version: ModelVersion(1), digest: expired.digest };
    let mut served = log().above(Some(floor));
    put(&mut served, None, &expired).expect("history");
    served.may_serve(&expired, NOW).expect("served before");
}

/// A host that runs for years, or reads a topic that somebody has filled, holds no more than it may.
#[test]
fn components_at_hand_are_bounded() {
    let mut log = log();
    let component = |version: u64| vec![u8::try_from(version).expect("small"); 20 << 20];
    for version in 1..=5 {
        blob(&mut log, &component(version)).expect("kept");
        put(&mut log, None, &manifest(version, &component(version))).expect("accepted");
    }
    let at_hand = log.versions().filter(|version| version.bytes.is_some());
    assert_eq!(at_hand.map(|it| it.manifest.version.0).collect::<Vec<_>>(), [3, 4, 5]);
}

#[test]
fn nobody_brings_a_host_back_while_it_is_down() {
    let floor = Floor { version: ModelVersion(5), digest: Digest::of(b"five") };
    let mut log = log().above(Some(floor));
    let old = put(&mut log, None, &manifest(4, b"four")).expect("history").expect("read");
    assert!(log.may_serve(&old.manifest, NOW).is_err());
    let forged = put(&mut log, None, &manifest(5, b"forged")).expect_err("refused");
    assert!(matches!(forged, Refusal::OtherThanServed(_)), "{forged}");
    let same = put(&mut log, None, &manifest(5, b"five")).expect("accepted").expect("new");
    log.may_serve(&same.manifest, NOW).expect("served before");
}

#[test]
fn a_challenger_is_one_until_something_is_decided() {
    let mut log = log();
    let with = |stage, source: Option<u64>, version| Manifest {
        stage,
        source: source.map(ModelVersion),
        ..manifest(version, b"x")
    };
    let challenger = |log: &Log| log.challenger().map(|it| it.manifest.version.0);
    put(&mut log, None, &manifest(1, b"one")).expect("accepted");
    put(&mut log, None, &with(Stage::Challenger, None, 2)).expect("accepted");
    assert_eq!(challenger(&log), Some(2));
    put(&mut log, None, &with(Stage::Refused, None, 3)).expect("accepted");
    assert_eq!(challenger(&log), Some(2), "another one was refused");
    put(&mut log, None, &with(Stage::Refused, Some(2), 4)).expect("accepted");
    assert_eq!(challenger(&log), None);
    put(&mut log, None, &with(Stage::Challenger, None, 5)).expect("accepted");
    put(&mut log, None, &with(Stage::Champion, Some(5), 6)).expect("accepted");
    assert_eq!(challenger(&log), None);
    assert_eq!(log.champion().map(|it| it.manifest.version.0), Some(6));
}

#[test]
fn a_component_that_compaction_has_moved_back_is_found() {
    let mut log = log();
    put(&mut log, None, &manifest(1, b"one")).expect("accepted");
    blob(&mut log, b"one").expect("kept");
    assert!(log.get(ModelVersion(1)).is_some_and(|it| it.bytes.is_some()));
}

proptest! {
    /// Whatever is written by whoever: accepted versions rise.
    #[test]
    fn accepted_versions_rise(written in proptest::collection::vec((0u64..6, any::<bool>()), 1..30)) {
        let trusted = key(1);
        let mut log = Log::new("weight", Arc::new(Trust::new(vec![trusted.public()], [].into())));
        let mut highest = None;
        for (version, honest) in written {
            let component = version.to_be_bytes();
            blob(&mut log, &component).expect("kept");
            let signer = if honest { key(1) } else { key(2) };
            let put = put(&mut log, Some(&signer), &manifest(version, &component));
            let accepted = matches!(put, Ok(Some(_)));
            let is_newer = highest.is_none_or(|highest| version > highest);
            prop_assert_eq!(accepted, honest && is_newer);
            if accepted {
                highest = Some(version);
            }
            prop_assert_eq!(log.champion().map(|champion| champion.manifest.version.0), highest);
        }
    }
}
