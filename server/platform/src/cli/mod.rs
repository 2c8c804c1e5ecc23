//! The subcommands, one file each where it is more than a few lines.

mod far_side;
mod get;
mod run;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use local_platform::{Progress, System, Wanted};

/// Starts the real systems that IntegraCI works with on this machine.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Starts systems and keeps them running until Ctrl-C or `stop`.
    Start {
        #[command(flatten)]
        dir: DataDir,
        /// Which; those that the platform is made of when none is named.
        #[arg(value_delimiter = ',')]
        systems: Vec<System>,
    },
    /// Stops the systems that `start` runs.
    Stop {
        #[command(flatten)]
        dir: DataDir,
    },
    /// Says what runs, and where.
    Status {
        #[command(flatten)]
        dir: DataDir,
    },
    /// Gets systems, `tofu` or `terraform` ready, and prints where they are.
    Get {
        /// Which; all systems when none is named.
        #[arg(value_delimiter = ',')]
        names: Vec<get::Item>,
    },
    /// Runs a command beside systems of its own, which are gone when it ends.
    ///
    /// INTEGRACI_PLATFORM is the path of a file that says where they are. Nothing waits for the disk,
    /// and the data is removed at the end.
    With {
        /// Which systems.
        #[arg(required = true, value_delimiter = ',')]
        systems: Vec<System>,
        /// The command.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Serves the other end of a connector: a webhook receiver and a container registry.
    FarSide(far_side::Args),
}

/// Where the data of the systems is.
#[derive(Debug, clap::Args)]
struct DataDir {
    /// The data directory [default: `integraci/platform` in the user's data directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl DataDir {
    fn path(self) -> anyhow::Result<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        self.dir
            .or_else(|| set("XDG_DATA_HOME").map(|data| data.join("integraci/platform")))
            .or_else(|| set("HOME").map(|home| home.join(".local/share/integraci/platform")))
            .context("HOME is not set: say where with --dir")
    }
}

impl Cli {
    pub(crate) async fn run(self) -> anyhow::Result<u8> {
        match self.verb {
            Verb::Start { dir, systems } => run::start(&dir.path()?, &wanted(systems)).await,
            Verb::Stop { dir } => run::stop(&dir.path()?).await,
            Verb::Status { dir } => run::status(&dir.path()?),
            Verb::Get { names } => get::run(names).await,
            Verb::With { systems, command } => {
                let wanted = Wanted::of(systems).throwaway();
                Ok(local_platform::with(&wanted, &command, &Progress::stderr()).await?)
            }
            Verb::FarSide(args) => far_side::run(args).await,
        }
    }
}

fn wanted(systems: Vec<System>) -> Wanted {
    if systems.is_empty() { Wanted::of(System::PLATFORM) } else { Wanted::of(systems) }
}
