//! Drives `terraform` and `tofu` against the real control plane on real systems.
//!
//! - [`World`] is a control plane of its own; most scenarios use [`World::shared`].
//! - [`Workdir`] is a user's directory, in which a [`Cli`] plans and applies.
//! - [`Api`] is the HTTP API as any client sees it; [`OpenBao`] and [`World::count`] look behind it.
//!
//! The platform (Postgres, OpenBao) is started around the whole run: `make test`, or
//! `local-platform with postgres openbao -- cargo test -p acceptance-tests`. The programs under test
//! are the ones in `target/PROFILE`. A scenario is a function over the CLI, run for both: see
//! [`for_each_cli!`].

pub mod admin;
pub mod api;
pub mod binaries;
pub mod cli;
pub mod fakes;
pub mod far;
pub mod faults;
pub mod gate;
pub mod kinds;
pub mod leaks;
pub mod nats;
pub mod openbao;
pub mod process;
pub mod remains;
pub mod runtime;
pub mod scratch;
pub mod workdir;
pub mod world;

pub use admin::Admin;
pub use api::{Answer, Api, new_slug};
pub use cli::{Cli, Diagnostic, Ran};
pub use faults::Faults;
pub use gate::{Gate, Mode};
pub use openbao::OpenBao;
pub use workdir::Workdir;
pub use world::{Server, World};

/// Makes a test for each CLI of each scenario, a function `fn(Cli) -> anyhow::Result<()>`.
#[macro_export]
macro_rules! for_each_cli {
    ($($scenario:ident),+ $(,)?) => {
        $(
            mod $scenario {
                #[test]
                fn terraform() -> anyhow::Result<()> {
                    super::$scenario($crate::Cli::Terraform)
                }

                #[test]
                fn tofu() -> anyhow::Result<()> {
                    super::$scenario($crate::Cli::Tofu)
                }
            }
        )+
    };
}
