//! Actions: things to do that leave no state.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::{AttributeSet, Cx, Diagnostics};

/// An action, invoked from the command line or around a change of a resource. The struct is its
/// configuration.
pub trait Action: AttributeSet {
    /// The provider's [`Api`](crate::Provider::Api).
    type Api: Send + Sync + 'static;

    /// The name as users write it.
    const NAME: &'static str;

    /// How long it may take for which the user has set nothing under `timeouts`.
    const TIMEOUT: Duration = Duration::from_secs(20 * 60);

    /// Checks what a validator for one attribute cannot. Anything may be unknown yet.
    fn validate(config: &Self, diags: &mut Diagnostics) {
        let _ = (config, diags);
    }

    /// Objects while there is still time to, or warns.
    fn plan(cx: &Cx<Self::Api>, config: Self) -> impl Future<Output = Result<(), Diagnostics>> + Send {
        let _ = (cx, config);
        async { Ok(()) }
    }

    /// Does it.
    fn invoke(
        cx: &Cx<Self::Api>,
        config: Self,
        progress: &Progress,
    ) -> impl Future<Output = Result<(), Diagnostics>> + Send;
}

/// Tells the user how an action is getting on.
pub struct Progress(mpsc::Sender<String>);

impl Progress {
    pub(crate) fn new(messages: mpsc::Sender<String>) -> Self {
        Self(messages)
    }

    /// Shows one line.
    pub async fn say(&self, message: impl Into<String>) {
        // If core has gone, there is nobody to tell, and the action should still be finished.
        let _ = self.0.send(message.into()).await;
    }
}
