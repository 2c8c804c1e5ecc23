//! Ephemeral resources: opened for one run, never stored.

use std::time::{Duration, SystemTime};

use crate::{AttributeSet, Cx, Diagnostics, Private};

/// An ephemeral resource: a credential, a tunnel, a lock. Opened in plan and again in apply,
/// renewed if need be, and closed at the end.
pub trait EphemeralResource: AttributeSet {
    /// The provider's [`Api`](crate::Provider::Api).
    type Api: Send + Sync + 'static;

    /// The name as users write it.
    const NAME: &'static str;

    /// How long one call may take for which the user has set nothing under `timeouts`. OpenTofu
    /// itself gives a close 10 seconds.
    const TIMEOUT: Duration = Duration::from_secs(5 * 60);

    /// Checks what a validator for one attribute cannot. Anything may be unknown yet.
    fn validate(config: &Self, diags: &mut Diagnostics) {
        let _ = (config, diags);
    }

    /// Opens it. Everything in the configuration is known, and must come back unchanged.
    fn open(
        cx: &Cx<Self::Api>,
        config: Self,
    ) -> impl Future<Output = Result<Opened<Self>, Diagnostics>> + Send;

    /// Renews it, some time after the moment that [`Opened::renew_at`] gave.
    fn renew(
        cx: &Cx<Self::Api>,
        lease: Private,
    ) -> impl Future<Output = Result<Renewed, Diagnostics>> + Send {
        let _ = cx;
        async { Ok(Renewed { renew_at: None, lease }) }
    }

    /// Closes it. Terraform gives what `open` returned, even after renewals: keep there a lease id
    /// that stays the same.
    fn close(cx: &Cx<Self::Api>, lease: Private) -> impl Future<Output = Result<(), Diagnostics>> + Send {
        let _ = (cx, lease);
        async { Ok(()) }
    }
}

/// An opened ephemeral resource.
pub struct Opened<T> {
    pub(crate) result: T,
    pub(crate) renew_at: Option<SystemTime>,
    pub(crate) lease: Private,
}

impl<T> Opened<T> {
    /// With these values.
    pub fn new(result: T) -> Self {
        Self { result, renew_at: None, lease: Private::default() }
    }

    /// To be renewed at that time.
    #[must_use]
    pub fn renew_at(mut self, time: SystemTime) -> Self {
        self.renew_at = Some(time);
        self
    }

    /// Keeps bytes for `renew` and `close`; in memory only.
    #[must_use]
    pub fn lease(mut self, key: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.lease.set(key, bytes);
        self
    }
}

/// A renewed ephemeral resource.
pub struct Renewed {
    /// When to renew it again; `None`: not again.
    pub renew_at: Option<SystemTime>,
    /// What to keep for the next renewal.
    pub lease: Private,
}
