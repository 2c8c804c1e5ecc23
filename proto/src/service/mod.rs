//! The protocol's methods, each answered for whatever types a provider has.
//!
//! A file a group of methods. All of them work on untyped values and schemas; the provider's own
//! code is behind the trait objects of [`erased`], and runs under [`guard`].

mod apply;
mod catalogue;
mod convert;
mod data_source;
mod describe;
mod ephemeral;
mod erased;
mod function;
mod guard;
mod import;
mod plan;
mod plugin;
mod provider;
mod resource;
mod rpc;
mod state_store;
mod stream;
mod validate;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(crate) use catalogue::Catalogue;
pub(crate) use guard::install_panic_hook;
pub(crate) use plugin::Plugin;

use crate::attribute::timeout_of;
use crate::calls::Calls;
use crate::schema::ObjectSchema;
use crate::value::Dynamic;
use crate::{Client, Cx, Diagnostic, Diagnostics, Private};

/// Answers core for one provider. Cheap to clone.
pub(crate) struct Service<Api>(Arc<Inner<Api>>);

struct Inner<Api> {
    catalogue: Catalogue<Api>,
    configured: RwLock<Configured<Api>>,
    calls: Calls,
    stopped: Mutex<CancellationToken>,
}

/// What ConfigureProvider has left.
struct Configured<Api> {
    api: Option<Arc<Api>>,
    client: Arc<Client>,
}

impl<Api> Clone for Service<Api> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Api: Send + Sync + 'static> Service<Api> {
    pub(crate) fn new(catalogue: Catalogue<Api>) -> Self {
        Self(Arc::new(Inner {
            catalogue,
            configured: RwLock::new(Configured { api: None, client: Arc::default() }),
            calls: Calls::default(),
            stopped: Mutex::default(),
        }))
    }

    fn catalogue(&self) -> &Catalogue<Api> {
        &self.0.catalogue
    }

    fn calls(&self) -> &Calls {
        &self.0.calls
    }

    fn configure(&self, api: Option<Arc<Api>>, client: Client) {
        self.calls().set_applying(false);
        *self.0.configured.write().unwrap_or_else(PoisonError::into_inner) =
            Configured { api, client: Arc::new(client) };
    }

    /// What surrounds a call that begins now.
    fn cx(&self, timeout: Duration, private: Private) -> Cx<Api> {
        let stopped = self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let configured = self.0.configured.read().unwrap_or_else(PoisonError::into_inner);
        Cx::new(
            configured.api.clone(),
            configured.client.clone(),
            self.calls().clone(),
            stopped,
            timeout,
            private,
        )
    }

    /// Tells every call under way that the user has interrupted. Calls that begin later, such as
    /// closing what is open, are not meant.
    fn stop(&self) {
        let stopped = std::mem::take(&mut *self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner));
        stopped.cancel();
    }
}

/// How long an operation may take: what is set under `timeouts`, or else that.
fn timeout(schema: &ObjectSchema, value: &Dynamic, operation: &str, or: Duration) -> Duration {
    let own = schema.attributes.iter().find(|own| own.timeouts);
    let set = own.and_then(|own| match value {
        Dynamic::Object(fields) => fields.get(&own.name),
        _ => None,
    });
    set.and_then(|set| timeout_of(set, operation)).unwrap_or(or)
}

/// Awaits what may be dropped half-way: when the user interrupts, it is.
async fn interruptible<Api, T>(
    cx: &Cx<Api>,
    code: impl Future<Output = Result<T, Diagnostics>> + Send,
) -> Result<T, Diagnostics> {
    tokio::select! {
        biased;
        outcome = code => outcome,
        () = cx.cancelled() => Err(Diagnostic::error("Interrupted").into()),
    }
}

/// What a method makes, and what it tells the user beside it.
struct Told<T> {
    made: Option<T>,
    diags: Diagnostics,
}

impl<T> Told<T> {
    fn new<Api>(cx: &Cx<Api>, outcome: Result<T, Diagnostics>) -> Self {
        let mut diags = cx.take_warnings();
        let made = outcome.map_err(|errors| diags.append(errors)).ok();
        Self { made, diags }
    }
}
