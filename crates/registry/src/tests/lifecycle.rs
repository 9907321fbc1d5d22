//! What is decided about versions.

use std::sync::Arc;
use std::time::Duration;

use weir_events::{Compared, Digest, EventTime, ModelVersion};

use super::{blob, manifest, put};
use crate::{Action, Decision, HoldOut, Log, Manifest, Policy, Request, Rules, Stage, Trust};

const GUARDED: Rules = Rules {
    policy: Policy::BetterThanChampion,
    margin: 0.1,
    shadow_rows: 10,
    probation_rows: 10,
    shadow_max: Duration::from_secs(60),
};

fn request(action: Action) -> Request {
    Request {
        id: "r-1".into(),
        model: "weight".into(),
        action,
        by: "ann".into(),
        reason: "because".into(),
        timestamp: EventTime::EPOCH,
    }
}

/// Version, stage, source, component.
fn log(entries: &[(u64, Stage, Option<u64>, &[u8])]) -> Log {
    let mut log = Log::new("weight", Arc::new(Trust::unsigned()));
    for (version, stage, source, component) in entries {
        blob(&mut log, component).expect("kept");
        let manifest = Manifest {
            stage: *stage,
            source: source.map(ModelVersion),
            probation: version.checked_sub(1).map(ModelVersion),
            ..manifest(*version, component)
        };
        put(&mut log, None, &manifest).expect("accepted");
    }
    log
}

fn decide(log: &Log, action: Action) -> Result<(Stage, u64), String> {
    match GUARDED.decide(log, &request(action)) {
        Decision::Publish { stage, source, cause } => {
            assert_eq!((cause.id.as_deref(), cause.by.as_deref()), (Some("r-1"), Some("ann")));
            Ok((stage, source.0))
        }
        Decision::Refuse(reason) => Err(reason),
        Decision::Nothing => Err(String::new()),
    }
}

fn compared(served: (u64, f64), shadow: (u64, f64)) -> Action {
    Action::Compared(Compared {
        served: ModelVersion(served.0),
        served_error: served.1,
        shadow: ModelVersion(shadow.0),
        shadow_error: shadow.1,
        rows: 10,
    })
}

#[test]
fn the_gate_asks_for_a_better_error_on_rows_held_out() {
    let hold_out = |error| HoldOut {
        n: 20,
        digest: Digest::of(b""),
        error,
        champion: Some(ModelVersion(1)),
        champion_error: Some(0.2),
    };
    let gate = |rules: Rules, error| rules.gate(true, Some(&hold_out(error)));
    assert_eq!(gate(GUARDED, 0.18), (Stage::Challenger, None));
    assert_eq!(gate(Rules { shadow_rows: 0, ..GUARDED }, 0.1), (Stage::Champion, None));
    let (stage, reason) = gate(GUARDED, 0.19);
    assert_eq!(stage, Stage::Refused);
    assert!(reason.expect("a reason").contains("0.1900 on 20 rows; the champion has 0.2000"));
    assert_eq!(gate(GUARDED, f64::NAN).0, Stage::Refused);
    assert_eq!(GUARDED.gate(true, None).0, Stage::Refused);
    assert_eq!(GUARDED.gate(false, None).0, Stage::Champion);
    let always = Rules { policy: Policy::Always, ..GUARDED };
    assert_eq!(gate(always, 9.0), (Stage::Champion, None));
    let manual = Rules { policy: Policy::Manual, ..GUARDED };
    assert_eq!(gate(manual, 0.0), (Stage::Challenger, None));
}

#[test]
fn a_rollback_goes_to_what_served_before_and_further_each_time() {
    let mut entries: Vec<(u64, Stage, Option<u64>, &[u8])> = vec![
        (1, Stage::Champion, None, b"one"),
        (2, Stage::Champion, None, b"two"),
        (3, Stage::Refused, None, b"bad"),
        (4, Stage::Champion, None, b"four"),
    ];
    let back = Action::Rollback { version: None };
    assert_eq!(decide(&log(&entries), back.clone()), Ok((Stage::Champion, 2)));
    entries.push((5, Stage::Champion, Some(2), b"two"));
    assert_eq!(decide(&log(&entries), back.clone()), Ok((Stage::Champion, 1)));
    entries.push((6, Stage::Champion, Some(1), b"one"));
    assert!(decide(&log(&entries), back).expect_err("refused").contains("no version before"));
    let to =
        |version| decide(&log(&entries), Action::Rollback { version: Some(ModelVersion(version)) });
    assert_eq!(to(4), Ok((Stage::Champion, 4)));
    assert!(to(3).expect_err("refused").contains("never served"));
    assert!(to(9).expect_err("refused").contains("v9 is not there"));
    assert!(to(1).expect_err("refused").contains("serves already"));
}

#[test]
fn a_challenger_serves_if_it_is_better_on_the_same_rows() {
    let log = log(&[(1, Stage::Champion, None, b"one"), (2, Stage::Challenger, None, b"two")]);
    assert_eq!(decide(&log, compared((1, 0.2), (2, 0.1))), Ok((Stage::Champion, 2)));
    assert_eq!(decide(&log, compared((1, 0.2), (2, 0.19))), Ok((Stage::Refused, 2)));
    assert_eq!(decide(&log, compared((1, 0.2), (9, 0.1))), Err(String::new()), "another one");
    assert_eq!(decide(&log, compared((3, 0.2), (2, 0.1))), Err(String::new()), "on another's rows");
    assert_eq!(
        decide(&log, Action::Promote { version: ModelVersion(2) }),
        Ok((Stage::Champion, 2))
    );
}

#[test]
fn in_probation_the_one_before_comes_back_if_it_was_better() {
    let log = log(&[(1, Stage::Champion, None, b"one"), (2, Stage::Champion, None, b"two")]);
    assert_eq!(decide(&log, compared((2, 0.3), (1, 0.2))), Ok((Stage::Champion, 1)));
    assert_eq!(decide(&log, compared((2, 0.2), (1, 0.2))), Err(String::new()));
}

#[test]
fn a_challenger_is_compared_before_another_one_is_trained_but_not_for_ever() {
    let second = |seconds| EventTime::EPOCH.plus(Duration::from_secs(seconds));
    let mut log = log(&[(1, Stage::Champion, None, b"one")]);
    assert_eq!(GUARDED.awaits(&log, second(100)), None);
    blob(&mut log, b"two").expect("kept");
    let mut challenger = Manifest { stage: Stage::Challenger, ..manifest(2, b"two") };
    challenger.rows.times = Some((second(10), second(100)));
    put(&mut log, None, &challenger).expect("accepted");
    for (asked_at, awaited) in [(100, true), (159, true), (160, false)] {
        let version = GUARDED.awaits(&log, second(asked_at));
        assert_eq!(version, awaited.then_some(ModelVersion(2)), "{asked_at}");
    }
    let always = Rules { policy: Policy::Always, ..GUARDED };
    assert_eq!(always.awaits(&log, second(101)), None, "the original pipeline waits for nothing");
    let verdict =
        Manifest { stage: Stage::Refused, source: Some(ModelVersion(2)), ..manifest(3, b"two") };
    put(&mut log, None, &verdict).expect("accepted");
    assert_eq!(GUARDED.awaits(&log, second(101)), None);
}
