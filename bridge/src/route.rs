//! Where an MQTT topic leads: `weir/<line>/<device>/<kind>`, where the settings name no other root.
//!
//! The line and the device are those of the topic, never of a payload: a broker's access rules bind
//! the topic's levels to a certificate or user, and nothing binds a payload. Any other depth or kind
//! is refused and ends as a dead letter; nothing that was received is ignored.
//!
//! Pure: no I/O.

use serde::{Deserialize, Serialize};
use weir_events::{EventKind, Rejection};

/// The words of topics: the first level, and the last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kinds {
    /// The first level of every topic.
    pub root: String,
    /// Announces the cheap numbers.
    pub measurement: String,
    /// Announces the expensive number.
    pub target: String,
    /// Tells that events are missing.
    #[serde(default = "gap")]
    pub gap: String,
}

fn gap() -> String {
    "gap".into()
}

/// What a topic announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Announced {
    /// An event.
    Event(EventKind),
    /// That events are missing.
    Gap,
}

impl Default for Kinds {
    fn default() -> Self {
        Self {
            root: "weir".into(),
            measurement: "measurement".into(),
            target: "weight".into(),
            gap: gap(),
        }
    }
}

/// The words of topics contradict each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("kinds: {0:?} must be one topic level, and another one than its neighbour")]
pub struct KindsError(String);

impl Kinds {
    /// Checks that the words can be told apart and can occur in a topic.
    ///
    /// # Errors
    /// The first word that cannot.
    pub fn check(&self) -> Result<(), KindsError> {
        let one_level = |word: &str| !word.is_empty() && !word.contains(['/', '+', '#', '\0']);
        for word in [&self.root, &self.measurement] {
            if !one_level(word) {
                return Err(KindsError(word.clone()));
            }
        }
        if !one_level(&self.target) || self.target == self.measurement {
            return Err(KindsError(self.target.clone()));
        }
        Ok(())
    }
}

/// A topic that was understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route<'a> {
    /// What the payload is announced to be.
    pub announced: Announced,
    /// The levels that a key may be composed of, with their names.
    pub levels: [(&'static str, &'a str); 2],
}

impl<'a> Route<'a> {
    /// Reads an MQTT topic.
    ///
    /// # Errors
    /// `unknown-topic`, for every topic of another depth, root or kind, or with an empty level.
    pub fn of(topic: &'a str, kinds: &Kinds) -> Result<Self, Rejection> {
        let mut rest = topic.split('/');
        let levels = [rest.next(), rest.next(), rest.next(), rest.next(), rest.next()];
        let [Some(root), Some(line), Some(device), Some(word), None] = levels else {
            return Err(Rejection::unknown_topic(topic));
        };
        if root != kinds.root || line.is_empty() || device.is_empty() {
            return Err(Rejection::unknown_topic(topic));
        }
        let announced = if word == kinds.measurement {
            Announced::Event(EventKind::Measurement)
        } else if word == kinds.target {
            Announced::Event(EventKind::Target)
        } else if word == kinds.gap {
            Announced::Gap
        } else {
            return Err(Rejection::unknown_topic(topic));
        };
        Ok(Self { announced, levels: [("line", line), ("device", device)] })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_events::Reason;

    use super::*;

    #[test]
    fn the_lines_topics_are_understood() {
        let kinds = Kinds::default();
        let route = Route::of("weir/hall 1/gate-7/measurement", &kinds).expect("known");
        assert_eq!(route.announced, Announced::Event(EventKind::Measurement));
        assert_eq!(route.levels, [("line", "hall 1"), ("device", "gate-7")]);
        let route = Route::of("weir/a/b/weight", &kinds).expect("known");
        assert_eq!(route.announced, Announced::Event(EventKind::Target));
    }

    #[test]
    fn any_other_depth_kind_or_root_is_unknown() {
        for topic in [
            "",
            "weir",
            "weir/a/b",
            "weir/a/measurement",
            "weir/a/b/temperature",
            "weir/a/b/Measurement",
            "weir/a/b/measurement/",
            "weir/a/b/c/measurement",
            "weir//b/measurement",
            "weir/a//weight",
            "/weir/a/b/weight",
            "plant/a/b/weight",
        ] {
            let rejection = Route::of(topic, &Kinds::default()).expect_err(topic);
            assert_eq!(rejection.reason, Reason::UnknownTopic, "{topic}");
        }
    }

    #[test]
    fn another_line_has_other_words() {
        let kinds = Kinds {
            root: "plant".into(),
            measurement: "load".into(),
            target: "energy".into(),
            gap: gap(),
        };
        assert_eq!(kinds.check(), Ok(()));
        let target = Ok(Announced::Event(EventKind::Target));
        assert_eq!(Route::of("plant/a/b/energy", &kinds).map(|r| r.announced), target);
        assert!(Route::of("plant/a/b/weight", &kinds).is_err());
        assert!(Route::of("weir/a/b/energy", &kinds).is_err());
    }

    #[test]
    fn words_that_cannot_be_told_apart_are_refused() {
        let check = |measurement: &str, target: &str, wrong: &str| {
            let (measurement, target) = (measurement.into(), target.into());
            let kinds = Kinds { measurement, target, ..Kinds::default() };
            assert_eq!(kinds.check(), Err(KindsError(wrong.into())));
        };
        check("same", "same", "same");
        check("", "weight", "");
        check("measurement", "a/b", "a/b");
        check("+", "weight", "+");
    }

    proptest! {
        #[test]
        fn no_topic_panics_and_a_known_one_is_rebuilt_from_its_levels(
            topic in prop_oneof![any::<String>(), "(weir|x)(/[a-b]{0,2}){1,3}/(weight|measurement|c)"],
        ) {
            if let Ok(Route { announced: Announced::Event(kind), levels: [(_, line), (_, device)] }) =
                Route::of(&topic, &Kinds::default())
            {
                let word = if kind == EventKind::Target { "weight" } else { "measurement" };
                prop_assert_eq!(topic.as_str(), format!("weir/{line}/{device}/{word}"));
            }
        }
    }
}
