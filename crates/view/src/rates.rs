//! How fast counts rise.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How far back a rate looks.
const SPAN: Duration = Duration::from_secs(60);

/// The rates of some counts over the last minute. At most [`Rates::SAMPLES_MAX`] samples of each are kept.
#[derive(Default, Debug)]
pub struct Rates {
    samples: BTreeMap<String, VecDeque<(Duration, u64)>>,
}

impl Rates {
    /// Samples of one count.
    pub const SAMPLES_MAX: usize = 120;

    /// That a count stands at `value`, at a time that is measured from any fixed moment.
    pub fn sample(&mut self, name: &str, at: Duration, value: u64) {
        let samples = self.samples.entry(name.to_owned()).or_default();
        // A count that went back was begun anew: what was before says nothing.
        if samples.back().is_some_and(|&(_, before)| value < before) {
            samples.clear();
        }
        samples.push_back((at, value));
        // One that is older than the span stays, so that the rate is over at least as long.
        while samples.len() > Self::SAMPLES_MAX
            || samples.get(1).is_some_and(|&(second, _)| at.saturating_sub(second) >= SPAN)
        {
            samples.pop_front();
        }
    }

    /// How many a second; none before there are two samples.
    pub fn per_second(&self, name: &str) -> Option<f64> {
        let samples = self.samples.get(name)?;
        let (&(from, first), &(to, last)) = (samples.front()?, samples.back()?);
        let took = to.checked_sub(from).filter(|took| !took.is_zero())?;
        Some((last - first) as f64 / took.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_over_the_last_minute() {
        let mut rates = Rates::default();
        let at = Duration::from_secs;
        assert_eq!(rates.per_second("a"), None);
        rates.sample("a", at(0), 100);
        assert_eq!(rates.per_second("a"), None);
        rates.sample("a", at(10), 150);
        assert_eq!(rates.per_second("a"), Some(5.0));
        for second in 11..=200 {
            rates.sample("a", at(second), 150);
        }
        assert_eq!(rates.per_second("a"), Some(0.0));
        assert!(rates.samples["a"].len() <= Rates::SAMPLES_MAX);
        rates.sample("a", at(201), 3);
        assert_eq!(rates.per_second("a"), None, "it was begun anew");
    }
}
