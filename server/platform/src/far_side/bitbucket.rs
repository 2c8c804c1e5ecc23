//! Bitbucket Cloud, as far as a token is concerned.
//!
//! Rules: Bitbucket Cloud REST API 2.0. An API token is the password of its account's email; an access
//! token is a bearer, and has no user. Errors are `{"type": "error", "error": {"message": …}}`. There are two
//! workspaces, `acme` and `other`, that everybody may see who sends no token or a good one; every account is a
//! member of `acme` and of no other.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use axum::{Json, Router};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::registry::basic;
use super::{FarSide, Refusal, Shared, bearer};

const KIND: &str = "bitbucket";
const WORKSPACE: &str = "acme";
const OTHER_WORKSPACE: &str = "other";

#[derive(Debug, Default)]
pub(super) struct Bitbucket {
    /// The digest of an account's API token, by its email.
    accounts: BTreeMap<String, [u8; 32]>,
}

enum Caller {
    Nobody,
    Account,
    AccessToken,
}

impl FarSide {
    /// Makes an account of Bitbucket's known, with its API token. [`FarSide::allow`] is for access tokens.
    pub fn bitbucket_account(&self, email: &str, token: &SecretString) {
        let digest = Sha256::digest(token.expose_secret()).into();
        self.shared.lock().bitbucket.accounts.insert(email.to_owned(), digest);
    }

    /// Makes an account's API token worthless.
    pub fn bitbucket_account_remove(&self, email: &str) {
        self.shared.lock().bitbucket.accounts.remove(email);
    }
}

pub(super) fn routes() -> Router<Shared> {
    let routes = Router::new()
        .route("/user", get(user))
        .route("/user/workspaces/{workspace}/permission", get(permission))
        .route("/workspaces/{workspace}", get(workspace));
    Router::new().nest("/bitbucket/2.0", routes)
}

async fn user(State(shared): State<Shared>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    account(&shared, &headers)?;
    Ok(Json(json!({ "type": "user", "uuid": "{7}", "display_name": "Robot" })))
}

async fn permission(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    account(&shared, &headers)?;
    if name == WORKSPACE {
        Ok(Json(json!({ "type": "workspace_membership", "permission": "member" })))
    } else {
        Err(no_workspace())
    }
}

async fn workspace(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    caller(&shared, &headers)?;
    if name == WORKSPACE || name == OTHER_WORKSPACE {
        Ok(Json(json!({ "type": "workspace", "uuid": "{1}", "slug": name, "name": name })))
    } else {
        Err(no_workspace())
    }
}

/// That it is an account that asks.
fn account(shared: &Shared, headers: &HeaderMap) -> Result<(), Refusal> {
    match caller(shared, headers)? {
        Caller::Account => Ok(()),
        Caller::AccessToken => {
            Err(refusal(StatusCode::FORBIDDEN, "This API is not accessible by this authentication mechanism"))
        }
        Caller::Nobody => Err(refusal(StatusCode::UNAUTHORIZED, "Authentication required")),
    }
}

/// Who asks; a login that is not good is refused wherever it comes.
fn caller(shared: &Shared, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let inner = shared.lock();
    if !headers.contains_key(header::AUTHORIZATION) {
        return Ok(Caller::Nobody);
    }
    if let Some((email, token)) = basic(headers) {
        let digest = <[u8; 32]>::from(Sha256::digest(token));
        if inner.bitbucket.accounts.get(&email) == Some(&digest) {
            return Ok(Caller::Account);
        }
    }
    if bearer(headers).is_some_and(|token| inner.allowed.has(KIND, token)) {
        return Ok(Caller::AccessToken);
    }
    let message = "Token is invalid, expired, or not supported for this endpoint.";
    Err(refusal(StatusCode::UNAUTHORIZED, message))
}

fn no_workspace() -> Refusal {
    refusal(StatusCode::NOT_FOUND, "No workspace with such an identifier.")
}

fn refusal(status: StatusCode, message: &str) -> Refusal {
    Refusal(status, json!({ "type": "error", "error": { "message": message } }))
}
