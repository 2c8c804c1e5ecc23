//! Slack's Web API, as far as an app's bot token is concerned.
//!
//! Rules: the reference of `auth.test`, `auth.revoke` and `conversations.info`. A method is called by
//! POST with a form, and answers 200 whatever it thinks of the call: `ok` and `error` tell.
//!
//! The workspace is `T0001ACME`; its channels are `C0001ACME` and `C0002ACME`, which is archived. A
//! token allowed as `slack/ERROR` gets this error from every method, `slack/missing_scope` from
//! `conversations.info` alone; one allowed as `slack/user` is a person's, and one allowed as
//! `slack/rotating` ends in an hour.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, Uri, header};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Inner, Shared};

const KIND: &str = "slack";
const TEAM: &str = "T0001ACME";
const CHANNEL: &str = "C0001ACME";
const CHANNEL_ARCHIVED: &str = "C0002ACME";
const ERRORS: &[&str] = &[
    "account_inactive",
    "internal_error",
    "not_allowed_token_type",
    "org_login_required",
    "ratelimited",
    "token_expired",
    "token_revoked",
];

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/auth.test", post(auth_test))
        .route("/api/auth.revoke", post(auth_revoke))
        .route("/api/conversations.info", post(conversations_info))
}

async fn auth_test(State(shared): State<Shared>, headers: HeaderMap) -> Json<Value> {
    let inner = shared.lock();
    let token = match login(&inner, &headers) {
        Ok(token) => token,
        Err(error) => return refused(error),
    };
    let mut identity = json!({
        "ok": true,
        "url": "https://acme.slack.com/",
        "team": "Acme",
        "user": "robot",
        "team_id": TEAM,
        "user_id": "U0001ACME",
    });
    if !inner.allowed.has("slack/user", token) {
        identity["bot_id"] = json!("B0001ACME");
    }
    if inner.allowed.has("slack/rotating", token) {
        identity["expires_in"] = json!(3600);
    }
    Json(identity)
}

async fn auth_revoke(State(shared): State<Shared>, headers: HeaderMap) -> Json<Value> {
    let mut inner = shared.lock();
    match login(&inner, &headers).map(str::to_owned) {
        Ok(token) => {
            inner.allowed.remove(KIND, &token);
            Json(json!({ "ok": true, "revoked": true }))
        }
        Err(error) => refused(error),
    }
}

async fn conversations_info(State(shared): State<Shared>, headers: HeaderMap, body: String) -> Json<Value> {
    let inner = shared.lock();
    let token = match login(&inner, &headers) {
        Ok(token) => token,
        Err(error) => return refused(error),
    };
    if inner.allowed.has("slack/missing_scope", token) {
        return Json(
            json!({ "ok": false, "error": "missing_scope", "needed": "channels:read", "provided": "" }),
        );
    }
    match form(&headers, &body).get("channel").map(String::as_str) {
        Some(id @ (CHANNEL | CHANNEL_ARCHIVED)) => Json(json!({
            "ok": true,
            "channel": { "id": id, "name": "builds", "is_archived": id == CHANNEL_ARCHIVED },
        })),
        _ => refused("channel_not_found"),
    }
}

/// The token of the call, or the word for what is wrong with it.
fn login<'a>(inner: &Inner, headers: &'a HeaderMap) -> Result<&'a str, &'static str> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|value| value.strip_prefix("Bearer ")).ok_or("not_authed")?;
    for error in ERRORS {
        if inner.allowed.has(&format!("{KIND}/{error}"), token) {
            return Err(error);
        }
    }
    let is_good = [KIND, "slack/missing_scope", "slack/user", "slack/rotating"]
        .iter()
        .any(|kind| inner.allowed.has(kind, token));
    if is_good { Ok(token) } else { Err("invalid_auth") }
}

/// A form is written as a query is.
fn form(headers: &HeaderMap, body: &str) -> BTreeMap<String, String> {
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != "application/x-www-form-urlencoded") {
        return BTreeMap::new();
    }
    let query = format!("/?{body}").parse::<Uri>().ok();
    query.and_then(|uri| Query::try_from_uri(&uri).ok()).map_or_else(BTreeMap::new, |Query(form)| form)
}

fn refused(error: &str) -> Json<Value> {
    Json(json!({ "ok": false, "error": error }))
}
