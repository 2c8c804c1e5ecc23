//! What of a tenant is in the five systems, by asking each as its administrator, past the product.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use local_platform::Endpoints;
use reqwest::{Certificate, Client};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::runtime::block_on;
use crate::world::World;

/// A file that a server writes is whole within this.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

/// Everything that is named after a slug, a line each, `system: what`; Postgres, whose rows the caller
/// counts by id, by the tenant's row alone.
///
/// # Errors
/// When a system could not be asked: that is never taken for "nothing".
pub fn remains(platform: &Endpoints, world: &World, slug: &str) -> Result<Vec<String>> {
    let name = format!("tenant-{slug}");
    let mut found = Vec::new();
    if world.count(&format!("tenant WHERE slug = '{slug}'"))? > 0 {
        found.push("postgres: row".to_owned());
    }
    let places = world.openbao().namespaces().context("asking OpenBao")?;
    if places.iter().any(|place| place.trim_end_matches('/') == name) {
        found.push("openbao: namespace".to_owned());
    }
    for key in world.openbao().folder("integraci/metadata", &format!("tenants/{name}/"))? {
        found.push(format!("openbao: key of {key}"));
    }
    if !world.is_whole() {
        return Ok(found);
    }
    if realm_exists(platform, &name).context("asking Keycloak")? {
        found.push("keycloak: realm".to_owned());
    }
    found.extend(nats(platform, &name).context("looking at NATS")?);
    if namespace_exists(platform, &name).context("asking Kubernetes")? {
        found.push("kubernetes: namespace".to_owned());
    }
    Ok(found)
}

/// One for all: making one reads every certificate of the machine.
fn http() -> Result<Client> {
    static HTTP: OnceLock<Client> = OnceLock::new();
    if let Some(http) = HTTP.get() {
        return Ok(http.clone());
    }
    let http = Client::builder().no_proxy().build()?;
    Ok(HTTP.get_or_init(|| http).clone())
}

fn realm_exists(platform: &Endpoints, realm: &str) -> Result<bool> {
    let keycloak = platform.keycloak()?;
    block_on(async {
        let http = http()?;
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            keycloak.client_id,
            keycloak.client_secret.expose_secret()
        );
        let token: Value = http
            .post(format!("{}/realms/master/protocol/openid-connect/token", keycloak.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let token = token["access_token"].as_str().context("a token")?.to_owned();
        // The realm's own page, which needs no rights in it; a disabled realm answers as well.
        let answer =
            http.get(format!("{}/admin/realms/{realm}", keycloak.url)).bearer_auth(token).send().await?;
        match answer.status().as_u16() {
            200 | 403 => Ok(true),
            404 => Ok(false),
            status => bail!("Keycloak answered {status}"),
        }
    })
}

fn namespace_exists(platform: &Endpoints, name: &str) -> Result<bool> {
    let kubernetes = platform.kubernetes()?;
    block_on(async {
        let ca = Certificate::from_pem(kubernetes.ca_pem.as_bytes())?;
        let http = Client::builder().no_proxy().tls_certs_only([ca]).build()?;
        let answer = http
            .get(format!("{}/api/v1/namespaces/{name}", kubernetes.server))
            .bearer_auth(kubernetes.admin_token.expose_secret())
            .send()
            .await?;
        match answer.status().as_u16() {
            200 => Ok(true),
            404 => Ok(false),
            status => bail!("Kubernetes answered {status}"),
        }
    })
}

/// The claims in a file; nothing if it is removed while it is looked at.
fn claims_in(path: &Path) -> Result<Option<Value>> {
    let began = Instant::now();
    loop {
        let Ok(text) = std::fs::read_to_string(path) else { return Ok(None) };
        let claims = text.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims.trim()).ok());
        if let Some(claims) = claims.and_then(|claims| serde_json::from_slice(&claims).ok()) {
            return Ok(Some(claims));
        }
        // The server is writing it.
        ensure!(began.elapsed() < WRITTEN_WITHIN, "{} holds no claims", path.display());
        std::thread::sleep(POLL);
    }
}

/// The account's claims, which the server keeps in a file each, and the streams of accounts found so.
fn nats(platform: &Endpoints, name: &str) -> Result<Vec<String>> {
    let nats = platform.nats()?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&nats.resolver_dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "jwt") {
            continue;
        }
        let Some(claims) = claims_in(&path)? else { continue };
        if claims["name"] == name {
            found.push("nats: account".to_owned());
            let account = claims["sub"].as_str().context("an account has a key")?;
            if nats.jetstream_dir.join("jetstream").join(account).join("streams").is_dir() {
                found.push("nats: streams".to_owned());
            }
        }
    }
    Ok(found)
}
