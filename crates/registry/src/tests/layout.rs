//! Versions on disk.

use weir_events::ModelVersion;

use super::{key, manifest};
use crate::{Envelope, Layout, LayoutError, Stored};

fn put(layout: &mut Layout, version: u64, component: &[u8]) {
    let manifest = manifest(version, component);
    let envelope = Envelope::seal(&manifest, Some(&key(1))).to_bytes().into();
    layout.put(&manifest, &Stored { envelope, bytes: component.into() }).expect("written");
}

fn blobs(root: &std::path::Path) -> usize {
    std::fs::read_dir(root.join("blobs/sha256")).expect("a directory").count()
}

#[test]
fn versions_are_read_back_also_by_another_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut layout = Layout::open(directory.path()).expect("opens");
    put(&mut layout, 1, b"one");
    put(&mut layout, 2, b"two");
    layout.tag("champion", Some(ModelVersion(2))).expect("tagged");
    assert!(matches!(Layout::open(directory.path()), Err(LayoutError::InUse(_))));
    let other = Layout::read_only(directory.path()).expect("opens");
    let stored = other.get("champion").expect("read");
    assert_eq!(
        (&*stored.bytes, stored.unchecked().expect("a manifest").version.0),
        (&b"two"[..], 2)
    );
    drop(layout);
    let layout = Layout::open(directory.path()).expect("opens again");
    assert_eq!(layout.versions(), [ModelVersion(1), ModelVersion(2)].into());
    let error = layout.get("v9").expect_err("not there").to_string();
    assert!(error.contains("champion, v1, v2"), "{error}");
}

#[test]
fn only_the_newest_and_what_is_tagged_are_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut layout = Layout::open(directory.path()).expect("opens");
    for version in 1..=6 {
        // Versions 2 and 5 are one component.
        let component = if version == 5 { 2 } else { version };
        put(&mut layout, version, &[u8::try_from(component).expect("small")]);
    }
    layout.tag("previous", Some(ModelVersion(1))).expect("tagged");
    layout.retain(2).expect("retained");
    let kept: Vec<u64> = layout.versions().into_iter().map(|version| version.0).collect();
    assert_eq!(kept, [1, 5, 6]);
    assert_eq!(&*layout.get("v5").expect("kept").bytes, &[2]);
    // Each has a manifest, a configuration and a component.
    assert_eq!(blobs(directory.path()), 9);
    layout.tag("previous", None).expect("removed");
    layout.retain(2).expect("retained");
    assert!(layout.get("v1").is_err());
}

/// So a version has one digest in every directory and registry.
#[test]
fn a_version_is_the_same_bytes_everywhere() {
    let images: Vec<_> = (0..8)
        .map(|_| {
            let directory = tempfile::tempdir().expect("a directory");
            let mut layout = Layout::open(directory.path()).expect("opens");
            put(&mut layout, 1, b"one");
            layout.image_of("v1").expect("read")
        })
        .collect();
    assert!(images.windows(2).all(|pair| pair[0] == pair[1]));
    let stored = Stored::from_image(&images[0].manifest, b"one".to_vec()).expect("ours");
    assert_eq!(stored.unchecked().expect("a manifest").version, ModelVersion(1));
    assert!(Stored::from_image(&images[0].manifest, b"two".to_vec()).is_err());
}

#[test]
fn damage_is_seen_and_what_a_crash_left_is_removed() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut layout = Layout::open(directory.path()).expect("opens");
    put(&mut layout, 1, b"one");
    std::fs::write(directory.path().join("blobs/sha256/rest.new"), b"half").expect("written");
    drop(layout);
    let layout = Layout::open(directory.path()).expect("opens");
    assert_eq!(blobs(directory.path()), 3);
    let digest = weir_events::Digest::of(b"one").to_string();
    let path = directory.path().join("blobs/sha256").join(&digest[7..]);
    std::fs::write(path, b"two").expect("written");
    let error = layout.get("v1").expect_err("damaged").to_string();
    assert!(error.contains("does not have the digest"), "{error}");
    assert_eq!(layout.unchecked("v1").expect("readable").version, ModelVersion(1));
    drop(layout);

    // A manifest that is gone takes its version with it, and no other.
    let mut layout = Layout::open(directory.path()).expect("opens");
    put(&mut layout, 2, b"second");
    let index = std::fs::read_to_string(directory.path().join("index.json")).expect("read");
    let index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
    let named = index["manifests"][1]["digest"].as_str().expect("a digest");
    std::fs::remove_file(directory.path().join("blobs/sha256").join(&named[7..])).expect("removed");
    drop(layout);
    let layout = Layout::open(directory.path()).expect("opens");
    assert_eq!((layout.damaged(), layout.tags()), (&["v2".to_owned()][..], ["v1"].into()));
}
