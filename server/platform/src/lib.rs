//! `local-platform`: the real Postgres, OpenBao, NATS, Keycloak, Kubernetes and container registry,
//! on one machine, for the demo, the tests and the benchmarks.
//!
//! ```no_run
//! # async fn example() -> Result<(), local_platform::Error> {
//! use local_platform::{Platform, Progress, System, Wanted};
//!
//! let wanted = Wanted::of([System::Postgres, System::OpenBao]);
//! let platform = Platform::start(".demo".as_ref(), &wanted, &Progress::stderr()).await?;
//! let postgres = platform.endpoints().postgres()?;
//! // … use it …
//! platform.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Cache`] gets each system once and keeps it, by version.
//! - [`Platform`] starts what is [`Wanted`] in a data directory and stops it.
//! - [`Endpoints`] says where they are; a test reads them with [`Endpoints::from_env`].
//! - [`far_side`] is the other end of a connector: a webhook receiver and a container registry.
//!
//! It knows nothing of `IntegraCI`: no tenant, no migration, no product configuration.
//! The data directory is its only memory, and a second start on it finds the same data.

mod cache;
mod data_dir;
mod endpoints;
mod error;
pub mod far_side;
mod platform;
mod ports;
mod process;
mod process_id;
mod progress;
mod system;
mod systems;
mod user;
mod with;

pub use cache::{Cache, terraform};
pub use data_dir::{Held, holder};
pub use endpoints::{
    ENV as ENDPOINTS_ENV, Endpoints, Keycloak, Kubernetes, Nats, OpenBao, Postgres, Registry,
};
pub use error::Error;
pub use platform::Platform;
pub use process_id::ProcessId;
pub use progress::Progress;
pub use system::{System, Wanted};
pub use with::with;
