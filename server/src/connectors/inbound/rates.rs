//! How often an address may be called.
//!
//! Anybody may call any address, and an address that nobody was given looks like any other. So what is
//! remembered must not grow with the addresses that are tried: each falls into one of a fixed number of
//! cells, by a hash that is another in every process and that nobody can aim with. Addresses that share
//! a cell share its rate.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Few enough to be made at start, enough that two busy connectors seldom meet.
const CELLS: usize = 4096;
/// Deliveries a second: what a large organisation's forge sends at its busiest.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// Deliveries at once: a far side that was cut off sends what it kept.
const BURST: NonZeroU32 = NonZeroU32::new(300).unwrap();

pub(super) struct Rates {
    cells: Vec<DefaultDirectRateLimiter>,
    hash: RandomState,
}

impl Rates {
    pub(super) fn new() -> Self {
        let cell = || RateLimiter::direct(Quota::per_second(PER_SECOND).allow_burst(BURST));
        Self { cells: std::iter::repeat_with(cell).take(CELLS).collect(), hash: RandomState::new() }
    }

    /// Counts a call of an address; how long to wait, where it came too often.
    pub(super) fn check(&self, address: &str) -> Result<(), Duration> {
        let place = usize::try_from(self.hash.hash_one(address) % CELLS as u64).unwrap_or_default();
        let Some(cell) = self.cells.get(place) else { return Ok(()) };
        cell.check().map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_called_too_often_waits_and_others_do_not() {
        let rates = Rates::new();
        let refused = (0..100 * BURST.get()).find_map(|_| rates.check("con_a").err());
        assert!(refused.is_some_and(|wait| wait <= Duration::from_secs(1)), "{refused:?}");
        let others = (0..50).filter(|n| rates.check(&format!("con_{n}")).is_ok()).count();
        assert!(others >= 45, "{others} of 50 have a cell of their own");
    }
}
