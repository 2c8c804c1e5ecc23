//! SonarQube, Server and Cloud in one, as far as a user's token is concerned.
//!
//! Rules: the Web API's own description. A token is `Bearer`, or the user name of basic authentication
//! with an empty password. `authentication/validate` answers 200 to anybody; everything else is a 401
//! without a body to who is not logged in. A token that ends says so in a header of every answer.
//!
//! The user's organisation is `acme`, its project `acme_app`; the organisation `open` and the project
//! `other_app` are somebody else's that anybody may see. A token allowed as `sonarqube/ending` ends on 2030-01-01.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Shared, registry};

const KIND: &str = "sonarqube";
const ENDING: &str = "sonarqube/ending";
const ORGANIZATION: &str = "acme";
const OPEN_ORGANIZATION: &str = "open";

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/authentication/validate", get(validate))
        .route("/api/organizations/search", get(organizations))
        .route("/api/components/show", get(component))
}

async fn validate(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    match login(&shared, &headers) {
        Some(login) => login.answer(StatusCode::OK, json!({ "valid": true })),
        None => Json(json!({ "valid": false })).into_response(),
    }
}

async fn organizations(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(login) = login(&shared, &headers) else { return StatusCode::UNAUTHORIZED.into_response() };
    let asked = query.get("organizations").map(String::as_str).unwrap_or_default();
    let is_of_member = query.get("member").is_some_and(|member| member == "true");
    let shown = |key: &&str| *key == ORGANIZATION || (*key == OPEN_ORGANIZATION && !is_of_member);
    let found: Vec<_> =
        asked.split(',').filter(shown).map(|key| json!({ "key": key, "name": key })).collect();
    login.answer(StatusCode::OK, json!({ "organizations": found }))
}

async fn component(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(login) = login(&shared, &headers) else { return StatusCode::UNAUTHORIZED.into_response() };
    let organization = match query.get("component").map(String::as_str) {
        Some("acme_app") => ORGANIZATION,
        Some("other_app") => "other",
        _ => {
            let body = json!({ "errors": [{ "msg": "Component key not found" }] });
            return login.answer(StatusCode::NOT_FOUND, body);
        }
    };
    let shown = json!({ "key": query.get("component"), "organization": organization, "qualifier": "TRK" });
    login.answer(StatusCode::OK, json!({ "component": shown, "ancestors": [] }))
}

/// Who is logged in.
struct Login {
    is_ending: bool,
}

impl Login {
    fn answer(&self, status: StatusCode, body: Value) -> Response {
        let ending = self
            .is_ending
            .then_some([("sonarqube-authentication-token-expiration", "2030-01-01T00:00:00+0000")]);
        match ending {
            Some(header) => (status, header, Json(body)).into_response(),
            None => (status, Json(body)).into_response(),
        }
    }
}

fn login(shared: &Shared, headers: &HeaderMap) -> Option<Login> {
    let bearer =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let basic = registry::basic(headers).filter(|(_, password)| password.is_empty());
    let token = bearer.map(str::to_owned).or_else(|| basic.map(|(token, _)| token))?;
    let inner = shared.lock();
    let is_ending = inner.allowed.has(ENDING, &token);
    (is_ending || inner.allowed.has(KIND, &token)).then_some(Login { is_ending })
}
