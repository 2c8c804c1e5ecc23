//! GitLab, as far as an access token is concerned.
//!
//! Rules: GitLab REST API v4. The token comes in `PRIVATE-TOKEN`; a wrong one gets
//! `401 {"message": "401 Unauthorized"}`, an expired one the OAuth error `invalid_token`. There is one
//! group, `acme/platform`, whose path is one segment when it is escaped.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::{Date, OffsetDateTime};

use super::{FarSide, Refusal, Shared};

const KIND: &str = "gitlab";
const GROUP: &str = "acme/platform";

#[derive(Debug, Default)]
pub(super) struct GitLab {
    /// By the digest of the token.
    expires: BTreeMap<[u8; 32], Date>,
}

impl FarSide {
    /// Ends a token of GitLab at the beginning of a day (UTC).
    pub fn gitlab_expires(&self, token: &SecretString, date: Date) {
        let digest = Sha256::digest(token.expose_secret()).into();
        self.shared.lock().gitlab.expires.insert(digest, date);
    }
}

pub(super) fn routes() -> Router<Shared> {
    let routes = Router::new()
        .route("/personal_access_tokens/self", get(token).delete(token_revoke))
        .route("/user", get(user))
        .route("/groups/{path}", get(group));
    Router::new().nest("/gitlab/api/v4", routes)
}

async fn token(State(shared): State<Shared>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    let expires_at = expiry(&shared, &headers)?;
    Ok(Json(json!({
        "id": 4,
        "name": "connector",
        "revoked": false,
        "created_at": "2026-01-01T00:00:00.000Z",
        "scopes": ["read_api"],
        "user_id": 24,
        "active": true,
        "expires_at": expires_at.map(|date| date.to_string()),
    })))
}

async fn token_revoke(State(shared): State<Shared>, headers: HeaderMap) -> Result<StatusCode, Refusal> {
    expiry(&shared, &headers)?;
    if let Some(token) = sent(&headers) {
        shared.lock().allowed.remove(KIND, token);
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn user(State(shared): State<Shared>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    expiry(&shared, &headers)?;
    Ok(Json(json!({ "id": 24, "username": "group_24_bot", "state": "active" })))
}

async fn group(
    State(shared): State<Shared>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    expiry(&shared, &headers)?;
    if path == GROUP {
        Ok(Json(json!({ "id": 7, "full_path": GROUP })))
    } else {
        Err(message(StatusCode::NOT_FOUND, "404 Group Not Found"))
    }
}

fn sent(headers: &HeaderMap) -> Option<&str> {
    headers.get("private-token")?.to_str().ok()
}

/// When the request's token ends, if it is good.
fn expiry(shared: &Shared, headers: &HeaderMap) -> Result<Option<Date>, Refusal> {
    let inner = shared.lock();
    let Some(token) = sent(headers).filter(|token| inner.allowed.has(KIND, token)) else {
        return Err(message(StatusCode::UNAUTHORIZED, "401 Unauthorized"));
    };
    let expires_at = inner.gitlab.expires.get(&<[u8; 32]>::from(Sha256::digest(token))).copied();
    if expires_at.is_some_and(|date| date <= OffsetDateTime::now_utc().date()) {
        let body = json!({ "error": "invalid_token", "error_description": "Token is expired." });
        return Err(Refusal(StatusCode::UNAUTHORIZED, body));
    }
    Ok(expires_at)
}

fn message(status: StatusCode, message: &str) -> Refusal {
    Refusal(status, json!({ "message": message }))
}
