//! Jira Cloud, as far as an account's API token is concerned.
//!
//! Rules: the REST API version 3 and "Basic auth for REST APIs". A login that is not good is a 401, one
//! that must solve a CAPTCHA first a 403 that says so in `X-Seraph-LoginReason`; a project that is not
//! there, or not to be seen, a 404.
//!
//! The account is `robot@acme.example`, the project `ACME`. A token allowed as `jira/captcha` is one of
//! an account that is locked out.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::{Shared, registry};

const KIND: &str = "jira";
const EMAIL: &str = "robot@acme.example";
const PROJECT: &str = "ACME";

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/rest/api/3/myself", get(myself)).route("/rest/api/3/project/{key}", get(project))
}

async fn myself(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    match refusal(&shared, &headers) {
        Some(refused) => refused,
        None => Json(json!({
            "accountId": "5b10a2844c20165700ede21g",
            "accountType": "atlassian",
            "active": true,
            "displayName": "Robot",
        }))
        .into_response(),
    }
}

async fn project(State(shared): State<Shared>, Path(key): Path<String>, headers: HeaderMap) -> Response {
    match refusal(&shared, &headers) {
        Some(refused) => refused,
        None if key == PROJECT => {
            Json(json!({ "id": "10000", "key": PROJECT, "name": "Acme" })).into_response()
        }
        None => problem(StatusCode::NOT_FOUND, "No project could be found with this key.").into_response(),
    }
}

/// What is answered to a login that is not good.
fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let reason = |reason: &'static str| [("x-seraph-loginreason", reason)];
    let Some((email, token)) = registry::basic(headers) else {
        return Some(problem(StatusCode::UNAUTHORIZED, "You are not authenticated.").into_response());
    };
    let inner = shared.lock();
    if inner.allowed.has("jira/captcha", &token) {
        let body = problem(StatusCode::FORBIDDEN, "CAPTCHA required.");
        return Some((reason("AUTHENTICATION_DENIED"), body).into_response());
    }
    if email == EMAIL && inner.allowed.has(KIND, &token) {
        return None;
    }
    let body = problem(StatusCode::UNAUTHORIZED, "Client must be authenticated to access this resource.");
    Some((reason("AUTHENTICATED_FAILED"), body).into_response())
}

fn problem(status: StatusCode, message: &str) -> impl IntoResponse + use<> {
    (status, Json(json!({ "errorMessages": [message], "errors": {} })))
}
