//! Google Cloud's Security Token Service with one workload identity provider, and its IAM Service Account
//! Credentials with one service account.
//!
//! Rules: both APIs' references (v1); RFC 8693 for the exchange and RFC 6749, section 5.2, for its errors;
//! the provider has an attribute condition that takes the trusted subjects alone.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Fault, checked, form};
use crate::far_side::Shared;

/// The provider that there is.
pub const GCP_PROVIDER: &str =
    "projects/123456789012/locations/global/workloadIdentityPools/integraci/providers/integraci";
/// The service account that whoever is let in may act as.
pub const GCP_SERVICE_ACCOUNT: &str = "integraci@far-side.iam.gserviceaccount.com";

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/token", post(exchange))
        .route("/v1/projects/-/serviceAccounts/{verb}", post(generate))
}

async fn exchange(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let fields = form(&headers, &body).unwrap_or_default();
    match exchanged(&shared, &fields).await {
        Ok(()) => {
            let token = format!("ya29.d.{}", hex::encode(rand::random::<[u8; 32]>()));
            shared.lock().clouds.exchanged.insert(Sha256::digest(&token).into());
            let answer = json!({ "access_token": token, "issued_token_type": ACCESS_TOKEN,
                "token_type": "Bearer", "expires_in": 3599 });
            Json(answer).into_response()
        }
        Err((error, description)) => {
            let body = json!({ "error": error, "error_description": description });
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    }
}

async fn exchanged(
    shared: &Shared,
    fields: &BTreeMap<String, String>,
) -> Result<(), (&'static str, &'static str)> {
    let is = |name: &str, value: &str| fields.get(name).is_some_and(|given| given == value);
    let is_exchange = is("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
        && is("requested_token_type", ACCESS_TOKEN)
        && is("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")
        && is("scope", CLOUD_PLATFORM);
    let (true, Some(audience), Some(token)) =
        (is_exchange, fields.get("audience"), fields.get("subject_token"))
    else {
        return Err(("invalid_request", "Invalid request"));
    };
    let Some(provider) = audience.strip_prefix("//iam.googleapis.com/") else {
        return Err(("invalid_request", "Invalid value for \"audience\"."));
    };
    if provider != GCP_PROVIDER {
        return Err(("invalid_target", "The target service indicated by the \"audience\" is invalid."));
    }
    checked(shared, "gcp", token).await.map(drop).map_err(|fault| match fault {
        Fault::Malformed => ("invalid_grant", "Unable to parse the ID Token."),
        Fault::Issuer => ("invalid_grant", "The issuer in ID Token does not match the expected ones."),
        Fault::Unreachable => ("invalid_grant", "Error connecting to the given credential's issuer."),
        Fault::Signature => ("invalid_grant", "Invalid ID Token signature."),
        Fault::Expired => ("invalid_grant", "The ID Token is stale to sign-in."),
        Fault::Audience => {
            ("invalid_grant", "The audience in ID Token does not match the expected audience.")
        }
        Fault::Subject => {
            ("unauthorized_client", "The given credential is rejected by the attribute condition.")
        }
    })
}

async fn generate(
    State(shared): State<Shared>,
    Path(verb): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !shared.lock().clouds.exchanged.contains(&<[u8; 32]>::from(Sha256::digest(token))) {
        return refusal(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.");
    }
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let scopes = asked["scope"].as_array().filter(|scopes| !scopes.is_empty());
    let lifetime = asked["lifetime"].as_str().and_then(|text| text.strip_suffix('s')?.parse::<u32>().ok());
    if scopes.is_none() || !lifetime.is_some_and(|seconds| (1..=3600).contains(&seconds)) {
        return refusal(400, "INVALID_ARGUMENT", "Request contains an invalid argument.");
    }
    match verb.strip_suffix(":generateAccessToken") {
        None => refusal(404, "NOT_FOUND", "Method not found."),
        Some(GCP_SERVICE_ACCOUNT) => {
            let token = format!("ya29.c.{}", hex::encode(rand::random::<[u8; 32]>()));
            Json(json!({ "accessToken": token, "expireTime": "2038-01-19T03:14:07Z" })).into_response()
        }
        Some(_) => refusal(
            403,
            "PERMISSION_DENIED",
            "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
        ),
    }
}

fn refusal(code: u16, status: &str, message: &str) -> Response {
    let body = json!({ "error": { "code": code, "message": message, "status": status } });
    (StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST), Json(body)).into_response()
}
