//! Artifactory, and the access service of the platform beside it, as far as a login is concerned.
//!
//! Rules: JFrog REST APIs. Anonymous access is on, as where it matters: the ping says `OK` to any login,
//! good or not. Errors are `{"errors": [{"status": …, "message": …}]}`. There is one repository,
//! `libs-release`.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::registry::basic;
use super::{FarSide, Refusal, Shared, bearer};

const KIND: &str = "artifactory";
const REPOSITORY: &str = "libs-release";

#[derive(Debug, Default)]
pub(super) struct Artifactory {
    /// The digest of a user's password, by his name.
    users: BTreeMap<String, [u8; 32]>,
    /// When a token ends, by its digest.
    expires: BTreeMap<[u8; 32], OffsetDateTime>,
    encrypts_no_passwords: bool,
}

impl FarSide {
    /// Lets a user of Artifactory in with this password. [`FarSide::allow`] is for access tokens.
    pub fn artifactory_user(&self, name: &str, password: &SecretString) {
        let digest = Sha256::digest(password.expose_secret()).into();
        self.shared.lock().artifactory.users.insert(name.to_owned(), digest);
    }

    /// Ends an access token at this time.
    pub fn artifactory_expires(&self, token: &SecretString, at: OffsetDateTime) {
        let digest = Sha256::digest(token.expose_secret()).into();
        self.shared.lock().artifactory.expires.insert(digest, at);
    }

    /// Switches the encryption of passwords off.
    pub fn artifactory_encrypts_no_passwords(&self) {
        self.shared.lock().artifactory.encrypts_no_passwords = true;
    }
}

pub(super) fn routes() -> Router<Shared> {
    let routes = Router::new()
        .route("/system/ping", get(async || "OK"))
        .route("/security/encryptedPassword", get(encrypted_password))
        .route("/storage/{repository}", get(folder));
    Router::new().nest("/artifactory/api", routes).route("/access/api/v1/tokens/me", get(token))
}

async fn token(State(shared): State<Shared>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    let Some(token) = bearer(&headers).filter(|token| is_good(&shared, token)) else {
        return Err(refusal(StatusCode::UNAUTHORIZED, "Invalid token"));
    };
    let digest = <[u8; 32]>::from(Sha256::digest(token));
    let mut answer = json!({
        "token_id": "3c1b8b5e-7a5d-4b6d-9f55-31f5d0f2a1c7",
        "subject": "jfac@01/users/robot",
        "issued_at": 1_700_000_000,
        "issuer": "jfac@01",
        "refreshable": false,
        "scope": "applied-permissions/user",
    });
    if let Some(at) = shared.lock().artifactory.expires.get(&digest) {
        answer["expiry"] = at.unix_timestamp().into();
    }
    Ok(Json(answer))
}

async fn encrypted_password(State(shared): State<Shared>, headers: HeaderMap) -> Result<String, Refusal> {
    if !is_user(&shared, &headers) {
        return Err(refusal(StatusCode::UNAUTHORIZED, "Bad credentials"));
    }
    if shared.lock().artifactory.encrypts_no_passwords {
        return Err(refusal(StatusCode::CONFLICT, "Server doesn't support encrypted passwords"));
    }
    Ok("AP5v2zs9ga7CJNZb74u3arAKE5B".to_owned())
}

async fn folder(
    State(shared): State<Shared>,
    Path(repository): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    if !is_user(&shared, &headers) && !bearer(&headers).is_some_and(|token| is_good(&shared, token)) {
        return Err(refusal(StatusCode::UNAUTHORIZED, "Bad credentials"));
    }
    if repository == REPOSITORY {
        Ok(Json(json!({ "repo": REPOSITORY, "path": "/", "children": [] })))
    } else {
        Err(refusal(StatusCode::NOT_FOUND, "Unable to find item"))
    }
}

fn is_user(shared: &Shared, headers: &HeaderMap) -> bool {
    basic(headers).is_some_and(|(name, password)| {
        let digest = <[u8; 32]>::from(Sha256::digest(password));
        shared.lock().artifactory.users.get(&name) == Some(&digest)
    })
}

fn is_good(shared: &Shared, token: &str) -> bool {
    let inner = shared.lock();
    let ends = inner.artifactory.expires.get(&<[u8; 32]>::from(Sha256::digest(token)));
    inner.allowed.has(KIND, token) && ends.is_none_or(|at| OffsetDateTime::now_utc() < *at)
}

fn refusal(status: StatusCode, message: &str) -> Refusal {
    Refusal(status, json!({ "errors": [{ "status": status.as_u16(), "message": message }] }))
}
