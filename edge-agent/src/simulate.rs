//! A simulated fish line, with the distributions of the original pipeline's simulation.
//!
//! Salmon: length ~ N(88, 5) cm, height ~ N(19, 1) cm, weight = 0.05 length + 0.01 height + e kg.
//! Walleye: length ~ N(81, 8), height ~ N(17, 2), weight = 0.02 length + 0.04 height + e. The noise e ~ N(0, 0.1);
//! length, height and noise are rounded to three decimals, so a weight has at most five. A fish without
//! length, height or weight is drawn again. The scenario is 60 salmon, 60 walleye, 60 salmon, over and over.
//!
//! The same seed gives the same fish. Numbers are kept as integers of their last decimal: the texts that
//! are sent show no binary noise, and nothing depends on how a float is printed.

use std::fmt;

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};

use crate::sampler::{Event, SampleError};
use crate::schedule::{Schedule, Timed, Timing};

/// The fish of one pass through the scenario: 60 salmon, 60 walleye, 60 salmon.
pub const SCENARIO: u64 = 180;

const SALMON: Species =
    Species { name: "salmon", length: (88.0, 5.0), height: (19.0, 1.0), hundredths_per_cm: (5, 1) };
const WALLEYE: Species = Species {
    name: "walleye",
    length: (81.0, 8.0),
    height: (17.0, 2.0),
    hundredths_per_cm: (2, 4),
};
/// The standard deviation of the weight around its formula, in kg.
const NOISE: f64 = 0.1;

/// The random streams of one seed.
const STREAM_LINE: u64 = 0;
const STREAM_TRAINING: u64 = 1;

struct Species {
    name: &'static str,
    /// Mean and standard deviation in cm.
    length: (f64, f64),
    height: (f64, f64),
    /// Hundredths of a kg for each cm of length and of height.
    hundredths_per_cm: (i64, i64),
}

/// A decimal number: a count of units of its last place. Prints without trailing zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decimal {
    units: i64,
    places: u32,
}

impl Decimal {
    /// The nearest float. The division is of two exact numbers, so this is what reading its text gives.
    pub fn to_f64(self) -> f64 {
        self.units as f64 / 10_i64.pow(self.places) as f64
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let power = 10_u64.pow(self.places);
        let (whole, rest) = (self.units.unsigned_abs() / power, self.units.unsigned_abs() % power);
        let sign = if self.units < 0 { "-" } else { "" };
        write!(f, "{sign}{whole}")?;
        if rest == 0 {
            return Ok(());
        }
        let digits = format!("{rest:0width$}", width = self.places as usize);
        write!(f, ".{}", digits.trim_end_matches('0'))
    }
}

/// One fish with all that is measured on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fish {
    /// Its number on the line, from 1.
    pub id: u64,
    /// `salmon` or `walleye`.
    pub species: &'static str,
    /// In cm, three decimals.
    pub length: Decimal,
    /// In cm, three decimals.
    pub height: Decimal,
    /// In kg, five decimals.
    pub weight: Decimal,
}

/// Fish of the scenario, one after the other, for ever.
#[derive(Clone, Debug)]
struct School {
    random: ChaCha8Rng,
    next_id: u64,
    species: fn(u64) -> &'static Species,
}

impl School {
    fn new(seed: u64, stream: u64, species: fn(u64) -> &'static Species) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Self { random, next_id: 1, species }
    }

    fn thousandths(&mut self, (mean, deviation): (f64, f64)) -> i64 {
        let normal = Normal::new(mean, deviation).expect("the deviations above are finite");
        (normal.sample(&mut self.random) * 1000.0).round() as i64
    }
}

impl Iterator for School {
    type Item = Fish;

    fn next(&mut self) -> Option<Fish> {
        let id = self.next_id;
        self.next_id += 1;
        let species = (self.species)(id - 1);
        loop {
            let length = self.thousandths(species.length);
            let height = self.thousandths(species.height);
            let noise = self.thousandths((0.0, NOISE));
            let (per_length, per_height) = species.hundredths_per_cm;
            // In units of 1e-5 kg: a thousandth of a cm times a hundredth of a kg for each cm.
            let weight = per_length * length + per_height * height + 100 * noise;
            if length > 0 && height > 0 && weight > 0 {
                return Some(Fish {
                    id,
                    species: species.name,
                    length: Decimal { units: length, places: 3 },
                    height: Decimal { units: height, places: 3 },
                    weight: Decimal { units: weight, places: 5 },
                });
            }
        }
    }
}

fn scenario(index: u64) -> &'static Species {
    match index % SCENARIO {
        60..120 => &WALLEYE,
        _ => &SALMON,
    }
}

/// Salmon for a first model, from a random stream that is independent of the line's.
pub fn training_set(seed: u64, count: usize) -> Vec<Fish> {
    School::new(seed, STREAM_TRAINING, |_| &SALMON).take(count).collect()
}

/// The first `count` fish of the line; `None` for as many as are taken.
pub fn fish(seed: u64, count: Option<u64>) -> impl Iterator<Item = Fish> + Send {
    let limit = usize::try_from(count.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    School::new(seed, STREAM_LINE, scenario).take(limit)
}

/// The line's events: two for each fish.
pub fn simulate(
    seed: u64,
    count: Option<u64>,
    timing: Timing,
) -> impl Iterator<Item = Result<Event, SampleError>> + Send + use<> {
    // Both sides draw the same fish again: cheaper than remembering them.
    let side = move |timed: fn(&Timing, (u64, Fish)) -> Timed| {
        (0..).zip(fish(seed, count)).map(move |item| Ok::<_, SampleError>(timed(&timing, item)))
    };
    Schedule::new(side(measurement), side(target), timing.lead)
}

fn measurement(timing: &Timing, (index, fish): (u64, Fish)) -> Timed {
    let at = timing.measurement(index);
    let Fish { id, species, length, height, .. } = fish;
    let payload = format!(
        r#"{{"Species":"{species}","Fish_Id":"{id}","Length":{length},"Height":{height},"Timestamp":"{at}"}}"#
    );
    Timed { at, payload: Bytes::from(payload) }
}

fn target(timing: &Timing, (index, fish): (u64, Fish)) -> Timed {
    let at = timing.target(index);
    let Fish { id, species, weight, .. } = fish;
    let payload = format!(
        r#"{{"Species":"{species}","Fish_Id":"{id}","Weight":{weight},"Timestamp":"{at}"}}"#
    );
    Timed { at, payload: Bytes::from(payload) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use weir_events::{EventKind, Schema, SchemaConfig, Source};

    #[test]
    fn decimals_print_without_noise() {
        let check = |units, places, text: &str| {
            let decimal = Decimal { units, places };
            assert_eq!(decimal.to_string(), text);
            assert_eq!(text.parse::<f64>().expect("a number"), decimal.to_f64());
        };
        check(88_125, 3, "88.125");
        check(88_100, 3, "88.1");
        check(88_000, 3, "88");
        check(433_350, 5, "4.3335");
        check(7, 5, "0.00007");
        check(-7, 3, "-0.007");
    }

    /// Over 60,000 fish a mean lies within 5 standard errors of what the scenario says.
    #[test]
    fn the_distributions_are_the_originals() {
        let all: Vec<Fish> = fish(7, Some(90_000)).collect();
        let mean = |species: &str, value: fn(&Fish) -> f64| {
            let values: Vec<f64> =
                all.iter().filter(|fish| fish.species == species).map(value).collect();
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            (mean, (squares / (count - 1.0)).sqrt())
        };
        let check = |species, value: fn(&Fish) -> f64, expected: (f64, f64)| {
            let (got, deviation) = mean(species, value);
            assert!((got - expected.0).abs() < 5.0 * expected.1 / 30_000_f64.sqrt(), "{got}");
            assert!((deviation / expected.1 - 1.0).abs() < 0.02, "{deviation}");
        };
        let noise = |fish: &Fish| {
            let (l, h) = if fish.species == "salmon" { (0.05, 0.01) } else { (0.02, 0.04) };
            fish.weight.to_f64() - l * fish.length.to_f64() - h * fish.height.to_f64()
        };
        check("salmon", |fish| fish.length.to_f64(), (88.0, 5.0));
        check("salmon", |fish| fish.height.to_f64(), (19.0, 1.0));
        check("walleye", |fish| fish.length.to_f64(), (81.0, 8.0));
        check("walleye", |fish| fish.height.to_f64(), (17.0, 2.0));
        check("salmon", noise, (0.0, 0.1));
        check("walleye", noise, (0.0, 0.1));
    }

    #[test]
    fn the_scenario_is_60_60_60_and_repeats() {
        let all: Vec<Fish> = fish(1, Some(400)).collect();
        for (index, fish) in all.iter().enumerate() {
            let walleye = matches!(index % 180, 60..120);
            assert_eq!(fish.species == "walleye", walleye, "{index}");
            assert_eq!(fish.id, index as u64 + 1);
        }
    }

    #[test]
    fn the_seed_decides_and_the_training_set_is_its_own_stream() {
        let line = |seed| fish(seed, Some(50)).collect::<Vec<_>>();
        assert_eq!(line(1), line(1));
        assert_ne!(line(1), line(2));
        let training = training_set(1, 100);
        assert_eq!(training.len(), 100);
        assert!(training.iter().all(|fish| fish.species == "salmon"));
        let shared = |fish: &Fish| training.iter().any(|other| other.length == fish.length);
        let repeated = line(1).into_iter().filter(shared).count();
        assert!(repeated < 5, "the training set repeats the line");
    }

    #[test]
    fn every_payload_is_valid_and_carries_its_time() {
        let schema = Schema::try_from(&SchemaConfig::fish()).expect("valid");
        let start = "2026-01-05T08:00:26Z".parse().expect("a time");
        let timing = Timing { start, interval: Duration::from_secs(2), lead: 5 };
        let events: Vec<_> =
            simulate(3, Some(180), timing).map(|event| event.expect("no error")).collect();
        assert_eq!(events.len(), 360);
        for event in &events {
            let source = Source::record(weir_events::EventTime::EPOCH);
            let decoded = schema.decode(event.kind, &event.payload, &source).expect("valid");
            assert_eq!(decoded.time, event.at);
        }
        let first_target = events.iter().position(|event| event.kind == EventKind::Target);
        assert_eq!(first_target, Some(5));
    }
}
