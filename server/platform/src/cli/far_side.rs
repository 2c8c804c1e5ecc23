//! `local-platform far-side`: serves [`local_platform::far_side`] until Ctrl-C.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use local_platform::far_side::FarSide;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A JSON file with the keys and users, which have no place in a command line:
    /// {"webhooks": {NAME: KEY}, "registry": {"users": {USER: PASSWORD}, "repositories": {NAME: [TAG]}}}
    #[arg(long, env = "FAR_SIDE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    webhooks: BTreeMap<String, SecretString>,
    registry: Registry,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Registry {
    users: BTreeMap<String, SecretString>,
    repositories: BTreeMap<String, Vec<String>>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<u8> {
    let config = match &args.config {
        None => Config::default(),
        Some(path) => {
            let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            // Where it is wrong, not the error's text: that may quote a key.
            serde_json::from_slice(&text).map_err(|error| {
                anyhow::anyhow!(
                    "{}: line {}, column {} is not as expected",
                    path.display(),
                    error.line(),
                    error.column()
                )
            })?
        }
    };
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let far_side = FarSide::start_at(args.listen).await?;
    for (name, key) in config.webhooks {
        far_side.webhook_key(&name, key);
    }
    for (user, password) in config.registry.users {
        far_side.registry_user(&user, password);
    }
    for (name, tags) in config.registry.repositories {
        far_side.registry_repository(&name, tags);
    }
    writeln!(std::io::stdout(), "{}", far_side.url())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(0)
}
