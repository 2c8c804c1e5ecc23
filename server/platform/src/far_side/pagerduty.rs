//! PagerDuty's REST API, as far as its keys are concerned.
//!
//! Rules: the reference of version 2: `Authorization: Token token=…`, the version asked for in
//! `Accept`, 401 to a key that is not good, and the error body of a 404. How long to wait after a 429
//! is in `ratelimit-reset`, in seconds.
//!
//! The service is `PACME01`. A key allowed as `pagerduty/limited` has called too often.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::Shared;

const KIND: &str = "pagerduty";
const SERVICE: &str = "PACME01";
const ACCEPT: &str = "application/vnd.pagerduty+json;version=2";

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/abilities", get(abilities)).route("/services/{id}", get(service))
}

async fn abilities(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    match refusal(&shared, &headers) {
        Some(refused) => refused,
        None => Json(json!({ "abilities": ["teams", "urgencies"] })).into_response(),
    }
}

async fn service(State(shared): State<Shared>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    match refusal(&shared, &headers) {
        Some(refused) => refused,
        None if id == SERVICE => {
            Json(json!({ "service": { "id": SERVICE, "name": "App", "status": "active" } })).into_response()
        }
        None => problem(StatusCode::NOT_FOUND, 2100, "Not Found").into_response(),
    }
}

/// What is answered to a request that cannot go on.
fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let text = |name: header::HeaderName| headers.get(name)?.to_str().ok();
    if text(header::ACCEPT) != Some(ACCEPT) {
        return Some(problem(StatusCode::NOT_ACCEPTABLE, 2001, "Unsupported Version").into_response());
    }
    let token = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Token token="));
    let inner = shared.lock();
    let has = |kind| token.is_some_and(|token| inner.allowed.has(kind, token));
    if has("pagerduty/limited") {
        let body = problem(StatusCode::TOO_MANY_REQUESTS, 2020, "Too Many Requests");
        return Some(([("ratelimit-limit", "960"), ("ratelimit-reset", "7")], body).into_response());
    }
    (!has(KIND)).then(|| problem(StatusCode::UNAUTHORIZED, 2006, "Unauthorized").into_response())
}

fn problem(status: StatusCode, code: u32, message: &str) -> impl IntoResponse + use<> {
    (status, Json(json!({ "error": { "message": message, "code": code, "errors": [message] } })))
}
