//! The systems as their administrators see them: to look at what the product made, past the product, and
//! to change it by hand.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use local_platform::Endpoints;
use reqwest::{Certificate, Client, Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::runtime::block_on;

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Every system's administrator.
pub struct Admin {
    platform: Endpoints,
    plain: Client,
    kubernetes: Client,
    /// A token of Keycloak's administrator.
    keycloak: String,
}

/// What a system answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The status.
    pub status: StatusCode,
    /// The body; null when it is none of JSON.
    pub body: Value,
}

impl Admin {
    /// The administrators of the systems on a platform.
    ///
    /// # Errors
    /// When a system is not there, or lets its administrator not in.
    pub fn new(platform: &Endpoints) -> Result<Self> {
        let plain = Client::builder().no_proxy().build()?;
        let ca = Certificate::from_pem(platform.kubernetes()?.ca_pem.as_bytes())?;
        let kubernetes = Client::builder().no_proxy().tls_certs_only([ca]).build()?;
        let keycloak = platform.keycloak()?;
        let secret = keycloak.client_secret.expose_secret();
        let token = token(&keycloak.url, "master", &keycloak.client_id, secret)?.body["access_token"].clone();
        let keycloak = token.as_str().context("Keycloak's administrator gets a token")?.to_owned();
        Ok(Self { platform: platform.clone(), plain, kubernetes, keycloak })
    }

    /// Asks Keycloak's admin API, from `/admin/realms` on.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn keycloak(&self, method: &str, path: &str, body: &Value) -> Result<Seen> {
        let url = format!("{}/admin/realms{path}", self.platform.keycloak()?.url);
        let request = self.plain.request(Method::from_bytes(method.as_bytes())?, url);
        seen(with(request.bearer_auth(&self.keycloak), body))
    }

    /// Asks the Kubernetes API server. A change is a merge patch.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn kubernetes(&self, method: &str, path: &str, body: &Value) -> Result<Seen> {
        self.kubernetes_as(self.platform.kubernetes()?.admin_token.expose_secret(), method, path, body)
    }

    /// The same with somebody's token.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn kubernetes_as(&self, token: &str, method: &str, path: &str, body: &Value) -> Result<Seen> {
        let url = format!("{}{path}", self.platform.kubernetes()?.server);
        let request = self.kubernetes.request(Method::from_bytes(method.as_bytes())?, url).bearer_auth(token);
        if method == "PATCH" {
            let kind = "application/merge-patch+json";
            return seen(request.header("content-type", kind).body(body.to_string()));
        }
        seen(with(request, body))
    }

    /// Asks OpenBao in a namespace, with the root token.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn openbao(&self, namespace: &str, method: &str, path: &str, body: &Value) -> Result<Seen> {
        self.openbao_as(self.platform.openbao()?.root_token.expose_secret(), namespace, method, path, body)
    }

    /// The same with somebody's token.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn openbao_as(
        &self,
        token: &str,
        namespace: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Seen> {
        let url = format!("{}/v1/{path}", self.platform.openbao()?.addr);
        let request = self.plain.request(Method::from_bytes(method.as_bytes())?, url);
        let request = request.header("x-vault-token", token).header("x-vault-namespace", namespace);
        seen(with(request, body))
    }

    /// What is at an address, as text.
    ///
    /// # Errors
    /// When nothing is.
    pub fn text(&self, url: &str) -> Result<String> {
        Ok(block_on(async { self.plain.get(url).send().await?.error_for_status()?.text().await })?)
    }
}

impl Seen {
    /// It, which must be a success.
    ///
    /// # Errors
    /// When it is none.
    pub fn expect(self, what: &str) -> Result<Self> {
        ensure!(self.status.is_success(), "{what}: {} {}", self.status, self.body);
        Ok(self)
    }
}

/// Asks a realm for a token, as one of its clients.
///
/// # Errors
/// When no answer comes; a refusal is an answer.
pub fn token(keycloak: &str, realm: &str, client_id: &str, client_secret: &str) -> Result<Seen> {
    let form = format!(
        "grant_type=client_credentials&scope=openid&client_id={client_id}&client_secret={client_secret}"
    );
    let url = format!("{keycloak}/realms/{realm}/protocol/openid-connect/token");
    let http = Client::builder().no_proxy().build()?;
    seen(http.post(url).header("content-type", "application/x-www-form-urlencoded").body(form))
}

/// Looks until there is something to see.
///
/// # Errors
/// When there is nothing by the deadline.
pub fn until<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        if began.elapsed() > deadline {
            bail!("after {deadline:?} still not: {what}");
        }
        std::thread::sleep(POLL);
    }
}

fn with(request: reqwest::RequestBuilder, body: &Value) -> reqwest::RequestBuilder {
    if body.is_null() { request } else { request.json(body) }
}

fn seen(request: reqwest::RequestBuilder) -> Result<Seen> {
    block_on(async {
        let answer = request.send().await?;
        let status = answer.status();
        Ok(Seen { status, body: answer.json().await.unwrap_or(Value::Null) })
    })
}
