//! How long to wait before connecting again.
//!
//! Exponential with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015):
//! the n-th pause is drawn evenly between nothing and `min(max, first * 2^n)`, so that clients cut off
//! together do not come back together. The randomness is the caller's seed.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The pauses between attempts.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    attempt: u32,
    random: ChaCha8Rng,
}

impl Backoff {
    /// Pauses below `first`, then twice that, and so on up to `max`.
    pub fn new(first: Duration, max: Duration, seed: u64) -> Self {
        Self { first, max, attempt: 0, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        let factor = 2_u32.saturating_pow(self.attempt);
        let bound = self.first.saturating_mul(factor).min(self.max);
        self.attempt = self.attempt.saturating_add(1);
        bound.mul_f64(f64::from(self.random.next_u32()) / f64::from(u32::MAX))
    }

    /// After a success: the next pause is a first one again.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// The bound of every pause.
    pub fn max(&self) -> Duration {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_below_a_bound_that_doubles_and_then_holds() {
        let first = Duration::from_millis(100);
        let max = Duration::from_secs(1);
        let mut longest = [Duration::ZERO; 40];
        for seed in 0..200 {
            let mut backoff = Backoff::new(first, max, seed);
            for slot in &mut longest {
                *slot = backoff.next_pause().max(*slot);
            }
        }
        for (attempt, longest) in longest.into_iter().enumerate() {
            let bound = first.saturating_mul(1 << attempt.min(10)).min(max);
            assert!(longest <= bound, "attempt {attempt}: {longest:?}");
            assert!(longest > bound / 2, "attempt {attempt}: no jitter near {bound:?}");
        }
    }

    #[test]
    fn the_seed_decides_and_a_success_starts_over() {
        let new = |seed| Backoff::new(Duration::from_secs(1), Duration::from_secs(64), seed);
        let draw = |mut backoff: Backoff| [(); 8].map(|()| backoff.next_pause());
        assert_eq!(draw(new(1)), draw(new(1)));
        assert_ne!(draw(new(1)), draw(new(2)));
        let mut backoff = new(3);
        for _ in 0..20 {
            backoff.next_pause();
        }
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_secs(1));
    }
}
