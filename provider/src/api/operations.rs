//! Operations: the long work that a `202` stands for.

use std::time::Duration;

use integraci_api::operations::{Operation, OperationState};
use integraci_api::{OperationId, ProblemCode};
use reqwest::Method;
use tokio::time::Instant;

use super::send::Call;
use super::{Api, Error, Patience, pace};

/// How long the server holds the line for a change: long enough to make few requests, short enough
/// for any proxy.
const HELD: Duration = Duration::from_secs(20);
/// How long the server may be away while an operation is under way. A restart, a failover or an
/// upgrade takes less; the operation itself survives all of them.
const OUTAGE_MAX: Duration = Duration::from_secs(60);
/// The least time between two looks, for a server (or a proxy) that does not hold the line.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long another operation may hold a thing before that is an error. Most end in seconds; one
/// that is stuck waits for an operator, and nobody should wait with it.
const BUSY_MAX: Duration = Duration::from_secs(120);
/// How often a thing is asked for that another operation holds.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

impl Api {
    /// Asks for a change, and again while another operation holds the thing: one that an earlier,
    /// interrupted apply started, for instance.
    ///
    /// # Errors
    /// Those of `ask`; `busy` when the other operation does not end soon.
    pub async fn once_free<T, F>(&self, patience: &Patience, ask: impl Fn() -> F + Send) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let since = Instant::now();
        loop {
            match ask().await {
                Err(error)
                    if error.code() == Some(ProblemCode::Busy)
                        && since.elapsed() < BUSY_MAX
                        && Instant::now() + BUSY_PAUSE < patience.until =>
                {
                    patience.sleep(BUSY_PAUSE).await?;
                }
                answer => return answer,
            }
        }
    }

    /// The operation as it is now.
    async fn operation(&self, id: OperationId, patience: &Patience) -> Result<Operation, Error> {
        let call = Call::new(Method::GET, format!("operations/{id}"));
        self.fetch(&call, "operation", patience).await
    }

    /// Waits for the operation that a thing names as under way, and for those that come after it; the thing
    /// as it is then.
    ///
    /// # Errors
    /// Those of [`Self::operation_wait`], and of `read`.
    pub(super) async fn settled<T: Send, F>(
        &self,
        mut thing: T,
        under_way: fn(&T) -> Option<OperationId>,
        read: impl Fn() -> F + Send,
        patience: &Patience,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        while let Some(id) = under_way(&thing) {
            let operation = self.operation(id, patience).await?;
            self.operation_wait(operation, patience).await?;
            thing = read().await?;
            if under_way(&thing) == Some(id) {
                // It has succeeded, so it is no longer under way: a server that says otherwise is not to be
                // waited for again and again.
                break;
            }
        }
        Ok(thing)
    }

    /// Waits for an accepted operation to succeed.
    ///
    /// # Errors
    /// [`Error::Operation`] when it fails or is stuck, [`Error::Unfinished`] when patience or the
    /// server's absence ends the wait, [`Error::Stopped`] when Terraform is interrupted.
    pub async fn operation_wait(&self, accepted: Operation, patience: &Patience) -> Result<Operation, Error> {
        let mut last = accepted;
        let mut away_since = None;
        loop {
            match last.state {
                OperationState::Succeeded => return Ok(last),
                OperationState::Failed | OperationState::Stuck => {
                    return Err(Error::Operation(Box::new(last)));
                }
                OperationState::Running | OperationState::Undoing => {}
            }
            let asked_at = Instant::now();
            let left = patience.until.saturating_duration_since(asked_at);
            if left.is_zero() {
                return Err(Error::Unfinished(Box::new(last)));
            }
            let seen = last.revision;
            match self.operation_read(&last, HELD.min(left), patience).await {
                Ok(newer) => {
                    away_since = None;
                    last = newer;
                    if last.revision == seen && asked_at.elapsed() < LOOK_EVERY {
                        patience.sleep(LOOK_EVERY).await?;
                    }
                }
                Err(error) if error.is_outage() => {
                    let since = *away_since.get_or_insert(asked_at);
                    if since.elapsed() >= OUTAGE_MAX {
                        return Err(Error::Unfinished(Box::new(last)));
                    }
                    tracing::info!(operation = %last.id, "the server is away, still waiting: {error}");
                    patience.sleep(pace::PAUSE_MAX.min(left)).await?;
                }
                Err(Error::NoTimeLeft { .. }) => return Err(Error::Unfinished(Box::new(last))),
                Err(error) => return Err(error),
            }
        }
    }

    /// The operation as soon as it changes, or as it is when the server stops holding the line.
    async fn operation_read(
        &self,
        last: &Operation,
        held: Duration,
        patience: &Patience,
    ) -> Result<Operation, Error> {
        let call = Call::new(Method::GET, format!("operations/{}", last.id))
            .query("wait_s", Some(held.as_secs()))
            .query("seen", Some(last.revision))
            .held(held);
        tokio::select! {
            () = patience.stopped.cancelled() => Err(Error::Stopped),
            newer = self.fetch(&call, "operation", patience) => newer,
        }
    }
}
