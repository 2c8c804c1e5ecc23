//! Datadog's API, as far as its keys are concerned.
//!
//! Rules: the reference of `GET /api/v1/validate` (the API key in `DD-API-KEY`) and
//! `GET /api/v2/validate_keys` (that and the application key in `DD-APPLICATION-KEY`). A key that is not
//! good is a 403.
//!
//! API keys are allowed as `datadog`, application keys as `datadog/app`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::Shared;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/api/v1/validate", get(validate)).route("/api/v2/validate_keys", get(validate_keys))
}

async fn validate(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    if has(&shared, "datadog", "dd-api-key", &headers) {
        Json(json!({ "valid": true })).into_response()
    } else {
        forbidden()
    }
}

async fn validate_keys(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let both = has(&shared, "datadog", "dd-api-key", &headers)
        && has(&shared, "datadog/app", "dd-application-key", &headers);
    if both { Json(json!({ "status": "ok" })).into_response() } else { forbidden() }
}

fn has(shared: &Shared, kind: &str, header: &str, headers: &HeaderMap) -> bool {
    let key = headers.get(header).and_then(|value| value.to_str().ok());
    key.is_some_and(|key| shared.lock().allowed.has(kind, key))
}

fn forbidden() -> Response {
    (StatusCode::FORBIDDEN, Json(json!({ "errors": ["Forbidden"] }))).into_response()
}
