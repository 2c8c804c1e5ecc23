//! Azure DevOps, as far as a personal access token is concerned.
//!
//! Rules: Azure DevOps Services REST API 7.1. The token is the password of a user without a name. There
//! are two organisations with a project `app` each: `acme`, which sends who is not known to its sign-in page
//! by 302 (or, asked to suppress that, answers 401), and `acme-public`, which takes them for the anonymous
//! user.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::registry::basic;

const KIND: &str = "azure_devops";
const ORGANIZATION: &str = "acme";
const PUBLIC_ORGANIZATION: &str = "acme-public";
const PROJECT: &str = "app";

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "api-version")]
    api_version: Option<String>,
}

pub(super) fn routes() -> Router<Shared> {
    let routes = Router::new()
        .route("/{organization}/_apis/connectionData", get(connection_data))
        .route("/{organization}/_apis/projects/{project}", get(project));
    Router::new().nest("/azure_devops", routes)
}

async fn connection_data(
    State(shared): State<Shared>,
    Path(organization): Path<String>,
    Query(version): Query<Version>,
    headers: HeaderMap,
) -> Response {
    // This one has only ever been a preview.
    if version.api_version.as_deref() == Some("7.1") {
        return fault(StatusCode::BAD_REQUEST, "VssInvalidPreviewVersionException");
    }
    let user = match (organization.as_str(), is_known(&shared, &headers)) {
        (ORGANIZATION | PUBLIC_ORGANIZATION, true) => json!({
            "id": "d6245f20-2af8-44f4-9451-8107cb2767db",
            "descriptor": "Microsoft.IdentityModel.Claims.ClaimsIdentity;acme\\robot@acme.example",
            "providerDisplayName": "Robot",
        }),
        (PUBLIC_ORGANIZATION, false) => json!({
            "id": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
            "descriptor": "System:PublicAccess;aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
            "providerDisplayName": "Anonymous",
        }),
        (ORGANIZATION, false) => return sign_in(&headers),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    Json(json!({ "authenticatedUser": user, "authorizedUser": user, "deploymentType": "hosted" }))
        .into_response()
}

async fn project(
    State(shared): State<Shared>,
    Path((_, project)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if !is_known(&shared, &headers) {
        return sign_in(&headers);
    }
    if project == PROJECT {
        Json(json!({ "id": "eb6e4656-77fc-42a1-9181-4c6d8e9da5d1", "name": PROJECT, "state": "wellFormed" }))
            .into_response()
    } else {
        fault(StatusCode::NOT_FOUND, "ProjectDoesNotExistWithNameException")
    }
}

fn is_known(shared: &Shared, headers: &HeaderMap) -> bool {
    basic(headers).is_some_and(|(user, token)| user.is_empty() && shared.lock().allowed.has(KIND, &token))
}

fn sign_in(headers: &HeaderMap) -> Response {
    if headers.get("x-tfs-fedauthredirect").is_some_and(|value| value == "Suppress") {
        StatusCode::UNAUTHORIZED.into_response()
    } else {
        (StatusCode::FOUND, [(header::LOCATION, "https://signin.invalid/_signin")]).into_response()
    }
}

fn fault(status: StatusCode, key: &str) -> Response {
    (status, Json(json!({ "$id": "1", "message": "TF200016", "typeKey": key, "errorCode": 0 })))
        .into_response()
}
