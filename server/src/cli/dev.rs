//! `dev`: the whole platform on one machine, for trying it out. Starts the five real systems, migrates,
//! prepares each system as an administrator would, makes a first platform token, serves, and says where
//! everything is. What this machine cannot run is off, and said to be.
//!
//! The data directory keeps everything between runs. In it, readable by its owner only: `dev.env`
//! (endpoint and token, for a shell), `integraci.toml` (the configuration, for the other commands) and
//! `credentials/` (what the server logs in with).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use futures_util::future::join_all;
use integraci_api::tokens::{Scope, TokenCreate};
use local_platform::{Cache, Platform, Progress, System, Wanted};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{ConnectOptions, Connection};
use url::Url;

use super::{migrate, print, stop_on_signal, write_private};
use crate::accounts::{TokenSecret, Tokens};
use crate::config::Config;
use crate::serve::Replica;
use crate::setup;
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
    /// A system to leave out: keycloak, nats or kubernetes; may be given many times.
    #[arg(long = "without", value_name = "SYSTEM")]
    without: Vec<System>,
}

/// A system that is left out, and why.
type Off = (System, String);

pub(super) async fn run(args: DevArgs) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    std::fs::create_dir_all(&args.dir).with_context(|| format!("{} cannot be made", args.dir.display()))?;
    let starting = start(&args);
    let (platform, off) = tokio::select! {
        started = starting => started?,
        () = stop.cancelled() => return Ok(()),
    };
    let outcome = serve_on(&args, &platform, &off, stop).await;
    platform.stop().await;
    outcome
}

/// Gets and starts every system that this machine can run.
async fn start(args: &DevArgs) -> anyhow::Result<(Platform, Vec<Off>)> {
    let (cache, progress) = (Cache::from_env()?, Progress::stderr());
    let got = join_all(System::PLATFORM.map(|system| {
        let (cache, progress) = (&cache, &progress);
        async move {
            if args.without.contains(&system) {
                return (system, Err("left out, as was asked".to_owned()));
            }
            let got = cache.system(system, progress).await;
            (system, got.map_err(|error| error.to_string()))
        }
    }))
    .await;
    let (mut wanted, mut off) = (Vec::new(), Vec::new());
    for (system, got) in got {
        match got {
            Ok(_) => wanted.push(system),
            Err(why) if matches!(system, System::Postgres | System::OpenBao) => {
                anyhow::bail!("{system}, which the platform cannot be without: {why}");
            }
            Err(why) => off.push((system, why)),
        }
    }
    let platform = Platform::start_from(&cache, &args.dir, &Wanted::of(wanted), &progress).await?;
    Ok((platform, off))
}

async fn serve_on(
    args: &DevArgs,
    platform: &Platform,
    off: &[Off],
    stop: tokio_util::sync::CancellationToken,
) -> anyhow::Result<()> {
    let file = args.dir.join("integraci.toml");
    write_private(&file, &configuration(args, platform)?)?;
    let config = Config::load(Some(&file))?;
    make_database(platform).await?;
    migrate(&config).await?;
    setup::run(&config).await?;
    // With the credentials that the setup has just written.
    let config = Config::load(Some(&file))?;
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
    for (system, why) in off {
        print(&format!("  {:<11} off: {why}", system.to_string()))?;
    }
    print(&format!("  endpoint and token for a shell: set -a; . {}; set +a", env.display()))?;
    print(&format!("  configuration for other commands: --config {}", file.display()))?;
    replica.serve(stop).await?;
    store.close().await;
    Ok(())
}

/// The configuration of this run. The roles' passwords are new each time; `migrate` sets them.
fn configuration(args: &DevArgs, platform: &Platform) -> anyhow::Result<String> {
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
    let credentials = std::path::absolute(args.dir.join("credentials"))?;
    std::fs::create_dir_all(&credentials)?;
    let credential = |name: &str| credentials.join(name).display().to_string();
    let mut text = format!(
        "# Written anew at each start of `integraci-server dev`.\n\
         listen = {:?}\n\
         public_url = \"http://{}\"\n\
         metrics_listen = \"127.0.0.1:0\"\n\n\
         [database]\ntenant_url = {:?}\nplatform_url = {:?}\nadmin_url = {:?}\n\n\
         # What runs on this machine may be called: the far sides of a demo do.\n\
         [outbound]\nallow = [\"127.0.0.0/8\", \"::1/128\"]\nallow_http = true\n\n\
         [openbao]\naddress = {:?}\ntoken_file = {:?}\nadmin_token = {:?}\n",
        args.listen,
        reached_at(&args.listen),
        url(Some(TENANT_ROLE))?,
        url(Some(PLATFORM_ROLE))?,
        url(None)?,
        openbao.addr,
        credential("openbao"),
        openbao.root_token.expose_secret(),
    );
    if let Ok(keycloak) = platform.endpoints().keycloak() {
        text += &format!(
            "\n[keycloak]\nurl = {:?}\nclient_secret_file = {:?}\nadmin_client_id = {:?}\nadmin_client_secret = {:?}\n",
            keycloak.url,
            credential("keycloak"),
            keycloak.client_id,
            keycloak.client_secret.expose_secret(),
        );
    }
    if let Ok(nats) = platform.endpoints().nats() {
        text += &format!(
            "\n[nats]\nservers = [{:?}]\noperator_signing_seed = {:?}\nsystem_credentials_file = {:?}\n",
            nats.url,
            nats.operator_signing_seed.expose_secret(),
            nats.system_creds,
        );
    }
    if let Ok(kubernetes) = platform.endpoints().kubernetes() {
        let ca = credentials.join("kubernetes-ca.pem");
        std::fs::write(&ca, &kubernetes.ca_pem)?;
        text += &format!(
            "\n[kubernetes]\nserver = {:?}\nca_certificate = {ca:?}\ntoken_file = {:?}\nadmin_token = {:?}\n",
            kubernetes.server,
            credential("kubernetes"),
            kubernetes.admin_token.expose_secret(),
        );
    }
    Ok(text)
}

/// Where what listens there is reached from this machine.
fn reached_at(listen: &str) -> String {
    match listen.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_unspecified() => format!("127.0.0.1:{}", address.port()),
        _ => listen.to_owned(),
    }
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
