//! The command line. What each command does is in the library; here are its arguments and its words.

#[cfg(feature = "dev")]
mod dev;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use integraci_api::tokens::{Scope, TokenCreate};
use integraci_api::{OperationId, TenantId};
use tokio_util::sync::CancellationToken;

use crate::accounts::Tokens;
use crate::config::Config;
use crate::serve::Replica;
use crate::source::Source;
use crate::store::{self, Store};
use crate::{doctor, http};

/// The IntegraCI control plane.
#[derive(Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct ConfigFile {
    /// The configuration file (TOML). The environment overrides it: INTEGRACI_SERVER__OPENBAO__TOKEN
    /// sets openbao.token.
    #[arg(long, env = "INTEGRACI_CONFIG")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(self.config.as_deref())?)
    }
}

#[derive(Subcommand)]
enum Command {
    /// Runs one replica of the server.
    Serve(ConfigFile),
    /// Brings the database to this build's schema.
    Migrate(ConfigFile),
    /// Prepares OpenBao, Keycloak and Kubernetes with the administrator's credentials of the
    /// configuration (admin_…), and writes the server's own credentials to the files it names.
    Setup(ConfigFile),
    /// Looks at the configuration and each system, and says what is wrong and how to mend it.
    Doctor(ConfigFile),
    /// Makes API tokens without one: the first, or one to get back in.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Looks after operations.
    Operation {
        #[command(subcommand)]
        command: OperationCommand,
    },
    /// Prints the API's OpenAPI description.
    Openapi,
    /// Starts the whole platform on this machine, for trying it out.
    #[cfg(feature = "dev")]
    Dev(dev::DevArgs),
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Makes a token and prints its value, once.
    Create {
        #[command(flatten)]
        config: ConfigFile,
        /// Name for people.
        #[arg(long)]
        name: String,
        /// The one tenant it is for; without it, a platform token.
        #[arg(long)]
        tenant: Option<TenantId>,
        /// What it may do, such as tenants:read; may be given many times; all when absent.
        #[arg(long = "scope", value_parser = scope)]
        scopes: Vec<Scope>,
    },
}

#[derive(Subcommand)]
enum OperationCommand {
    /// Sends a stuck operation on its way again, once its cause is mended.
    Resume {
        #[command(flatten)]
        config: ConfigFile,
        /// The operation, op_….
        id: OperationId,
    },
}

fn scope(word: &str) -> Result<Scope, String> {
    Scope::from_word(word).ok_or_else(|| {
        let known: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        format!("unknown scope; there are: {}", known.join(", "))
    })
}

impl Cli {
    /// Does what the command says.
    ///
    /// # Errors
    /// It could not be done; the message is for the person at the terminal.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(config) => serve(config.load()?).await,
            Command::Migrate(config) => migrate(&config.load()?).await,
            Command::Setup(config) => setup(&config.load()?).await,
            Command::Doctor(config) => report(&doctor::examine(&config.load()?).await),
            Command::Token { command: TokenCommand::Create { config, name, tenant, scopes } } => {
                let scopes = if scopes.is_empty() { Scope::ALL.to_vec() } else { scopes };
                let store = Store::new(&config.load()?.store)?;
                let wanted = TokenCreate { name, tenant_id: tenant, scopes, expires_at: None };
                let made = Tokens::new(store, Source::real()).bootstrap(wanted).await?;
                print(made.secret.expose())
            }
            Command::Operation { command: OperationCommand::Resume { config, id } } => {
                let store = Store::new(&config.load()?.store)?;
                let mut tx = store.platform_tx().await?;
                if !crate::saga::log::operation_resume(&mut tx, id).await? {
                    bail!("{id} is not stuck, or there is no such operation");
                }
                tx.commit().await?;
                print(&format!("{id} is on its way again"))
            }
            Command::Openapi => print(http::openapi_json().trim_end()),
            #[cfg(feature = "dev")]
            Command::Dev(args) => dev::run(args).await,
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let replica = Replica::start(config).await?;
    if let Some(address) = replica.metrics_address() {
        print(&format!("metrics at http://{address}/metrics"))?;
    }
    print(&format!("listening on http://{}", replica.address()?))?;
    Ok(replica.serve(stop).await?)
}

async fn migrate(config: &Config) -> anyhow::Result<()> {
    let admin =
        config.admin_url.as_ref().context("database.admin_url is missing: a login that may create roles")?;
    store::migrate(admin, &config.store).await?;
    print("the database has this build's schema")
}

async fn setup(config: &Config) -> anyhow::Result<()> {
    for line in crate::setup::run(config).await? {
        print(&line)?;
    }
    Ok(())
}

fn report(checks: &[doctor::Check]) -> anyhow::Result<()> {
    for check in checks {
        let mark = if check.remedy.is_none() { "ok  " } else { "FAIL" };
        print(&format!("{mark} {}: {}: {}", check.system, check.what, check.found))?;
        if let Some(remedy) = &check.remedy {
            print(&format!("     → {remedy}"))?;
        }
    }
    let failed = checks.iter().filter(|check| check.remedy.is_some()).count();
    if failed > 0 {
        bail!("{failed} of {} checks failed", checks.len());
    }
    Ok(())
}

/// Cancelled by SIGINT or SIGTERM.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}

/// One line to the terminal, out at once.
fn print(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Writes a file that only its owner can read.
#[cfg(feature = "dev")]
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
