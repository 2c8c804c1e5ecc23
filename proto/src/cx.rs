//! What surrounds one call: the API, the deadline, cancellation, private data, warnings.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::calls::Calls;
use crate::{Client, Diagnostic, Diagnostics, Private};

/// What surrounds one call.
pub struct Cx<Api> {
    api: Option<Arc<Api>>,
    client: Arc<Client>,
    calls: Calls,
    stopped: CancellationToken,
    deadline: Instant,
    private: Mutex<Private>,
    warnings: Mutex<Diagnostics>,
}

impl<Api> Cx<Api> {
    pub(crate) fn new(
        api: Option<Arc<Api>>,
        client: Arc<Client>,
        calls: Calls,
        stopped: CancellationToken,
        timeout: Duration,
        private: Private,
    ) -> Self {
        let now = Instant::now();
        // A timeout beyond what a clock can hold is none; a century will do.
        let deadline = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(3_155_760_000));
        Self { api, client, calls, stopped, deadline, private: private.into(), warnings: Mutex::default() }
    }

    /// The provider's API.
    ///
    /// # Errors
    /// If the provider is not configured yet: its configuration depends on values that only an
    /// apply will know.
    pub fn api(&self) -> Result<&Api, Diagnostics> {
        self.api.as_deref().ok_or_else(|| {
            Diagnostic::error("The provider is not configured yet")
                .detail(
                    "Its configuration depends on values that are not known before apply. Apply what they come \
                     from first, with `-target`, or set them to values that are known.",
                )
                .into()
        })
    }

    /// Who is asking.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// When the operation has to be done: now, plus the time the user gave it under `timeouts`, or
    /// else the resource's `TIMEOUT`. Nothing stops an operation that takes longer; obey it.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Completes when the user has interrupted the run. What can be left off without harm should
    /// be; what is half done should be brought to where it can be saved.
    pub async fn cancelled(&self) {
        self.stopped.cancelled().await;
    }

    /// Whether the user has interrupted the run.
    pub fn is_cancelled(&self) -> bool {
        self.stopped.is_cancelled()
    }

    /// Awaits something that may be dropped half-way: a poll, a pause, a request that only reads.
    ///
    /// # Errors
    /// If the run is interrupted, or the deadline passes, before it is ready.
    pub async fn wait<T>(&self, what: impl Future<Output = T> + Send) -> Result<T, Diagnostics> {
        tokio::select! {
            biased;
            value = what => Ok(value),
            () = self.stopped.cancelled() => Err(Diagnostic::error("Interrupted").into()),
            () = tokio::time::sleep_until(self.deadline.into()) => Err(Diagnostic::error("Timed out")
                .detail("It took longer than it may. Where the resource has a `timeouts` attribute, it can be given more time there.")
                .into()),
        }
    }

    /// The same as a token, for code that has to look at it between its own steps.
    pub fn stopped(&self) -> CancellationToken {
        self.stopped.clone()
    }

    /// Completes once core has asked nothing else of this provider for so long: no other call was under
    /// way, but those that wait for this as well.
    ///
    /// There is no call that ends a plan, and its calls come in no order; so this is how a plan for one
    /// resource can take account of those for others. Whoever waits takes one of the places for calls at
    /// once (`-parallelism`), and holds up what depends on the resource: wait only where there is
    /// something to tell, and not for long. Streams (lists, actions) do not count as calls.
    pub async fn quiet(&self, spell: Duration) {
        self.calls.quiet(spell).await;
    }

    /// Whether core has begun to apply: it plans each resource once more then, when others have been
    /// changed already.
    pub fn is_applying(&self) -> bool {
        self.calls.is_applying()
    }

    /// Completes once core has begun to apply.
    pub async fn applying(&self) {
        self.calls.applying().await;
    }

    /// The bytes kept under a key beside the resource's state.
    pub fn private_get(&self, key: &str) -> Option<Vec<u8>> {
        self.private().get(key).map(<[u8]>::to_vec)
    }

    /// Keeps bytes under a key beside the resource's state. No place for a secret: the state file
    /// is not encrypted.
    pub fn private_set(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        self.private().set(key, bytes);
    }

    /// Forgets what is kept under a key.
    pub fn private_remove(&self, key: &str) {
        self.private().remove(key);
    }

    /// Tells the user something beside the result.
    pub fn warn(&self, warning: Diagnostic) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }

    fn private(&self) -> MutexGuard<'_, Private> {
        // A panic while it is held has left it whole: every change is one insert or remove.
        self.private.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn private_wire(&self) -> bytes::Bytes {
        self.private().to_wire()
    }

    pub(crate) fn take_warnings(&self) -> Diagnostics {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
