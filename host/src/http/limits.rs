//! How much of the server one client may have.

use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Addresses that are remembered before those are forgotten that have been quiet.
const ADDRESSES_MAX: usize = 10_000;
/// Requests at once, in seconds of the rate in the long run.
const BURST_SECONDS: u32 = 4;
/// Wrong tokens of one address in a minute, and at once.
const DENIALS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(12).expect("not zero");
const DENIALS_AT_ONCE: NonZeroU32 = NonZeroU32::new(5).expect("not zero");

/// Counts requests of each address.
pub(super) struct Limits {
    requests: DefaultKeyedRateLimiter<IpAddr>,
    denials: DefaultKeyedRateLimiter<IpAddr>,
}

impl Limits {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1));
        let denials = Quota::per_minute(DENIALS_PER_MINUTE).allow_burst(DENIALS_AT_ONCE);
        Self {
            requests: RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst)),
            denials: RateLimiter::keyed(denials),
        }
    }

    /// Whether a request may be answered.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        admits(&self.requests, address)
    }

    /// Whether somebody whose token was wrong may try another one at once.
    pub(super) fn forgives(&self, address: IpAddr) -> bool {
        admits(&self.denials, address)
    }
}

fn admits(limiter: &DefaultKeyedRateLimiter<IpAddr>, address: IpAddr) -> bool {
    if limiter.len() > ADDRESSES_MAX {
        limiter.retain_recent();
    }
    limiter.check_key(&address).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_that_asks_too_much_does_not_stop_another() {
        let limits = Limits::new(NonZeroU32::new(2).expect("not zero"));
        let [one, other] = [[127, 0, 0, 1], [127, 0, 0, 2]].map(IpAddr::from);
        let admitted = (0..100).filter(|_| limits.admits(one)).count();
        assert!((8..=12).contains(&admitted), "{admitted}");
        assert!(limits.admits(other));
        let tries = (0..100).filter(|_| limits.forgives(one)).count();
        assert!((5..=6).contains(&tries), "{tries}");
    }
}
