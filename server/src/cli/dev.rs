//! `dev`: the whole platform on one machine, for trying it out. Starts the real Postgres and OpenBao,
//! migrates, makes a first platform token, serves, and says where everything is.
//!
//! The data directory keeps everything between runs. In it, readable by its owner only: `dev.env`
//! (endpoint and token, for a shell) and `integraci.toml` (the configuration, for the other commands).

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use integraci_api::tokens::{Scope, TokenCreate};
use local_platform::{Platform, Progress, System, Wanted};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{ConnectOptions, Connection};
use url::Url;

use super::{migrate, print, stop_on_signal, write_private};
use crate::accounts::{TokenSecret, Tokens};
use crate::config::Config;
use crate::serve::Replica;
use crate::source::Source;
use crate::store::{PLATFORM_ROLE, Store, TENANT_ROLE};

/// The database that is made in the local Postgres.
const DATABASE: &str = "integraci";

#[derive(Args)]
pub(super) struct DevArgs {
    /// Where everything is kept between runs.
    #[arg(long, default_value = ".dev")]
    dir: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
}

pub(super) async fn run(args: DevArgs) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    std::fs::create_dir_all(&args.dir).with_context(|| format!("{} cannot be made", args.dir.display()))?;
    let wanted = Wanted::of([System::Postgres, System::OpenBao]);
    let progress = Progress::stderr();
    let starting = Platform::start(&args.dir, &wanted, &progress);
    let platform = tokio::select! {
        platform = starting => platform?,
        () = stop.cancelled() => return Ok(()),
    };
    let outcome = serve_on(&args, &platform, stop).await;
    platform.stop().await;
    outcome
}

async fn serve_on(
    args: &DevArgs,
    platform: &Platform,
    stop: tokio_util::sync::CancellationToken,
) -> anyhow::Result<()> {
    let file = args.dir.join("integraci.toml");
    write_private(&file, &configuration(&args.listen, platform)?)?;
    let config = Config::load(Some(&file))?;
    make_database(platform).await?;
    migrate(&config).await?;
    let env = args.dir.join("dev.env");
    let store = Store::new(&config.store)?;
    let token = token(&store, &env).await?;
    let replica = Replica::start(config).await?;
    let endpoint = format!("http://{}", replica.address()?);
    let openbao = &platform.endpoints().openbao()?.addr;
    let lines = format!(
        "INTEGRACI_ENDPOINT={endpoint}\nINTEGRACI_TOKEN={}\nOPENBAO_ADDR={openbao}\n",
        token.expose()
    );
    write_private(&env, &lines)?;
    print(&format!("listening on {endpoint}"))?;
    print(&format!("  docs        {endpoint}/docs"))?;
    for (system, address) in platform.endpoints().addresses() {
        print(&format!("  {:<11} {address}", system.to_string()))?;
    }
    print("  off         Keycloak, NATS, Kubernetes: the server does not use them yet")?;
    print(&format!("  endpoint and token for a shell: set -a; . {}; set +a", env.display()))?;
    print(&format!("  configuration for other commands: --config {}", file.display()))?;
    replica.serve(stop).await?;
    store.close().await;
    Ok(())
}

/// The configuration of this run. The roles' passwords are new each time; `migrate` sets them.
fn configuration(listen: &str, platform: &Platform) -> anyhow::Result<String> {
    let postgres = &platform.endpoints().postgres()?.superuser_url;
    let openbao = platform.endpoints().openbao()?;
    let url = |role: Option<&str>| -> anyhow::Result<String> {
        let mut url = Url::parse(postgres.expose_secret()).ok().context("the local Postgres has no URL")?;
        url.set_path(DATABASE);
        if let Some(role) = role {
            let password = hex::encode(Source::real().bytes());
            let named = url.set_username(role).and_then(|()| url.set_password(Some(&password)));
            named.ok().context("the local Postgres's URL takes no user")?;
        }
        Ok(url.into())
    };
    Ok(format!(
        "# Written anew at each start of `integraci-server dev`.\n\
         listen = {listen:?}\n\n\
         [database]\ntenant_url = {:?}\nplatform_url = {:?}\nadmin_url = {:?}\n\n\
         [openbao]\naddress = {:?}\ntoken = {:?}\n\n\
         # What runs on this machine may be called: the far sides of a demo do.\n\
         [outbound]\nallow = [\"127.0.0.0/8\", \"::1/128\"]\nallow_http = true\n",
        url(Some(TENANT_ROLE))?,
        url(Some(PLATFORM_ROLE))?,
        url(None)?,
        openbao.addr,
        openbao.root_token.expose_secret(),
    ))
}

async fn make_database(platform: &Platform) -> anyhow::Result<()> {
    let url = &platform.endpoints().postgres()?.superuser_url;
    let options: sqlx::postgres::PgConnectOptions =
        url.expose_secret().parse().ok().context("the local Postgres has no URL")?;
    let mut connection = options.connect().await.context("the local Postgres cannot be reached")?;
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
        .bind(DATABASE)
        .fetch_one(&mut connection)
        .await?;
    if !there {
        sqlx::query("CREATE DATABASE integraci").execute(&mut connection).await?;
    }
    Ok(connection.close().await?)
}

/// The token of the run before, if it still works, so that shells which have it go on; else a new one.
async fn token(store: &Store, env: &Path) -> anyhow::Result<TokenSecret> {
    let tokens = Tokens::new(store.clone(), Source::real());
    let before = std::fs::read_to_string(env).ok().map(SecretString::from);
    let before = before.and_then(|text| {
        text.expose_secret()
            .lines()
            .find_map(|line| line.strip_prefix("INTEGRACI_TOKEN="))
            .and_then(TokenSecret::parse)
    });
    if let Some(before) = before
        && tokens.caller(&before).await.is_ok()
    {
        return Ok(before);
    }
    let wanted = TokenCreate {
        name: "first".to_owned(),
        tenant_id: None,
        scopes: Scope::ALL.to_vec(),
        expires_at: None,
    };
    Ok(tokens.bootstrap(wanted).await?.secret)
}
