//! A container registry, as far as a credential for one is concerned.
//!
//! Rules: the OCI distribution specification 1.1 (`/v2/`, `/v2/NAME/tags/list`, the error body) and
//! the Docker registry token protocol (a 401 with a bearer challenge that names the token endpoint;
//! basic authentication there).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Inner, Shared};

const SERVICE: &str = "far-side";
/// The token protocol's own default is 60 s; real registries give some minutes.
const TOKEN_LIFE: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
pub(super) struct Registry {
    users: BTreeMap<String, SecretString>,
    repositories: BTreeMap<String, Vec<String>>,
    /// By the digest of the token.
    tokens: BTreeMap<[u8; 32], Grant>,
}

#[derive(Debug)]
struct Grant {
    user: String,
    /// `repository:NAME:pull`, or empty.
    scope: String,
    until: Instant,
}

impl Registry {
    pub(super) fn user(&mut self, name: &str, password: Option<SecretString>) {
        self.tokens.retain(|_, grant| grant.user != name);
        match password {
            Some(password) => self.users.insert(name.to_owned(), password),
            None => self.users.remove(name),
        };
    }

    pub(super) fn repository(&mut self, name: &str, tags: Vec<String>) {
        self.repositories.insert(name.to_owned(), tags);
    }

    fn knows(&self, user: &str, password: &str) -> bool {
        // Digests are compared, so that the time taken says nothing about the password.
        self.users.get(user).is_some_and(|kept| digest(kept.expose_secret()) == digest(password))
    }

    fn grant(&self, headers: &HeaderMap) -> Option<&Grant> {
        let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        self.tokens.get(&digest(token)).filter(|grant| Instant::now() < grant.until)
    }
}

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/v2/", get(base)).route("/v2/{*path}", get(tags)).route("/token", get(token))
}

async fn base(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let inner = shared.lock();
    match inner.registry.grant(&headers) {
        Some(_) => Json(json!({})).into_response(),
        None => challenge(&inner, ""),
    }
}

async fn tags(State(shared): State<Shared>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    let Some(name) = path.strip_suffix("/tags/list") else { return unknown() };
    let inner = shared.lock();
    let scope = pull(name);
    if inner.registry.grant(&headers).is_none_or(|grant| grant.scope != scope) {
        return challenge(&inner, &scope);
    }
    match inner.registry.repositories.get(name) {
        Some(tags) => Json(json!({ "name": name, "tags": tags })).into_response(),
        None => unknown(),
    }
}

async fn token(
    State(shared): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let mut inner = shared.lock();
    let user = basic(&headers).filter(|(user, password)| inner.registry.knows(user, password));
    let Some((user, _)) = user else {
        let body = problem("UNAUTHORIZED", "authentication required");
        let basic = format!(r#"Basic realm="{SERVICE}""#);
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, basic)], body).into_response();
    };
    // A scope that is not for pulling is not given; as with real ones, the token then just lacks it.
    let scope = query.get("scope").filter(|scope| scope.ends_with(":pull")).cloned().unwrap_or_default();
    let token = hex::encode(rand::random::<[u8; 32]>());
    let until = Instant::now() + TOKEN_LIFE;
    inner.registry.tokens.insert(digest(&token), Grant { user, scope, until });
    Json(json!({ "token": token, "access_token": token, "expires_in": TOKEN_LIFE.as_secs() })).into_response()
}

/// The user and the password of basic authentication.
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn pull(name: &str) -> String {
    format!("repository:{name}:pull")
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Says where to get a token, and for what.
fn challenge(inner: &Inner, scope: &str) -> Response {
    let mut challenge = format!(r#"Bearer realm="{}/token",service="{SERVICE}""#, inner.url);
    if !scope.is_empty() {
        challenge.push_str(&format!(r#",scope="{scope}""#));
    }
    let body = problem("UNAUTHORIZED", "authentication required");
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], body).into_response()
}

fn unknown() -> Response {
    (StatusCode::NOT_FOUND, problem("NAME_UNKNOWN", "repository name not known to registry")).into_response()
}

fn problem(code: &str, message: &str) -> impl IntoResponse + use<> {
    Json(json!({ "errors": [{ "code": code, "message": message, "detail": null }] }))
}
