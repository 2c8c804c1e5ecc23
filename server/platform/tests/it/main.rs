//! The real systems, started, used, stopped, and started again on the same data.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

mod far_side;
mod keycloak;
mod kubernetes;
mod nats;
mod openbao;
mod postgres;
mod registry;
mod with;

use std::path::Path;

use local_platform::{Platform, ProcessId, Progress, System, Wanted};

/// A platform of one system.
async fn started(dir: &Path, system: System) -> Platform {
    Platform::start(dir, &Wanted::of([system]), &Progress::stderr()).await.unwrap()
}

/// Stops it and sees that none of its processes is left.
async fn stopped(platform: Platform) {
    let ids: Vec<ProcessId> = platform.process_ids().into_iter().filter_map(ProcessId::of).collect();
    assert!(!ids.is_empty());
    platform.stop().await;
    assert!(ids.iter().all(|id| !id.is_alive()), "left behind: {ids:?}");
}
