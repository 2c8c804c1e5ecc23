//! What one replica has of one subject's window. Pure: time is passed in.

use std::time::{Duration, Instant};

use super::lease::Lease;

/// What is left of what was leased, and what is known of the window.
#[derive(Debug)]
pub(super) struct Share {
    /// Which window, by when the database says that it began.
    window: i64,
    /// When the window ends, never later than the database thinks.
    ends: Instant,
    /// Leased and not spent.
    left: i64,
    /// What all replicas had been given when the database was last asked.
    granted: i64,
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is counted in this window.
    Taken(i64),
    /// The window has no room for it.
    Refused,
    /// The window may have room: a lease is needed.
    Ask,
}

impl Share {
    /// Nothing, of a window that is over.
    pub(super) const fn none(now: Instant) -> Self {
        Self { window: 0, ends: now, left: 0, granted: 0 }
    }

    /// Takes one request, under the limit as it is now. The limit of a window that is under way may be
    /// raised; a lowered one leaves what was leased.
    pub(super) fn take(&mut self, limit: i64, now: Instant) -> Step {
        if now >= self.ends {
            Step::Ask
        } else if self.left > 0 {
            self.left -= 1;
            Step::Taken(self.window)
        } else if self.granted < limit {
            Step::Ask
        } else {
            Step::Refused
        }
    }

    /// Puts one back, if the window that it was taken from is not over.
    pub(super) fn give_back(&mut self, window: i64, now: Instant) -> bool {
        let is_open = window == self.window && now < self.ends;
        self.left += i64::from(is_open);
        is_open
    }

    /// Adds a lease that was asked for at a time. The window ends `lease.ends_in` after the database looked
    /// at its clock, which was not before that time.
    pub(super) fn add(&mut self, lease: Lease, asked_at: Instant) {
        *self = Self {
            window: lease.window,
            ends: asked_at + lease.ends_in,
            left: lease.size,
            granted: lease.granted,
        };
    }

    /// How many are left under a limit: here, and in what nobody had been given.
    pub(super) fn remaining(&self, limit: i64) -> i64 {
        self.left.saturating_add((limit - self.granted).max(0))
    }

    pub(super) fn ends_in(&self, now: Instant) -> Duration {
        self.ends.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const WINDOW: i64 = 1;
    const TAKEN: Step = Step::Taken(WINDOW);

    fn leased(now: Instant, size: i64, granted: i64) -> Share {
        let mut share = Share::none(now);
        share.add(Lease { window: WINDOW, size, granted, ends_in: MINUTE }, now);
        share
    }

    #[test]
    fn a_lease_is_spent_and_then_more_is_asked_for_until_all_is_granted() {
        let now = Instant::now();
        assert_eq!(Share::none(now).take(10, now), Step::Ask);
        let mut share = leased(now, 2, 6);
        assert_eq!(share.remaining(10), 6);
        assert_eq!((share.take(10, now), share.take(10, now)), (TAKEN, TAKEN));
        assert_eq!((share.take(10, now), share.remaining(10)), (Step::Ask, 4));
        let mut share = leased(now, 1, 10);
        assert_eq!((share.take(10, now), share.take(10, now)), (TAKEN, Step::Refused));
        assert_eq!(share.remaining(10), 0);
    }

    #[test]
    fn a_raised_limit_is_asked_about_and_a_lowered_one_gives_no_more() {
        let now = Instant::now();
        let mut share = leased(now, 0, 10);
        assert_eq!((share.take(10, now), share.take(11, now)), (Step::Refused, Step::Ask));
        let mut share = leased(now, 1, 6);
        assert_eq!((share.take(3, now), share.take(3, now)), (TAKEN, Step::Refused));
        assert_eq!(share.remaining(3), 0);
    }

    #[test]
    fn nothing_outlives_its_window() {
        let now = Instant::now();
        let (mut share, over) = (leased(now, 5, 5), now + MINUTE);
        assert_eq!(share.ends_in(now), MINUTE);
        assert_eq!(share.take(10, over), Step::Ask);
        assert!(!share.give_back(WINDOW, over));
        assert!(share.give_back(WINDOW, now));
        assert_eq!((share.remaining(10), share.ends_in(over)), (11, Duration::ZERO));
    }

    #[test]
    fn what_the_window_before_gave_is_not_put_back_into_the_next() {
        let now = Instant::now();
        let mut share = leased(now, 1, 10);
        assert_eq!(share.take(10, now), TAKEN);
        let next = now + MINUTE;
        share.add(Lease { window: WINDOW + 1, size: 1, granted: 10, ends_in: MINUTE }, next);
        assert!(!share.give_back(WINDOW, next));
        assert_eq!(share.take(10, next), Step::Taken(WINDOW + 1));
        assert_eq!(share.take(10, next), Step::Refused);
        assert!(share.give_back(WINDOW + 1, next));
    }
}
