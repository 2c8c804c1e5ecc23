//! How fast, and how often again: the pauses that all calls of one client share.
//!
//! A plan asks ten things at a time. When the server says "wait" to one of them, the others wait as
//! well; when it is down, the first to notice tries a few times and the others do not.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use tokio::time::Instant;

/// The first pause; each next one is twice as long, up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// The longest pause that is our own choice. A server may ask for a longer one.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a server counts as down once the repeats ran out: the length of one burst of calls.
const DOWN: Duration = Duration::from_secs(10);

/// What the calls of one client know of the server's mood.
#[derive(Debug, Default)]
pub(super) struct Pace {
    not_before: Mutex<Option<Instant>>,
    down_until: Mutex<Option<Instant>>,
}

impl Pace {
    /// When the next request may go out.
    pub(super) fn not_before(&self) -> Option<Instant> {
        read(&self.not_before)
    }

    /// The server asked for a pause.
    pub(super) fn hold_until(&self, at: Instant) {
        let mut held = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *held = (*held).max(Some(at));
    }

    /// Whether another call found the server down a moment ago.
    pub(super) fn is_down(&self) -> bool {
        read(&self.down_until).is_some()
    }

    /// The repeats of a call ran out without reaching the server.
    pub(super) fn found_down(&self) {
        let mut down = self.down_until.lock().unwrap_or_else(PoisonError::into_inner);
        *down = Some(Instant::now() + DOWN);
    }

    /// The server answered.
    pub(super) fn found_up(&self) {
        let mut down = self.down_until.lock().unwrap_or_else(PoisonError::into_inner);
        *down = None;
    }
}

fn read(time: &Mutex<Option<Instant>>) -> Option<Instant> {
    let time = time.lock().unwrap_or_else(PoisonError::into_inner);
    time.filter(|at| *at > Instant::now())
}

/// The pause after so many failures, somewhere in the upper half of it, so that calls which failed
/// together do not come back together.
pub(super) fn pause_after(failures: u32) -> Duration {
    let whole = PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(PAUSE_MAX);
    whole.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// The pause that a server asked for and up to a tenth more (at least a little): all who were told
/// the same second come back spread out, and none too early.
pub(super) fn pause_asked(asked: Duration) -> Duration {
    asked + asked.max(PAUSE_FIRST).mul_f64(rand::rng().random_range(0.0..=0.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        for failures in 0..40 {
            assert!(pause_after(failures) <= PAUSE_MAX);
            assert!(pause_after(failures) >= PAUSE_FIRST / 2);
        }
        assert!(pause_after(5) >= Duration::from_secs(2));
    }

    #[test]
    fn a_pause_asked_for_is_never_shortened() {
        for seconds in [0, 1, 30] {
            let asked = Duration::from_secs(seconds);
            assert!(pause_asked(asked) >= asked);
            assert!(pause_asked(asked) <= asked.mul_f64(1.1) + PAUSE_FIRST);
        }
    }

    #[test]
    fn the_longest_hold_wins() {
        let pace = Pace::default();
        assert!(pace.not_before().is_none());
        let later = Instant::now() + Duration::from_secs(60);
        pace.hold_until(later);
        pace.hold_until(Instant::now() + Duration::from_secs(1));
        assert_eq!(pace.not_before(), Some(later));
    }
}
