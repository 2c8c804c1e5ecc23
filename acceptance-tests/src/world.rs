//! A control plane of its own: a database, a place in OpenBao, a configuration and a first token.
//! Servers are started on it and stopped, killed or misconfigured without touching any other.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use local_platform::Endpoints;
use secrecy::ExposeSecret as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

use crate::api::Api;
use crate::gate::Gate;
use crate::openbao::OpenBao;
use crate::process::{self, Background, guarded};
use crate::runtime::block_on;
use crate::{binaries, scratch};

/// Passwords of the two roles. Roles belong to the whole Postgres, so all worlds on one share them,
/// with the server's own tests.
const ROLE_PASSWORD: &str = "of-tests";
/// A server that has not said where it listens by then will not.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// A control plane of its own.
pub struct World {
    dir: PathBuf,
    platform: Endpoints,
    database_url: String,
    openbao: OpenBao,
    gates: BTreeMap<&'static str, Gate>,
    is_whole: bool,
    token: String,
}

/// A running server.
pub struct Server {
    process: Background,
    endpoint: String,
    token: String,
}

impl World {
    /// A new one on the platform that this process was started under.
    ///
    /// # Errors
    /// When there is no platform, or the server's own set-up fails.
    pub fn new(name: &str) -> Result<Self> {
        Self::on(&Endpoints::from_env()?, name, false)
    }

    /// A new one that uses all five systems, where [`World::new`] uses Postgres and OpenBao alone: a
    /// realm takes a second, and most scenarios do not need one.
    ///
    /// # Errors
    /// When there is no platform with all of them, or the server's own set-up fails.
    pub fn whole(name: &str) -> Result<Self> {
        Self::on(&Endpoints::from_env()?, name, true)
    }

    /// A new one on a platform.
    ///
    /// # Errors
    /// When the server's own set-up fails.
    pub fn on(platform: &Endpoints, name: &str, is_whole: bool) -> Result<Self> {
        let unique = format!("{}_{}", name.replace('-', "_"), hex::encode(rand::random::<[u8; 4]>()));
        let superuser: PgConnectOptions = platform.postgres()?.superuser_url.expose_secret().parse()?;
        block_on(async {
            let mut admin = superuser.clone().connect().await?;
            sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {unique}"))).execute(&mut admin).await
        })
        .context("making a database")?;

        let root = OpenBao::new(&platform.openbao()?.addr, &platform.openbao()?.root_token)?;
        root.namespace_create(&unique)?;

        let mut world = Self {
            dir: scratch::dir(name)?,
            platform: platform.clone(),
            database_url: superuser.database(&unique).to_url_lossy().to_string(),
            openbao: root.below(&unique),
            gates: gates(platform, is_whole)?,
            is_whole,
            token: String::new(),
        };
        world.configure(&unique)?;
        world.command_run(&["migrate"])?;
        world.command_run(&["setup"])?;
        world.token = world.token_create(&["--name", "acceptance"])?;
        Ok(world)
    }

    /// The one that all scenarios share which leave their server alone, with its server.
    ///
    /// # Errors
    /// When it could not be made.
    pub fn shared() -> Result<(&'static Self, &'static Server)> {
        static SHARED: OnceLock<Result<(World, Server), String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let make = || {
                let world = Self::new("shared")?;
                let server = world.serve()?;
                Ok::<_, anyhow::Error>((world, server))
            };
            make().map_err(|error| format!("{error:#}"))
        });
        let (world, server) =
            shared.as_ref().map_err(|error| anyhow::anyhow!("the shared world: {error}"))?;
        Ok((world, server))
    }

    /// Starts a server.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn serve(&self) -> Result<Server> {
        self.serve_with(&[])
    }

    /// Gives the servers that are started from now on another `[outbound]` section than tests share, which
    /// may call every loopback address. Servers of one world do each other's work, so none may run that
    /// has another.
    ///
    /// # Errors
    /// When the configuration cannot be written.
    pub fn outbound_set(&self, section: &str) -> Result<()> {
        let text = fs::read_to_string(self.config())?;
        let (before, rest) = text.split_once("[outbound]\n").context("a configuration has the section")?;
        let after = rest.find("\n[").map_or("", |end| &rest[end..]);
        fs::write(self.config(), format!("{before}[outbound]\n{section}{after}"))
            .context("writing the configuration")
    }

    /// Starts a server with more in its environment.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn serve_with(&self, env: &[(&str, &str)]) -> Result<Server> {
        let mut command = self.command(&["serve"])?;
        command.envs(env.iter().copied());
        let mut process = Background::start(command, "server", &scratch_below(&self.dir)?)?;
        let endpoint = process.line_with("listening on ", START_DEADLINE)?;
        Ok(Server { process, endpoint, token: self.token.clone() })
    }

    /// Makes a token with the server's own command, and gives its value.
    ///
    /// # Errors
    /// When the command fails.
    pub fn token_create(&self, args: &[&str]) -> Result<String> {
        let value = self.command_run(&[&["token", "create"], args].concat())?;
        ensure!(value.starts_with("ici_"), "the token command printed something else than a token");
        Ok(value)
    }

    /// The first token: it may do all.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Its place in OpenBao.
    #[must_use]
    pub const fn openbao(&self) -> &OpenBao {
        &self.openbao
    }

    /// Whether it uses all five systems.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The gate between its servers and a system: `postgres`, `openbao`, `keycloak`, `nats` or `kubernetes`.
    ///
    /// # Errors
    /// When it does not use that system.
    pub fn gate(&self, system: &str) -> Result<&Gate> {
        self.gates.get(system).with_context(|| format!("this world does not use {system}"))
    }

    /// What is in the systems of the tenant with this slug, as each system's administrator finds it.
    ///
    /// # Errors
    /// When a system could not be asked.
    pub fn remains(&self, slug: &str) -> Result<Vec<String>> {
        crate::remains::remains(&self.platform, self, slug)
    }

    /// The systems that the tests run on.
    #[must_use]
    pub const fn platform(&self) -> &Endpoints {
        &self.platform
    }

    /// Where its servers' files are: configuration and logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A connection of Postgres' superuser to its database, to look at what is there.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn database(&self) -> Result<PgConnection> {
        let options: PgConnectOptions = self.database_url.parse()?;
        Ok(block_on(options.connect())?)
    }

    /// How many rows a condition finds in a table.
    ///
    /// # Errors
    /// When the statement fails.
    pub fn count(&self, table_and_condition: &str) -> Result<i64> {
        let mut connection = self.database()?;
        let statement = AssertSqlSafe(format!("SELECT count(*) FROM {table_and_condition}"));
        Ok(block_on(sqlx::query_scalar(statement).fetch_one(&mut connection))?)
    }

    fn configure(&self, unique: &str) -> Result<()> {
        let role_url = |role: &str| -> Result<String> {
            let options: PgConnectOptions = self.database_url.parse()?;
            let (host, port) = self.gate("postgres")?.address().split_once(':').context("host:port")?;
            let options = options.host(host).port(port.parse()?);
            Ok(options.username(role).password(ROLE_PASSWORD).to_url_lossy().to_string())
        };
        let openbao = self.platform.openbao()?;
        let mut text = format!(
            r#"listen = "127.0.0.1:0"
public_url = "http://127.0.0.1:0"

[database]
admin_url = "{admin}"
tenant_url = "{tenant}"
platform_url = "{platform}"

[openbao]
address = "http://{address}"
token_file = "{token_file}"
admin_token = "{token}"
namespace = "{unique}"

[outbound]
allow = ["127.0.0.0/8"]
allow_http = true
"#,
            admin = self.database_url,
            tenant = role_url("integraci_tenant")?,
            platform = role_url("integraci_platform")?,
            address = self.gate("openbao")?.address(),
            token_file = self.dir.join("openbao.token").display(),
            token = openbao.root_token.expose_secret(),
        );
        text += &request_limits();
        if self.is_whole {
            text += &self.configure_rest(unique)?;
        }
        let mut file = fs::File::options().create_new(true).write(true).mode(0o600).open(self.config())?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        Ok(())
    }

    /// The sections of the systems that not every world uses.
    fn configure_rest(&self, unique: &str) -> Result<String> {
        let (keycloak, nats) = (self.platform.keycloak()?, self.platform.nats()?);
        let kubernetes = self.platform.kubernetes()?;
        let ca = self.dir.join("kubernetes-ca.pem");
        fs::write(&ca, &kubernetes.ca_pem)?;
        Ok(format!(
            r#"
[keycloak]
url = "http://{keycloak_address}"
client_id = "{unique}"
client_secret_file = "{client_secret_file}"
admin_client_id = "{admin_client_id}"
admin_client_secret = "{admin_client_secret}"

[nats]
servers = ["nats://{nats_address}"]
operator_signing_seed = "{seed}"
system_credentials_file = "{credentials}"

[kubernetes]
server = "https://{kubernetes_address}"
ca_certificate = "{ca}"
token_file = "{token_file}"
admin_token = "{admin_token}"
"#,
            keycloak_address = self.gate("keycloak")?.address(),
            client_secret_file = self.dir.join("keycloak.secret").display(),
            admin_client_id = keycloak.client_id,
            admin_client_secret = keycloak.client_secret.expose_secret(),
            nats_address = self.gate("nats")?.address(),
            seed = nats.operator_signing_seed.expose_secret(),
            credentials = nats.system_creds.display(),
            kubernetes_address = self.gate("kubernetes")?.address(),
            ca = ca.display(),
            token_file = self.dir.join("kubernetes.token").display(),
            admin_token = kubernetes.admin_token.expose_secret(),
        ))
    }

    fn config(&self) -> PathBuf {
        self.dir.join("server.toml")
    }

    fn command(&self, verb: &[&str]) -> Result<std::process::Command> {
        let mut command = guarded(&binaries::server()?);
        command.args(verb).arg("--config").arg(self.config()).current_dir(&self.dir);
        Ok(command)
    }

    fn command_run(&self, verb: &[&str]) -> Result<String> {
        let done = process::run(self.command(verb)?, "integraci-server", START_DEADLINE)?;
        ensure!(done.status.success(), "integraci-server {}: {}\n{}", verb[0], done.status, done.stderr);
        Ok(done.stdout.trim().to_owned())
    }
}

impl Server {
    /// Where it listens: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The first token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A client with the first token.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn api(&self) -> Result<Api> {
        Api::new(&self.endpoint, Some(&self.token))
    }

    /// Its process.
    pub const fn process(&mut self) -> &mut Background {
        &mut self.process
    }
}

/// Limits on requests that no test reaches: they ask as fast as they can, some of them as one tenant.
fn request_limits() -> String {
    let plans = ["free", "team", "enterprise"].map(|name| {
        format!("\n[[plans]]\nname = \"{name}\"\nlimits = {{ api_requests_per_minute = 1000000 }}\n")
    });
    format!("\n[http]\nrequests_per_minute_per_token = 1000000\n{}", plans.concat())
}

/// A gate before each system that the servers use.
fn gates(platform: &Endpoints, is_whole: bool) -> Result<BTreeMap<&'static str, Gate>> {
    let authority = |url: &str| {
        let (_, rest) = url.split_once("://").unwrap_or(("", url));
        rest.trim_end_matches('/').to_owned()
    };
    let postgres: PgConnectOptions = platform.postgres()?.superuser_url.expose_secret().parse()?;
    let mut targets = vec![
        ("postgres", format!("{}:{}", postgres.get_host(), postgres.get_port())),
        ("openbao", authority(&platform.openbao()?.addr)),
    ];
    if is_whole {
        targets.push(("keycloak", authority(&platform.keycloak()?.url)));
        targets.push(("nats", authority(&platform.nats()?.url)));
        targets.push(("kubernetes", authority(&platform.kubernetes()?.server)));
    }
    targets.into_iter().map(|(system, target)| Ok((system, Gate::before(&target)?))).collect()
}

/// A directory for one server's logs, so that the next one does not write over them.
fn scratch_below(dir: &Path) -> Result<PathBuf> {
    for n in 0.. {
        let place = dir.join(format!("serve-{n}"));
        match fs::create_dir(&place) {
            Ok(()) => return Ok(place),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).context("making a directory for the server's logs"),
        }
    }
    unreachable!("there are fewer servers than numbers")
}
