//! Turns: of one tenant's batches, a replica counts one at a time.
//!
//! They hold the tenant's row one after another anyway. Here they wait for that without a connection in
//! hand, of which a tenant that sends hundreds at once would leave none for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use integraci_api::{Problem, ProblemCode, TenantId};
use tokio::sync::OwnedMutexGuard;

use crate::error::Error;

/// How many batches of a tenant are here at once, the one whose turn it is among them: some senders side by
/// side, and at most as many MiB.
const HERE_MAX: usize = 64;
/// When there should be room again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The tenants that have batches here.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<TenantId, Here>>>);

/// The batches of one tenant.
#[derive(Default)]
struct Here {
    count: usize,
    /// Held by the one whose turn it is.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A batch's place among those of its tenant.
struct Place {
    turns: Turns,
    tenant: TenantId,
}

/// A batch's turn, until this is dropped.
pub(super) struct Turn {
    _turn: OwnedMutexGuard<()>,
    _place: Place,
}

impl Turns {
    /// Waits for a batch's turn, in the order in which they came.
    ///
    /// # Errors
    /// `rate_limited` where too many of the tenant's wait already.
    pub(super) async fn turn(&self, tenant: TenantId) -> Result<Turn, Error> {
        let Some((place, turn)) = self.enter(tenant) else {
            let detail =
                format!("{HERE_MAX} batches of the tenant are being counted; send fewer at once, and larger");
            let problem = Box::new(Problem::new(ProblemCode::RateLimited, detail));
            return Err(Error::Later { problem, retry_after: RETRY_AFTER });
        };
        Ok(Turn { _turn: turn.lock_owned().await, _place: place })
    }

    fn enter(&self, tenant: TenantId) -> Option<(Place, Arc<tokio::sync::Mutex<()>>)> {
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let here = tenants.entry(tenant).or_default();
        if here.count == HERE_MAX {
            return None;
        }
        here.count += 1;
        Some((Place { turns: self.clone(), tenant }, Arc::clone(&here.turn)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tenants = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = tenants.get_mut(&self.tenant) {
            here.count -= 1;
            if here.count == 0 {
                tenants.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_tenant_has_one_turn_and_nothing_is_left_of_it() {
        let (turns, tenant) = (Turns::default(), TenantId::from_uuid(Uuid::from_u128(1)));
        let first = turns.turn(tenant).await.unwrap();
        let mut second = Box::pin(turns.turn(tenant));
        assert!((&mut second).now_or_never().is_none());
        assert!(turns.turn(TenantId::from_uuid(Uuid::from_u128(2))).await.is_ok(), "another's own");
        drop(first);
        drop(second.await.unwrap());
        assert!(turns.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn too_many_are_sent_away_and_who_gives_up_makes_room() {
        let (turns, tenant) = (Turns::default(), TenantId::from_uuid(Uuid::from_u128(1)));
        let mut waiting: Vec<_> = (0..HERE_MAX).map(|_| Box::pin(turns.turn(tenant))).collect();
        let held: Vec<_> = waiting.iter_mut().map(|turn| turn.now_or_never()).collect();
        assert_eq!(held.iter().filter(|turn| turn.is_some()).count(), 1);
        let refused = turns.turn(tenant).await.err();
        assert!(
            matches!(refused, Some(Error::Later { problem, .. }) if problem.code == ProblemCode::RateLimited)
        );
        waiting.pop();
        let mut room = Box::pin(turns.turn(tenant));
        assert!((&mut room).now_or_never().is_none(), "it waits");
        drop((held, waiting, room));
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
