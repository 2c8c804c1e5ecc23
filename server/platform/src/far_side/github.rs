//! GitHub, as far as an App's installation is concerned: it checks the JWT that the App signs.
//!
//! Rules: GitHub REST API 2022-11-28. A JWT is RS256, its `iss` the app's id, its `iat` not to come, its
//! `exp` to come and at most ten minutes away; a request without `User-Agent` is not answered, nor one
//! for another version of the API. An installation token is good for an hour.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{FarSide, Refusal, Shared, bearer};

/// The longest that a JWT may be good for.
const JWT_LIFE_MAX_S: u64 = 600;
const SUSPENDED_AT: &str = "2026-01-01T00:00:00Z";

#[derive(Debug, Default)]
pub(super) struct GitHub {
    /// DER of the public key, by the app's id.
    apps: BTreeMap<u64, Vec<u8>>,
    installations: BTreeMap<u64, Installation>,
    tokens: BTreeSet<String>,
}

#[derive(Debug)]
struct Installation {
    app_id: u64,
    suspended: bool,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: u64,
    iat: u64,
    exp: u64,
}

impl FarSide {
    /// Makes a GitHub App known by its RSA public key (DER), and an installation of it.
    pub fn github_app(&self, app_id: u64, installation_id: u64, public_key: &[u8]) {
        let github = &mut self.shared.lock().github;
        github.apps.insert(app_id, public_key.to_vec());
        github.installations.insert(installation_id, Installation { app_id, suspended: false });
    }

    /// Suspends an installation, as the owner of the account can.
    pub fn github_suspend(&self, installation_id: u64) {
        if let Some(installation) = self.shared.lock().github.installations.get_mut(&installation_id) {
            installation.suspended = true;
        }
    }

    /// Removes an installation.
    pub fn github_uninstall(&self, installation_id: u64) {
        self.shared.lock().github.installations.remove(&installation_id);
    }

    /// How many installation tokens were given out and not given back.
    #[must_use]
    pub fn github_tokens(&self) -> usize {
        self.shared.lock().github.tokens.len()
    }
}

pub(super) fn routes() -> Router<Shared> {
    let routes = Router::new()
        .route("/app", get(app))
        .route("/app/installations/{id}", get(installation))
        .route("/app/installations/{id}/access_tokens", post(token_create))
        .route("/installation/token", delete(token_revoke));
    Router::new().nest("/github_app", routes)
}

async fn app(State(shared): State<Shared>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    let app_id = shared.lock().github.app_of(&headers)?;
    Ok(Json(json!({ "id": app_id, "slug": "app", "name": "App" })))
}

async fn installation(
    State(shared): State<Shared>,
    Path(id): Path<u64>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let github = &shared.lock().github;
    let found = github.installation(github.app_of(&headers)?, id)?;
    Ok(Json(json!({
        "id": id,
        "app_id": found.app_id,
        "account": { "login": "acme", "type": "Organization" },
        "repository_selection": "all",
        "suspended_at": found.suspended.then_some(SUSPENDED_AT),
    })))
}

async fn token_create(
    State(shared): State<Shared>,
    Path(id): Path<u64>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let github = &mut shared.lock().github;
    if github.installation(github.app_of(&headers)?, id)?.suspended {
        return Err(refusal(StatusCode::FORBIDDEN, "This installation has been suspended"));
    }
    let token = format!("ghs_{}", hex::encode(rand::random::<[u8; 18]>()));
    github.tokens.insert(token.clone());
    let body = json!({ "token": token, "expires_at": "2099-01-01T00:00:00Z", "permissions": {} });
    Ok((StatusCode::CREATED, Json(body)))
}

async fn token_revoke(State(shared): State<Shared>, headers: HeaderMap) -> Result<StatusCode, Refusal> {
    match bearer(&headers) {
        Some(token) if shared.lock().github.tokens.remove(token) => Ok(StatusCode::NO_CONTENT),
        _ => Err(refusal(StatusCode::UNAUTHORIZED, "Bad credentials")),
    }
}

impl GitHub {
    /// The app that signed a request.
    fn app_of(&self, headers: &HeaderMap) -> Result<u64, Refusal> {
        if !headers.contains_key(header::USER_AGENT) {
            return Err(refusal(StatusCode::FORBIDDEN, "Request forbidden by administrative rules."));
        }
        if headers.get("x-github-api-version").is_some_and(|version| version != "2022-11-28") {
            return Err(refusal(StatusCode::BAD_REQUEST, "not a supported version"));
        }
        let undecodable = || refusal(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
        let jwt = bearer(headers).ok_or_else(undecodable)?;
        let claims: Claims = part(jwt.split('.').nth(1)).ok_or_else(undecodable)?;
        let Some(public_key) = self.apps.get(&claims.iss) else {
            return Err(refusal(StatusCode::NOT_FOUND, "Integration not found"));
        };
        if !is_signed(jwt, public_key) {
            return Err(undecodable());
        }
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if claims.iat > now_s {
            return Err(refusal(StatusCode::UNAUTHORIZED, "'Issued at' claim ('iat') is in the future"));
        }
        if claims.exp <= now_s || claims.exp > now_s + JWT_LIFE_MAX_S {
            let message = "'Expiration time' claim ('exp') is past or too far in the future";
            return Err(refusal(StatusCode::UNAUTHORIZED, message));
        }
        Ok(claims.iss)
    }

    /// An installation, which other apps do not see.
    fn installation(&self, app_id: u64, id: u64) -> Result<&Installation, Refusal> {
        let found = self.installations.get(&id).filter(|found| found.app_id == app_id);
        found.ok_or_else(|| refusal(StatusCode::NOT_FOUND, "Not Found"))
    }
}

fn is_signed(jwt: &str, public_key: &[u8]) -> bool {
    let Some((signed, signature)) = jwt.rsplit_once('.') else { return false };
    let is_rs256 = part::<Header>(jwt.split('.').next()).is_some_and(|header| header.alg == "RS256");
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key);
    let signature = URL_SAFE_NO_PAD.decode(signature);
    is_rs256 && signature.is_ok_and(|signature| key.verify(signed.as_bytes(), &signature).is_ok())
}

fn part<T: serde::de::DeserializeOwned>(encoded: Option<&str>) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded?).ok()?).ok()
}

fn refusal(status: StatusCode, message: &str) -> Refusal {
    let body = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": status.as_u16().to_string(),
    });
    Refusal(status, body)
}
