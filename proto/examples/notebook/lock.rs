//! `notebook_lock`: an ephemeral resource.

use std::time::{Duration, SystemTime};

use tfplugin::{Cx, Diagnostic, Diagnostics, EphemeralResource, Opened, Private, Renewed, Schema, Value};

use crate::store::{Store, failed};

/// Keeps others from writing while a run lasts.
#[derive(Schema)]
pub(crate) struct Lock {
    /// What is locked.
    #[attribute(required)]
    name: Value<String>,
    /// Shows that one has the lock.
    #[attribute(computed, sensitive)]
    token: Value<String>,
}

/// How long a lock is good for.
const LEASE: Duration = Duration::from_secs(60);

impl EphemeralResource for Lock {
    type Api = Store;

    const NAME: &'static str = "notebook_lock";

    async fn open(cx: &Cx<Store>, config: Self) -> Result<Opened<Self>, Diagnostics> {
        let name = config.name.as_deref().unwrap_or_default().to_owned();
        if !cx.api()?.lock_take(&name).map_err(failed("take the lock"))? {
            return Err(Diagnostic::error("Somebody else has the lock").at("name").into());
        }
        let opened = Self { token: Value::Known(format!("{name}-{}", std::process::id())), ..config };
        Ok(Opened::new(opened).lease("name", name).renew_at(SystemTime::now() + LEASE))
    }

    async fn renew(_cx: &Cx<Store>, lease: Private) -> Result<Renewed, Diagnostics> {
        Ok(Renewed { renew_at: Some(SystemTime::now() + LEASE), lease })
    }

    async fn close(cx: &Cx<Store>, lease: Private) -> Result<(), Diagnostics> {
        let name = lease.get_str("name").unwrap_or_default();
        Ok(cx.api()?.lock_release(name).map_err(failed("give the lock back"))?)
    }
}
