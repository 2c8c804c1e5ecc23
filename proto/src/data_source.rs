//! Data sources: what a provider's author writes.

use std::time::Duration;

use crate::{AttributeSet, Cx, Diagnostics};

/// A data source. The struct is both what the user asks with and what comes back.
pub trait DataSource: AttributeSet {
    /// The provider's [`Api`](crate::Provider::Api).
    type Api: Send + Sync + 'static;

    /// The name as users write it.
    const NAME: &'static str;

    /// How long a read may take for which the user has set nothing under `timeouts`.
    const TIMEOUT: Duration = Duration::from_secs(10 * 60);

    /// Checks what a validator for one attribute cannot. Anything may be unknown yet.
    fn validate(config: &Self, diags: &mut Diagnostics) {
        let _ = (config, diags);
    }

    /// Reads it. Everything in the configuration is known, and must come back unchanged.
    fn read(cx: &Cx<Self::Api>, config: Self) -> impl Future<Output = Result<Self, Diagnostics>> + Send;
}
