//! How each system is configured, started and waited for; one file each.

mod keycloak;
mod kubernetes;
mod nats;
mod openbao;
mod postgres;
mod registry;

use std::path::PathBuf;

use crate::data_dir::SystemDir;
use crate::process::Service;
use crate::{Endpoints, Error, System};

/// What a system is started with.
#[derive(Debug)]
pub(crate) struct Start {
    /// The directory in the cache that its programs are in.
    pub(crate) programs: PathBuf,
    /// Where its data, secrets and logs are.
    pub(crate) dir: SystemDir,
    /// Whether the data need not survive a crash of the machine.
    pub(crate) throwaway: bool,
}

/// Starts a system and returns when it is ready, with its endpoint among otherwise empty ones.
pub(crate) async fn start(system: System, start: &Start) -> Result<(Service, Endpoints), Error> {
    match system {
        System::Postgres => postgres::start(start).await,
        System::OpenBao => openbao::start(start).await,
        System::Nats => nats::start(start).await,
        System::Keycloak => keycloak::start(start).await,
        System::Kubernetes => kubernetes::start(start).await,
        System::Registry => registry::start(start).await,
    }
}

/// A client for talking to a system on this machine: no proxy, and nothing that waits for ever.
pub(crate) fn local_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(10))
}
