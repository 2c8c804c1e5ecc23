//! What a tenant costs: the whole control plane on the five real systems, beside what one of those systems
//! takes by itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use acceptance_tests::api::{new_key, tenant_body};
use acceptance_tests::runtime::block_on;
use acceptance_tests::{Api, Cli, Server, Workdir, World, new_slug};
use anyhow::{Context as _, Result, ensure};
use local_platform::{Endpoints, Platform, Progress, System, Wanted};
use nix::unistd::Pid;
use reqwest::{Certificate, Client, RequestBuilder};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::{machine, median};

/// How many tenants are made one after another.
const ONE_BY_ONE: usize = 15;
/// How many are made by one apply, and how many at a time.
pub(crate) const MANY: usize = 100;
const SIDE_BY_SIDE: usize = 10;
/// How many reads a figure is the median of.
const READS: usize = 1_000;
/// How many tenants there are when a read is measured.
const FEW_ROWS: usize = 10;
const MANY_ROWS: usize = 1_000;

/// What was measured.
#[derive(Debug)]
pub(crate) struct Figures {
    /// From the POST of a tenant to its being active, median.
    pub(crate) active: Duration,
    /// Each system's own creation alone, median.
    pub(crate) alone: BTreeMap<&'static str, Duration>,
    /// `terraform apply` of [`MANY`] tenants.
    pub(crate) apply: Duration,
    /// As many realms by bare calls, as many at a time.
    pub(crate) realms: Duration,
    /// The most memory the server had.
    pub(crate) server_peak_bytes: u64,
    /// A GET of one tenant with few and with many there.
    pub(crate) read_of_few: Duration,
    pub(crate) read_of_many: Duration,
}

/// Starts everything, measures, and stops everything.
pub(crate) fn measure(root: &Path, scratch: &Path) -> Result<Figures> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--quiet",
            "-p",
            "integraci-server",
            "-p",
            "terraform-provider-integraci",
        ])
        .current_dir(root)
        .status()?;
    ensure!(built.success(), "the server does not build");
    let wanted = Wanted::of(System::PLATFORM).throwaway();
    let platform = block_on(Platform::start(&scratch.join("platform"), &wanted, &Progress::stderr()))?;
    let figures = measure_on(platform.endpoints());
    block_on(platform.stop());
    figures
}

fn measure_on(platform: &Endpoints) -> Result<Figures> {
    let world = World::on(platform, "bench", true)?;
    let mut server = world.serve()?;
    let api = server.api()?;
    let bare = Bare::new(platform)?;
    // The first of each pays for what is made once.
    tenant(&api)?;
    bare.each_alone("warm")?;

    let (mut active, mut alone) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
    for n in 0..ONE_BY_ONE {
        active.push(tenant(&api)?);
        for (system, took) in bare.each_alone(&format!("alone-{n}"))? {
            alone.entry(system).or_default().push(took);
        }
    }
    // Each realm makes the next one slower: half of the bare ones come before, half after.
    let half = MANY / 2;
    let realms_before = bare.realms("before", half)?;
    let apply = apply(&server)?;
    let realms_after = bare.realms("after", MANY - half)?;
    let server_peak_bytes = machine::peak_bytes(Pid::from_raw(i32::try_from(server.process().id())?))?;
    drop(server);
    let (read_of_few, read_of_many) = reads(platform)?;
    Ok(Figures {
        active: median(active),
        alone: alone.into_iter().map(|(system, took)| (system, median(took))).collect(),
        apply,
        realms: realms_before + realms_after,
        server_peak_bytes,
        read_of_few,
        read_of_many,
    })
}

/// Makes a tenant; from the POST to the end of its operation, which the client waits for with the line
/// held.
fn tenant(api: &Api) -> Result<Duration> {
    let body = tenant_body(&new_slug("bench"));
    let began = Instant::now();
    let operation = api.settled(&api.post("/v1/tenants", &body)?)?;
    let took = began.elapsed();
    ensure!(operation["state"] == "succeeded", "a tenant was not made: {operation}");
    Ok(took)
}

fn apply(server: &Server) -> Result<Duration> {
    let token = server.token();
    let work = Workdir::new(Cli::Terraform, server.endpoint(), token)?;
    let prefix = new_slug("many");
    work.write(
        "main.tf",
        &format!(
            "resource \"integraci_tenant\" \"each\" {{\n  count = {MANY}\n  slug = \"{prefix}-${{count.index}}\"\n  \
             name = \"Tenant ${{count.index}}\"\n  plan = \"team\"\n  owner_email = \"it@acme.example\"\n  \
             delete_protection = false\n}}\n"
        ),
    )?;
    let parallelism = format!("-parallelism={SIDE_BY_SIDE}");
    let began = Instant::now();
    let ran = work.run(&["apply", "-json", "-input=false", "-auto-approve", &parallelism])?.succeeded()?;
    let took = began.elapsed();
    ensure!(ran.applied() == MANY, "{} were applied", ran.applied());
    Ok(took)
}

/// A GET of a tenant, with few and with many there. The rows are written as the server would write them.
fn reads(platform: &Endpoints) -> Result<(Duration, Duration)> {
    let world = World::on(platform, "bench-rows", false)?;
    let server = world.serve()?;
    let api = server.api()?;
    let id = api.tenant(&new_slug("read"))?;
    let read = |id: &str| -> Result<Duration> {
        let path = format!("/v1/tenants/{id}");
        let mut took = Vec::with_capacity(READS);
        for _ in 0..READS {
            let began = Instant::now();
            let answer = api.get(&path)?;
            took.push(began.elapsed());
            answer.expect(200)?;
        }
        Ok(median(took))
    };
    rows(&world, 1, FEW_ROWS)?;
    read(&id)?;
    let few = read(&id)?;
    rows(&world, FEW_ROWS, MANY_ROWS)?;
    read(&id)?;
    Ok((few, read(&id)?))
}

fn rows(world: &World, from: usize, to: usize) -> Result<()> {
    let mut connection = world.database()?;
    let statement = format!(
        "WITH made AS (
           INSERT INTO tenant (id, slug, name, plan, owner_email, delete_protection, status, created_at, updated_at)
           SELECT gen_random_uuid(), 'row-' || n, 'Row', 'team', 'it@acme.example', true, 'active', now(), now()
           FROM generate_series({from}, {to} - 1) n RETURNING id)
         , quotas AS (INSERT INTO quota (tenant_id, dimension, plan_max) SELECT id, 'connectors', 20 FROM made)
         INSERT INTO tenant_system (tenant_id, system, cell, state, checked_at)
         SELECT id, system, 'main', 'ready', now() + interval '1 day'
         FROM made, unnest(ARRAY['openbao', 'keycloak', 'nats', 'kubernetes']) system"
    );
    block_on(sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection))?;
    Ok(())
}

/// The systems, called as plainly as can be.
struct Bare {
    http: Client,
    keycloak: String,
    token_request: (String, String),
    openbao: String,
    openbao_token: String,
    kubernetes: String,
    kubernetes_http: Client,
    kubernetes_token: String,
    prefix: String,
}

impl Bare {
    fn new(platform: &Endpoints) -> Result<Self> {
        let (keycloak, openbao, kubernetes) =
            (platform.keycloak()?, platform.openbao()?, platform.kubernetes()?);
        let ca = Certificate::from_pem(kubernetes.ca_pem.as_bytes())?;
        Ok(Self {
            http: Client::builder().no_proxy().build()?,
            keycloak: keycloak.url.clone(),
            token_request: (keycloak.client_id.clone(), keycloak.client_secret.expose_secret().to_owned()),
            openbao: openbao.addr.clone(),
            openbao_token: openbao.root_token.expose_secret().to_owned(),
            kubernetes: kubernetes.server.clone(),
            kubernetes_http: Client::builder().no_proxy().tls_certs_only([ca]).build()?,
            kubernetes_token: kubernetes.admin_token.expose_secret().to_owned(),
            prefix: new_slug("bare"),
        })
    }

    /// One creation in each system that takes more than a message.
    fn each_alone(&self, name: &str) -> Result<Vec<(&'static str, Duration)>> {
        let name = format!("{}-{name}", self.prefix);
        let token = self.keycloak_token()?;
        let namespace = self
            .http
            .post(format!("{}/v1/sys/namespaces/{name}", self.openbao))
            .header("x-vault-token", &self.openbao_token)
            .json(&json!({}));
        let kubernetes = self
            .kubernetes_http
            .post(format!("{}/api/v1/namespaces", self.kubernetes))
            .bearer_auth(&self.kubernetes_token)
            .json(&json!({ "metadata": { "name": name } }));
        Ok(vec![
            ("OpenBao (a namespace)", timed(namespace)?),
            ("Keycloak (a realm)", timed(self.realm(&name, &token))?),
            ("Kubernetes (a namespace)", timed(kubernetes)?),
        ])
    }

    /// So many realms, [`SIDE_BY_SIDE`] at a time.
    fn realms(&self, name: &str, count: usize) -> Result<Duration> {
        let next = AtomicUsize::new(0);
        let token = self.keycloak_token()?;
        let began = Instant::now();
        thread::scope(|scope| {
            let lane = || -> Result<()> {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return Ok(());
                    }
                    timed(self.realm(&format!("{}-{name}-{n}", self.prefix), &token))?;
                }
            };
            let lanes: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(lane)).collect();
            lanes
                .into_iter()
                .try_for_each(|lane| lane.join().unwrap_or_else(|_| anyhow::bail!("a lane panicked")))
        })?;
        Ok(began.elapsed())
    }

    fn keycloak_token(&self) -> Result<String> {
        let (id, secret) = &self.token_request;
        let answer: Value = block_on(async {
            self.http
                .post(format!("{}/realms/master/protocol/openid-connect/token", self.keycloak))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("grant_type=client_credentials&client_id={id}&client_secret={secret}"))
                .send()
                .await?
                .error_for_status()?
                .json()
                .await
        })?;
        Ok(answer["access_token"].as_str().context("a token")?.to_owned())
    }

    /// A realm with the roles and clients that a tenant's has, in one call.
    fn realm(&self, name: &str, token: &str) -> RequestBuilder {
        let client = |id: &str| {
            json!({ "clientId": id, "serviceAccountsEnabled": true, "publicClient": false, "secret": new_key(),
                    "standardFlowEnabled": false, "fullScopeAllowed": false })
        };
        let roles = ["owner", "admin", "member", "viewer"].map(|role| json!({ "name": role }));
        let realm = json!({
            "realm": name, "enabled": true, "bruteForceProtected": true,
            "roles": { "realm": roles },
            "clients": [client("integraci-api"), client("workload"), client("integraci-management")],
            "users": [{ "username": "service-account-integraci-management", "enabled": true,
                        "serviceAccountClientId": "integraci-management",
                        "clientRoles": { "realm-management": ["realm-admin"] } }],
        });
        self.http.post(format!("{}/admin/realms", self.keycloak)).bearer_auth(token).json(&realm)
    }
}

fn timed(request: RequestBuilder) -> Result<Duration> {
    let began = Instant::now();
    let answer = block_on(request.send())?;
    let took = began.elapsed();
    ensure!(answer.status().is_success(), "a bare creation was answered {}", answer.status());
    Ok(took)
}
