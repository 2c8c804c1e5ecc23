//! Faults that are no step's: a name that something else has, and a replica killed among others.

use std::thread;
use std::time::{Duration, Instant};

use acceptance_tests::Api;
use acceptance_tests::api::{new_key, tenant_body};
use acceptance_tests::runtime::block_on;
use anyhow::{Context as _, Result, bail, ensure};
use local_platform::Endpoints;
use reqwest::{Certificate, Client, Method};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::lane::Lane;

/// Longer than it takes any operation to come to any of its steps.
const COMES_WITHIN: Duration = Duration::from_secs(60);
/// What an administrator removes is gone within this.
const GONE_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// How many tenants are made at once when a replica dies.
const AT_ONCE: usize = 3;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Other {
    /// The tenant's name in a system is taken by something that is not ours. In NATS none can be: an
    /// account is known by its key.
    Taken(&'static str),
    /// Two replicas share the work, and one dies in the middle of it.
    Replicas,
}

pub(crate) const OTHERS: [Other; 5] = [
    Other::Taken("postgres"),
    Other::Taken("openbao"),
    Other::Taken("keycloak"),
    Other::Taken("kubernetes"),
    Other::Replicas,
];

impl Other {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Taken(system) => format!("taken/{system}"),
            Self::Replicas => "replicas".to_owned(),
        }
    }

    pub(crate) fn run(self, lane: &mut Lane<'_>) -> Result<()> {
        match self {
            Self::Taken("postgres") => slug_taken(lane),
            Self::Taken(system) => name_taken(lane, system),
            Self::Replicas => replicas(lane),
        }
    }
}

/// A tenant's slug is its name in the database, and the request that asks for it again is told so.
fn slug_taken(lane: &mut Lane<'_>) -> Result<()> {
    let tenant = lane.tenant()?;
    let again = lane.api()?.post("/v1/tenants", &tenant_body(&tenant.slug))?.problem(409, "slug_taken")?;
    ensure!(again.pointers() == ["/slug"], "it does not say what is taken: {again:?}");
    lane.is_whole(&tenant.slug, "ready")?;
    lane.give_back(tenant);
    Ok(())
}

fn name_taken(lane: &mut Lane<'_>, system: &str) -> Result<()> {
    let mut tenant = lane.unmade();
    let name = format!("tenant-{}", tenant.slug);
    let theirs = Theirs::new(lane.platform());
    match system {
        "openbao" => lane.openbao().namespace_create(&name)?,
        "keycloak" => theirs.realm(Method::POST, &name, 201)?,
        _ => theirs.namespace(Method::POST, &name, 201)?,
    }
    let there = lane.remains(&tenant.slug)?;
    ensure!(there.len() == 1, "there is something to run into: {there:?}");

    let api = lane.api()?;
    let asked = api.post("/v1/tenants", &tenant_body(&tenant.slug))?.expect(202)?;
    let operation = lane.settled(asked.body["id"].as_str().context("an operation has an id")?)?;
    ensure!(operation["state"] == "failed", "it took what is not ours: {operation}");
    let (step, detail) = (&operation["error"]["step"], operation["error"]["detail"].as_str());
    let named = detail.is_some_and(|detail| detail.to_lowercase().contains(system));
    ensure!(named && *step == format!("{system}_place"), "it does not say what is in the way: {operation}");
    lane.is_gone_but(&tenant.slug, &there)?;

    match system {
        "openbao" => lane.openbao().namespace_delete(&name)?,
        "keycloak" => theirs.realm(Method::DELETE, &name, 204)?,
        _ => theirs.namespace(Method::DELETE, &name, 200)?,
    }
    let began = Instant::now();
    while !lane.remains(&tenant.slug)?.is_empty() {
        ensure!(began.elapsed() < GONE_WITHIN, "what is not ours stays");
        thread::sleep(POLL);
    }
    tenant.id = api.tenant(&tenant.slug)?;
    lane.is_whole(&tenant.slug, "ready")?;
    lane.give_back(tenant);
    Ok(())
}

/// Tenants are made through two replicas, of which the first to come to a place dies there.
fn replicas(lane: &mut Lane<'_>) -> Result<()> {
    let other = lane.another_server()?;
    let dies = lane.arm("tenant_create/openbao_place/before")?;
    let apis = [lane.api()?, other.api()?];
    let mut asked = Vec::new();
    for n in 0..AT_ONCE {
        let (tenant, key) = (lane.unmade(), new_key());
        let ask = |api: &Api| {
            let body = tenant_body(&tenant.slug);
            api.request("POST", "/v1/tenants")?.header("idempotency-key", &key).json(&body).send()
        };
        // A client whose server is dead asks the other.
        let answer = ask(&apis[n % 2]).or_else(|_| ask(&apis[(n + 1) % 2]))?.expect(202)?;
        asked.push((tenant, answer.body["id"].as_str().context("an operation has an id")?.to_owned()));
    }
    dies.awaited(COMES_WITHIN)?;
    lane.go_on_with_survivor(other)?;
    for (mut tenant, id) in asked {
        let operation = lane.settled(&id)?;
        ensure!(operation["state"] == "succeeded", "not made by the other: {operation}");
        lane.is_whole(&tenant.slug, "ready")?;
        operation["tenant_id"].as_str().context("an operation has a tenant")?.clone_into(&mut tenant.id);
        lane.give_back(tenant);
    }
    Ok(())
}

/// What an administrator makes who does not know the platform.
struct Theirs<'a> {
    platform: &'a Endpoints,
}

impl<'a> Theirs<'a> {
    const fn new(platform: &'a Endpoints) -> Self {
        Self { platform }
    }

    fn realm(&self, method: Method, name: &str, wanted: u16) -> Result<()> {
        let keycloak = self.platform.keycloak()?;
        block_on(async {
            let http = Client::builder().no_proxy().build()?;
            let form = format!(
                "grant_type=client_credentials&client_id={}&client_secret={}",
                keycloak.client_id,
                keycloak.client_secret.expose_secret()
            );
            let url = format!("{}/realms/master/protocol/openid-connect/token", keycloak.url);
            let request =
                http.post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
            let token: Value = request.send().await?.error_for_status()?.json().await?;
            let token = token["access_token"].as_str().context("a token")?;
            let realms = format!("{}/admin/realms", keycloak.url);
            let request = match method {
                Method::POST => http.post(realms).json(&json!({ "realm": name, "enabled": true })),
                _ => http.request(method, format!("{realms}/{name}")),
            };
            answered(request.bearer_auth(token), wanted).await
        })
    }

    fn namespace(&self, method: Method, name: &str, wanted: u16) -> Result<()> {
        let kubernetes = self.platform.kubernetes()?;
        block_on(async {
            let ca = Certificate::from_pem(kubernetes.ca_pem.as_bytes())?;
            let http = Client::builder().no_proxy().tls_certs_only([ca]).build()?;
            let namespaces = format!("{}/api/v1/namespaces", kubernetes.server);
            let request = match method {
                Method::POST => http.post(namespaces).json(&json!({ "metadata": { "name": name } })),
                _ => http.request(method, format!("{namespaces}/{name}")),
            };
            answered(request.bearer_auth(kubernetes.admin_token.expose_secret()), wanted).await
        })
    }
}

async fn answered(request: reqwest::RequestBuilder, wanted: u16) -> Result<()> {
    match request.send().await?.status().as_u16() {
        status if status == wanted => Ok(()),
        status => bail!("the administrator is answered {status}"),
    }
}
