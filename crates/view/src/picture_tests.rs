//! A picture against what was put into it.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use weir_events::{Digest, Key, Measurement, ModelRef, ModelVersion, SchemaConfig};
use weir_registry::Trust;

use super::*;

fn picture(newest: Option<usize>) -> Picture {
    let schema = Arc::new(Schema::try_from(&SchemaConfig::fish()).expect("valid"));
    let log = Log::new("weight", Arc::new(Trust::unsigned()));
    Picture::new(schema, TopicNames::default(), log, newest)
}

fn prediction(number: u16, value: Option<f64>) -> Prediction {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    let measurement = Measurement {
        id: EventId::from_bytes(id),
        key: Key::new(&number.to_string()).expect("not empty"),
        time: EventTime::EPOCH.plus(Duration::from_secs(number.into())),
        features: vec![80.0, 18.0],
        level: Some("salmon".into()),
    };
    let model = ModelRef {
        version: ModelVersion(1),
        digest: Digest::of(b"component"),
        time: EventTime::EPOCH,
    };
    let outcome = value.map_or(Outcome::Missing(Missing::UnseenLevel), Outcome::Value);
    Prediction { measurement, outcome, model, shadow: None }
}

fn row(number: u16, value: Option<f64>) -> Joined {
    let prediction = prediction(number, value);
    let time = prediction.measurement.time.plus(Duration::from_secs(10));
    Joined {
        prediction,
        actual: 100.0,
        time,
        error: value.map(|value| (value - 100.0).abs() / 100.0),
    }
}

/// One record, as a reader would hand it over.
fn apply(
    picture: &mut Picture,
    topic: &str,
    id: Option<&str>,
    payload: &[u8],
) -> Result<Change, Unreadable> {
    picture.apply(&Seen {
        topic,
        key: None,
        payload: Some(payload),
        id,
        reason: None,
        detail: None,
        source: None,
        written_at: EventTime::EPOCH,
    })
}

fn apply_row(picture: &mut Picture, row: &Joined) -> Change {
    let payload = picture.schema.encode_joined(row);
    apply(picture, "weight-diff", None, &payload).expect("readable")
}

fn apply_prediction(picture: &mut Picture, prediction: &Prediction) -> Change {
    let payload = picture.schema.encode_prediction(prediction);
    let id = prediction.measurement.id.to_string();
    apply(picture, "weight-prediction", Some(&id), &payload).expect("readable")
}

#[test]
fn a_row_completes_its_prediction_whichever_is_seen_first() {
    for row_first in [false, true] {
        let mut picture = picture(None);
        if row_first {
            assert_eq!(apply_row(&mut picture, &row(7, Some(90.0))), Change::Joined(Some(0.1)));
            apply_prediction(&mut picture, &prediction(7, Some(90.0)));
        } else {
            apply_prediction(&mut picture, &prediction(7, Some(90.0)));
            assert_eq!(apply_row(&mut picture, &row(7, Some(90.0))), Change::Joined(Some(0.1)));
        }
        assert_eq!(apply_row(&mut picture, &row(7, Some(90.0))), Change::Nothing, "again");
        let counts = picture.results().counts;
        assert_eq!((counts.predicted, counts.joined), (1, 1));
        let events = &picture.results().predictions;
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].actual, events[0].error), (Some(100.0), Some(0.1)));
    }
}

#[test]
fn what_cannot_be_read_is_an_error_and_changes_nothing() {
    let mut picture = picture(Some(10));
    for topic in ["weight-diff", "weight-window", "weight-retrain", "weight-unjoined", "models"] {
        assert!(apply(&mut picture, topic, None, b"{").is_err(), "{topic}");
    }
    assert!(matches!(apply(&mut picture, "weight-prediction", None, b"{}"), Err(Unreadable::NoId)));
    assert_eq!(picture.results().counts, Default::default());
}

#[test]
fn dead_letters_are_counted_by_reason_and_bounded() {
    let mut picture = picture(Some(10));
    for number in 0..1_000 {
        let reason = format!("made-up-{number}");
        let reason = if number % 2 == 0 { "malformed-json" } else { &reason };
        let record = Seen {
            topic: "machine-measurement-dead-letter",
            key: None,
            payload: Some(&[b'x'; 10_000]),
            id: None,
            reason: Some(reason),
            detail: Some(&"y".repeat(10_000)),
            source: None,
            written_at: EventTime::EPOCH,
        };
        assert_eq!(picture.apply(&record).expect("taken"), Change::DeadLetter);
    }
    let counts: Vec<_> = picture.letter_counts().collect();
    let topic = "machine-measurement-dead-letter";
    assert_eq!(counts, [(topic, "malformed-json", 500), (topic, "unknown", 500)]);
    assert_eq!(picture.letters().count(), LETTERS_MAX);
    assert!(picture.letters().all(|letter| letter.preview.len() <= PREVIEW_BYTES_MAX));
}

proptest! {
    /// The newest events in the order in which they came, each once, whatever is repeated.
    #[test]
    fn the_newest_events_are_kept(
        numbers in prop::collection::vec(0_u16..300, 0..600),
        newest in 1_usize..40,
    ) {
        let mut picture = picture(Some(newest));
        let mut naive: Vec<u16> = Vec::new();
        for &number in &numbers {
            // What is still in the picture is known; what has left it comes again as a new event.
            let kept: Vec<String> =
                picture.results().predictions.iter().map(|event| event.id.as_str().to_owned()).collect();
            let known = kept.contains(&number.to_string());
            let change = apply_row(&mut picture, &row(number, Some(90.0)));
            prop_assert_eq!(change == Change::Nothing, known);
            if !known {
                naive.push(number);
            }
        }
        let kept: Vec<String> =
            picture.results().predictions.iter().map(|event| event.id.to_string()).collect();
        prop_assert!(kept.len() < 2 * newest);
        prop_assert!(kept.len() >= newest.min(naive.len()));
        let last = &naive[naive.len() - kept.len()..];
        prop_assert_eq!(kept, last.iter().map(u16::to_string).collect::<Vec<_>>());
        prop_assert_eq!(picture.results().counts.joined, naive.len() as u64);
    }
}
