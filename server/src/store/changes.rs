//! Tells those who wait for an operation that it changed, on whichever replica it changed.
//!
//! Whoever changes an operation runs `SELECT pg_notify('operation', <uuid>)` in the same
//! transaction; Postgres delivers it at commit to every replica that listens. It is a hint, never
//! the truth: who is woken reads the row, and who waits also looks by itself now and then, so a lost
//! notice costs time and nothing else.

use std::time::Duration;

use integraci_api::OperationId;
use sqlx::postgres::PgListener;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Store;

/// The channel that changes of operations are told on.
const CHANNEL: &str = "operation";
/// Notices kept for a slow waiter; one that misses some looks by itself.
const BACKLOG: usize = 1024;
/// How long to wait before listening anew after the connection broke.
const RELISTEN_AFTER: Duration = Duration::from_secs(1);

/// The ear of this replica.
#[derive(Clone)]
pub struct Changes {
    heard: broadcast::Sender<OperationId>,
}

/// One waiter's view of the changes.
pub struct Watch {
    heard: broadcast::Receiver<OperationId>,
}

impl Default for Changes {
    fn default() -> Self {
        Self { heard: broadcast::channel(BACKLOG).0 }
    }
}

impl Changes {
    /// Starts to watch; what changes from now on is not missed.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch { heard: self.heard.subscribe() }
    }

    /// Listens until told to stop, and anew whenever the connection breaks.
    pub async fn listen(self, store: Store, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                result = self.listen_once(&store) => {
                    if let Err(error) = result {
                        tracing::warn!(error = %error, "the database's notices broke off; listening anew");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RELISTEN_AFTER) => {}
            }
        }
    }

    async fn listen_once(&self, store: &Store) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(store.platform_pool()).await?;
        listener.listen(CHANNEL).await?;
        loop {
            let notice = listener.recv().await?;
            if let Ok(uuid) = Uuid::try_parse(notice.payload()) {
                // No one waiting is no fault.
                let _ = self.heard.send(OperationId::from_uuid(uuid));
            }
        }
    }
}

impl Watch {
    /// Returns when this operation may have changed, or after `longest`.
    pub async fn changed(&mut self, operation: OperationId, longest: Duration) {
        let wait = async {
            loop {
                match self.heard.recv().await {
                    Ok(id) if id == operation => return,
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => return,
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        // Either way the caller looks at the row.
        let _ = tokio::time::timeout(longest, wait).await;
    }

    /// Returns when any operation may have changed, or after `longest`.
    pub async fn any_changed(&mut self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.heard.recv()).await;
    }
}
