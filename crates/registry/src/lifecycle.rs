//! What is to be done with a version: the rules, without anything that does it.
//!
//! ```text
//!              gate                    same rows as the champion
//! trained ──► challenger ──────────────────► champion ──► (probation) stays, or the one before is put back
//!      └────► refused ◄───────────────────────┘
//! ```
//! Every decision is a manifest of its own with a higher number; none is ever changed. So the state is what the [`Log`]
//! says, and a trainer that takes over goes on where the other one stopped.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_events::{Compared, EventTime, ModelVersion};

use crate::log::{Accepted, Log};
use crate::manifest::{Cause, CauseKind, HoldOut, Stage};
use crate::request::{Action, Request};

/// When a version that was trained serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// At once.
    Always,
    /// If its error is below the champion's on rows that neither was trained with.
    BetterThanChampion,
    /// When a person says so.
    Manual,
}

/// The rules of one model.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rules {
    /// When a trained version serves.
    pub policy: Policy,
    /// How much better it must be: its error at most this fraction below the champion's.
    pub margin: f64,
    /// Joined rows that it predicts beside the champion before; none if 0.
    pub shadow_rows: u64,
    /// Joined rows that the champion before predicts beside it afterwards; none if 0.
    pub probation_rows: u64,
    /// How long a challenger is not disturbed by another one, in event time.
    pub shadow_max: Duration,
}

/// What follows from a request.
#[derive(Clone, PartialEq, Debug)]
pub enum Decision {
    /// A manifest with this component.
    Publish {
        /// What hosts are to do with it.
        stage: Stage,
        /// The version whose component it is.
        source: ModelVersion,
        /// Why.
        cause: Cause,
    },
    /// Nothing, and whoever asks is told why.
    Refuse(String),
    /// Nothing: it is about what is not so any more.
    Nothing,
}

impl Rules {
    /// Where a version begins that has just been trained, and why if it is not good enough.
    pub fn gate(&self, has_champion: bool, hold_out: Option<&HoldOut>) -> (Stage, Option<String>) {
        let passed = if self.shadow_rows > 0 { Stage::Challenger } else { Stage::Champion };
        match (self.policy, hold_out) {
            (Policy::Always, _) => (Stage::Champion, None),
            _ if !has_champion => (Stage::Champion, None),
            (Policy::Manual, _) => (Stage::Challenger, None),
            (Policy::BetterThanChampion, None) => (
                Stage::Refused,
                Some("there are no rows to compare it with the champion on".into()),
            ),
            (Policy::BetterThanChampion, Some(hold_out)) => {
                let champion = hold_out.champion_error.unwrap_or(f64::INFINITY);
                if self.is_better(hold_out.error, champion) {
                    return (passed, None);
                }
                let HoldOut { n, error, .. } = hold_out;
                let reason = self.why_not(*error, champion, *n);
                (Stage::Refused, Some(reason))
            }
        }
    }

    /// The challenger whose verdict is waited for when a detector asks for retraining at this time. A new challenger would begin
    /// the comparison anew, and where a detector asks more often than rows are compared none would ever end. One that
    /// has had no verdict for long is not waited for: whoever should compare it may be away.
    pub fn awaits(&self, log: &Log, asked_at: EventTime) -> Option<ModelVersion> {
        if self.policy == Policy::Always {
            return None;
        }
        let challenger = &log.challenger()?.manifest;
        let (_, newest_row) = challenger.rows.times?;
        let is_young = asked_at < newest_row.plus(self.shadow_max);
        is_young.then_some(challenger.version)
    }

    /// What follows from a request. Requests to retrain are not for these rules.
    pub fn decide(&self, log: &Log, request: &Request) -> Decision {
        match &request.action {
            Action::Retrain => Decision::Nothing,
            Action::Promote { version } => promote(log, *version, request),
            Action::Rollback { version } => rollback(log, *version, request),
            Action::Compared(compared) => self.compared(log, compared, request),
        }
    }

    fn compared(&self, log: &Log, compared: &Compared, request: &Request) -> Decision {
        let Compared { served, served_error, shadow, shadow_error, rows } = *compared;
        let Some(champion) = log.champion().filter(|champion| champion.manifest.version == served)
        else {
            return Decision::Nothing;
        };
        let publish = |stage, reason| {
            let cause = cause(CauseKind::Comparison, request, Some(reason));
            Decision::Publish { stage, source: shadow, cause }
        };
        if log.challenger().is_some_and(|challenger| challenger.manifest.version == shadow) {
            if self.policy == Policy::Manual {
                return Decision::Nothing;
            }
            return if self.is_better(shadow_error, served_error) {
                publish(
                    Stage::Champion,
                    format!(
                        "mean error {shadow_error:.4} against {served_error:.4} on {rows} rows"
                    ),
                )
            } else {
                publish(Stage::Refused, self.why_not(shadow_error, served_error, rows))
            };
        }
        if champion.manifest.probation == Some(shadow) && served_error > shadow_error {
            let reason = format!(
                "in probation: mean error {served_error:.4} on {rows} rows, {shadow} had {shadow_error:.4}"
            );
            return publish(Stage::Champion, reason);
        }
        Decision::Nothing
    }

    fn is_better(&self, error: f64, champion: f64) -> bool {
        // An error that is no number is not better than anything.
        error <= champion * (1.0 - self.margin)
    }

    fn why_not(&self, error: f64, champion: f64, rows: u64) -> String {
        let margin = self.margin * 100.0;
        format!(
            "mean error {error:.4} on {rows} rows; the champion has {champion:.4}, and {margin} % better is asked for"
        )
    }
}

fn promote(log: &Log, version: ModelVersion, request: &Request) -> Decision {
    let Some(asked) = log.get(version) else {
        return Decision::Refuse(format!("{version} is not there; see weir model list"));
    };
    serve(log, asked, cause(CauseKind::Promotion, request, None))
}

fn rollback(log: &Log, version: Option<ModelVersion>, request: &Request) -> Decision {
    let cause = cause(CauseKind::Rollback, request, None);
    let target = match version {
        Some(version) => log.get(version),
        None => log.champion().and_then(|champion| before(log, champion)),
    };
    match (target, version) {
        (Some(target), _) if target.manifest.stage == Stage::Champion => serve(log, target, cause),
        (Some(target), _) => Decision::Refuse(format!(
            "{} has never served; weir model promote puts it into service",
            target.manifest.version
        )),
        (None, Some(version)) => {
            Decision::Refuse(format!("{version} is not there; see weir model list"))
        }
        (None, None) => Decision::Refuse("there is no version before the one in service".into()),
    }
}

/// The champion before this one, by what it is: that a version is back says nothing new about what was before it.
fn before<'a>(log: &'a Log, champion: &Accepted) -> Option<&'a Accepted> {
    let mut first = &champion.manifest;
    while let Some(source) = first.source.and_then(|source| log.get(source)) {
        first = &source.manifest;
    }
    let earlier = log.versions().rev().skip_while(|entry| entry.manifest.version >= first.version);
    let mut champions = earlier.filter(|entry| entry.manifest.stage == Stage::Champion);
    champions.find(|entry| entry.manifest.digest != first.digest)
}

fn serve(log: &Log, asked: &Accepted, cause: Cause) -> Decision {
    let manifest = &asked.manifest;
    let serves = log.champion().is_some_and(|champion| champion.manifest.digest == manifest.digest);
    if serves {
        return Decision::Refuse(format!("the component of {} serves already", manifest.version));
    }
    if asked.bytes.is_none() {
        return Decision::Refuse(format!(
            "the component of {} is not there any more",
            manifest.version
        ));
    }
    Decision::Publish { stage: Stage::Champion, source: manifest.version, cause }
}

fn cause(kind: CauseKind, request: &Request, reason: Option<String>) -> Cause {
    let asked = Some(request.reason.clone()).filter(|reason| !reason.is_empty());
    Cause {
        kind,
        id: Some(request.id.clone()),
        by: Some(request.by.clone()),
        reason: reason.or(asked),
    }
}
