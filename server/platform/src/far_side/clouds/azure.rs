//! Microsoft Entra with one directory that has one application.
//!
//! Rules: "OAuth 2.0 client credentials flow" of the Microsoft identity platform, third case (a federated
//! credential), and its AADSTS error codes, in the error body that it documents.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::json;

use super::{Fault, checked, form};
use crate::far_side::Shared;

/// The directory (tenant) that there is.
pub const AZURE_DIRECTORY_ID: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
/// The application (client) that it has.
pub const AZURE_CLIENT_ID: &str = "11112222-bbbb-3333-cccc-4444dddd5555";

/// The resources that the application may ask for.
const SCOPES: [&str; 2] = ["https://management.azure.com/.default", "https://graph.microsoft.com/.default"];

/// Status, `error`, and the number of the code.
struct Refusal(u16, &'static str, u64);

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/{directory}/oauth2/v2.0/token", post(token))
}

async fn token(
    State(shared): State<Shared>,
    Path(directory): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fields = form(&headers, &body).unwrap_or_default();
    match granted(&shared, &directory, &fields).await {
        Ok(()) => {
            let token = hex::encode(rand::random::<[u8; 32]>());
            let answer = json!({ "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599,
                "access_token": token });
            Json(answer).into_response()
        }
        Err(Refusal(status, error, code)) => {
            let body = json!({
                "error": error,
                "error_description": format!("AADSTS{code}: refused by the far side of the tests."),
                "error_codes": [code],
                "timestamp": "2026-01-01 00:00:00Z",
                "trace_id": "0000aaaa-11bb-cccc-dd22-eeeeee333333",
                "correlation_id": "aaaa0000-bb11-2222-33cc-444444dddddd",
            });
            (StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), Json(body)).into_response()
        }
    }
}

async fn granted(shared: &Shared, directory: &str, fields: &BTreeMap<String, String>) -> Result<(), Refusal> {
    const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    if directory != AZURE_DIRECTORY_ID {
        return Err(Refusal(400, "invalid_request", 90_002));
    }
    if field("grant_type") != "client_credentials" {
        return Err(Refusal(400, "unsupported_grant_type", 70_003));
    }
    if field("client_id") != AZURE_CLIENT_ID {
        return Err(Refusal(400, "unauthorized_client", 700_016));
    }
    if field("client_assertion_type") != JWT_BEARER {
        return Err(Refusal(400, "invalid_request", 900_144));
    }
    if !field("scope").ends_with("/.default") {
        return Err(Refusal(400, "invalid_scope", 1_002_012));
    }
    if !SCOPES.contains(&field("scope")) {
        return Err(Refusal(400, "invalid_resource", 500_011));
    }
    checked(shared, "azure", field("client_assertion")).await.map(drop).map_err(|fault| match fault {
        Fault::Malformed => Refusal(401, "invalid_client", 50_027),
        Fault::Issuer => Refusal(401, "invalid_client", 700_211),
        Fault::Unreachable => Refusal(400, "invalid_request", 50_166),
        Fault::Signature => Refusal(401, "invalid_client", 700_027),
        Fault::Expired => Refusal(401, "invalid_client", 700_024),
        Fault::Audience => Refusal(401, "invalid_client", 700_212),
        Fault::Subject => Refusal(401, "invalid_client", 700_213),
    })
}
