//! How many requests a token, and a tenant, may make in a window of time, by all replicas together.
//!
//! Windows stand still: each begins at a whole minute of the database's clock, so that the replicas' own
//! clocks do not matter. A replica takes from the window a few per cent of the limit at a time (`lease`)
//! and spends that by itself; what it has left when the window ends is lost. So all replicas together never
//! let more through than the limit, each may leave a lease unspent, and the database is asked some tens of
//! times in a window and not once a request. A limit too small to be divided is taken one by one.
//!
//! When the database is away nothing is let through. To let through uncounted would help nobody: whose a
//! token is, is asked of the same database first.
//!
//! Knows nothing of HTTP. Who has no token that is accepted is not counted here: of such a request a
//! replica does no more than look for the token's digest by an index, and not even that where the token's
//! checksum is wrong; how many come in is for what stands in front.

mod lease;
mod share;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::accounts::Caller;
use crate::store::{Store, StoreError};
pub use lease::granted;
use share::{Share, Step};

/// What a minute's limits are counted in.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Into how many leases a window's limit is divided: a replica asks the database about as often, and
/// leaves at most one of them unspent.
const LEASES: i64 = 32;
/// The most tokens and tenants of which a replica knows what it has left. Each was let in within a window or
/// two, so no platform of honest size has as many.
const SHARES_MAX: usize = 100_000;

/// Counts the requests of one replica.
#[derive(Clone)]
pub struct RequestLimits {
    store: Store,
    per_token: i64,
    window: Duration,
    shares: Arc<Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<Share>>>>>,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of one token.
    Token,
    /// Those of all tokens of a tenant.
    Tenant,
}

/// One limit that a request falls under, and how it stands now that the request was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whose requests are counted.
    pub whose: Whose,
    /// The most in a window.
    pub limit: i64,
    /// How long a window is.
    pub window: Duration,
    /// How many are left of it, as far as this replica knows: the others may have taken some since.
    pub remaining: i64,
    /// How long until it ends.
    pub ends_in: Duration,
    /// Whether it has room for this request.
    pub has_room: bool,
}

impl RequestLimits {
    /// Counts in this store: so many requests in a window for a token, and for a tenant as many as its
    /// quota says.
    #[must_use]
    pub fn new(store: Store, per_token: i64, window: Duration) -> Self {
        Self { store, per_token, window, shares: Arc::default() }
    }

    /// Counts a request of a caller: how each limit that it falls under stands. It may go on if all of
    /// them have room; if one has none, it is counted under none.
    ///
    /// # Errors
    /// The store's.
    pub async fn count(&self, caller: &Caller) -> Result<Vec<Standing>, StoreError> {
        let token = (Whose::Token, caller.token().uuid(), self.per_token);
        let tenant = caller.bound_to().zip(caller.requests_per_minute());
        let tenant = tenant.map(|(tenant, limit)| (Whose::Tenant, tenant.uuid(), limit));
        let mut standings = Vec::with_capacity(2);
        let mut taken = Vec::with_capacity(2);
        for (whose, subject, limit) in [token].into_iter().chain(tenant) {
            let share = self.share(subject);
            let (standing, window) = self.take(&share, whose, subject, limit).await?;
            if let Some(window) = window {
                taken.push((share, window, standings.len()));
            }
            standings.push(standing);
        }
        if taken.len() < standings.len() {
            for (share, window, n) in taken {
                if share.lock().await.give_back(window, Instant::now()) {
                    standings[n].remaining += 1;
                }
            }
        }
        Ok(standings)
    }

    /// Takes one request out of a subject's share, and a lease first where that is used up. Of several
    /// requests at once one asks the database, and the others wait for it. Says of which window it was taken,
    /// if it was.
    async fn take(
        &self,
        share: &tokio::sync::Mutex<Share>,
        whose: Whose,
        subject: Uuid,
        limit: i64,
    ) -> Result<(Standing, Option<i64>), StoreError> {
        let mut share = share.lock().await;
        loop {
            let now = Instant::now();
            let window = match share.take(limit, now) {
                Step::Taken(window) => Some(window),
                Step::Refused => None,
                Step::Ask => {
                    let lease =
                        lease::take(&self.store, subject, limit, lease_size(limit), self.window).await?;
                    share.add(lease, now);
                    continue;
                }
            };
            let (remaining, ends_in) = (share.remaining(limit), share.ends_in(now));
            let has_room = window.is_some();
            let standing = Standing { whose, limit, window: self.window, remaining, ends_in, has_room };
            return Ok((standing, window));
        }
    }

    /// What this replica has of a subject.
    fn share(&self, subject: Uuid) -> Arc<tokio::sync::Mutex<Share>> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if shares.len() >= SHARES_MAX && !shares.contains_key(&subject) {
            // What was leased and not spent is lost, as at a window's end: fewer are let through, never more.
            shares.clear();
        }
        shares
            .entry(subject)
            .or_insert_with(|| Arc::new(tokio::sync::Mutex::new(Share::none(Instant::now()))))
            .clone()
    }

    /// Forgets windows that are over, here and in the store, from time to time.
    pub async fn forget_old(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(self.window)).await.is_some() {
            self.forget_shares();
            if let Err(error) = lease::forget(&self.store, self.window).await {
                tracing::warn!(%error, "old windows of requests are still there");
            }
        }
    }

    fn forget_shares(&self) {
        let now = Instant::now();
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is locked is in use.
        shares.retain(|_, share| share.try_lock().map_or(true, |share| !share.ends_in(now).is_zero()));
    }
}

/// How much of a limit is leased at a time.
fn lease_size(limit: i64) -> i64 {
    (limit / LEASES).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_limits_are_leased_one_by_one_and_large_ones_by_a_few_per_cent() {
        for (limit, size) in [(0, 1), (1, 1), (63, 1), (64, 2), (6_000, 187), (i64::MAX, i64::MAX / LEASES)] {
            assert_eq!(lease_size(limit), size, "{limit}");
        }
    }
}
