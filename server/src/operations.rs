//! Operations as callers follow them: read, or waited for until they change.

use std::time::Duration;

use integraci_api::OperationId;
use integraci_api::operations::Operation;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::accounts::Caller;
use crate::error::Error;
use crate::saga::log;
use crate::store::{Changes, Store};

/// How long a wait goes by notices alone: one may be lost while the listener reconnects.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Reads operations.
#[derive(Clone)]
pub struct Operations {
    store: Store,
    changes: Changes,
    stop: CancellationToken,
}

impl Operations {
    /// Operations kept in this store, whose changes are heard there. Once `stop` is cancelled nobody is
    /// made to wait any more.
    #[must_use]
    pub const fn new(store: Store, changes: Changes, stop: CancellationToken) -> Self {
        Self { store, changes, stop }
    }

    /// The operation, once it has settled or differs from revision `seen`, or after `longest`. Without
    /// `seen`, what is there now is what it must differ from. No connection is held while waiting.
    ///
    /// # Errors
    /// `not_found`, or the store's.
    pub async fn wait(
        &self,
        by: &Caller,
        id: OperationId,
        seen: Option<i64>,
        longest: Duration,
    ) -> Result<Operation, Error> {
        let until = Instant::now() + longest;
        // Watched before it is read: a change in between is heard.
        let mut watch = self.changes.watch();
        let mut operation = self.read(by, id).await?;
        let seen = seen.unwrap_or(operation.revision);
        while !operation.state.is_settled() && operation.revision <= seen {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stop.is_cancelled() {
                break;
            }
            self.stop.run_until_cancelled(watch.changed(id, left.min(LOOK_EVERY))).await;
            operation = self.read(by, id).await?;
        }
        Ok(operation)
    }

    async fn read(&self, by: &Caller, id: OperationId) -> Result<Operation, Error> {
        let found = match by.bound_to() {
            Some(tenant) => log::operation_get(&mut self.store.tenant_tx(tenant).await?, id).await?,
            None => log::operation_get(&mut self.store.platform_tx().await?, id).await?,
        };
        found.ok_or_else(Error::not_found)
    }
}
