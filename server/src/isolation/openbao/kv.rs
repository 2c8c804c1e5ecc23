//! What every key-value store of ours is: version 2, and every write with check-and-set.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Call, Client, SystemError, busy};

/// How many versions of a secret are kept; OpenBao then forgets the oldest, whether or not it is in force.
/// Versions whose values were destroyed count: each change that failed leaves one. Whoever writes a
/// version looks first that none that is needed would be forgotten.
pub(crate) const MAX_VERSIONS: u32 = 1000;

/// How long a new store is waited for: it is ready in milliseconds, on a busy node in some tens of
/// them, and a saga that came back later instead would cost every new tenant that time.
const SETUP_WAIT: Duration = Duration::from_secs(2);
const SETUP_POLL: Duration = Duration::from_millis(10);

/// What is mounted somewhere.
#[derive(Deserialize)]
pub(super) struct Mount {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    options: Option<BTreeMap<String, String>>,
}

impl Mount {
    pub(super) fn is_kv_2(&self) -> bool {
        self.kind == "kv"
            && self.options.as_ref().is_some_and(|options| options.get("version").is_some_and(|v| v == "2"))
    }
}

/// What of a store's configuration is ours to say.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoreConfig {
    cas_required: bool,
    max_versions: u32,
}

impl StoreConfig {
    pub(super) const WANTED: Self = Self { cas_required: true, max_versions: MAX_VERSIONS };
}

/// Configures a store, once it has set itself up.
pub(super) async fn configure(
    client: &Client,
    namespace: Option<&str>,
    mount: &str,
) -> Result<(), SystemError> {
    let body = serde_json::to_value(StoreConfig::WANTED).unwrap_or_default();
    let path = format!("{mount}/config");
    let asked_at = Instant::now();
    loop {
        let call = Call::post("kv_configure", &path).within(namespace).json(&body);
        match client.send(call).await {
            // To a body that is always the same, it means that the store is not set up yet.
            Err(early) if early.status == Some(400) => {
                if asked_at.elapsed() > SETUP_WAIT {
                    let class = busy(SETUP_WAIT);
                    return Err(SystemError { class, reason: "the store is still being set up", ..early });
                }
                tokio::time::sleep(SETUP_POLL).await;
            }
            done => return done.map(drop),
        }
    }
}
