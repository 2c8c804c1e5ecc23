//! `/v1/tenants/{tenant_id}/credentials`

use axum::Json;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use integraci_api::credentials::{Credential, CredentialCreate, CredentialIssued, Lender};
use integraci_api::tokens::Scope;
use integraci_api::{CredentialId, TenantId};

use super::body::Body;
use super::openapi::Problems;
use super::request::{Ids, Key};
use crate::accounts::Caller;
use crate::app::App;
use crate::error::Error;
use crate::idempotency::Once;

/// Makes short-lived credentials for the tenant's place in a system. Their secrets are shown once: a
/// request sent again with its `Idempotency-Key` is told which credential it made, and no secret.
#[utoipa::path(post, path = "/tenants/{tenant_id}/credentials/{system}", tag = "credentials",
    request_body = CredentialCreate,
    params(("tenant_id" = TenantId, Path), ("system" = Lender, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent again, the request has its effect once")),
    responses((status = 201, body = CredentialIssued), Problems))]
pub(super) async fn issue(
    caller: Caller,
    State(app): State<App>,
    Ids((tenant, lender)): Ids<(TenantId, Lender)>,
    Key(key): Key,
    Body(asked): Body<CredentialCreate>,
) -> Result<Response, Error> {
    let authority = caller.tenant(tenant, Scope::CredentialsWrite)?;
    let what = "POST /v1/tenants/{}/credentials/{}";
    let once = Once::new(authority.token(), key, what, &(tenant, lender, &asked));
    let issued = app.credentials.issue(&authority, once, lender.into(), &asked).await?;
    Ok(shown_once(&issued))
}

fn shown_once(issued: &CredentialIssued) -> Response {
    let Credential { id, tenant_id, system, .. } = &issued.credential;
    let location = format!("/v1/tenants/{tenant_id}/credentials/{}/{id}", system.as_str());
    let body = HttpBody::from(Bytes::from_owner(issued.to_body()));
    let mut response = (StatusCode::CREATED, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(location) = HeaderValue::from_str(&location) {
        headers.insert(header::LOCATION, location);
    }
    response
}

/// Gives credentials more time, up to `renewable_until`.
#[utoipa::path(post, path = "/tenants/{tenant_id}/credentials/{system}/{credential_id}/renewals",
    tag = "credentials", request_body = CredentialCreate,
    params(("tenant_id" = TenantId, Path), ("system" = Lender, Path), ("credential_id" = CredentialId, Path)),
    responses((status = 200, body = Credential), Problems))]
pub(super) async fn renew(
    caller: Caller,
    State(app): State<App>,
    Ids((tenant, lender, id)): Ids<(TenantId, Lender, CredentialId)>,
    Body(asked): Body<CredentialCreate>,
) -> Result<Json<Credential>, Error> {
    let authority = caller.tenant(tenant, Scope::CredentialsWrite)?;
    app.credentials.renew(&authority, lender.into(), id, &asked).await.map(Json)
}

/// Gives credentials back: they stop working now.
#[utoipa::path(delete, path = "/tenants/{tenant_id}/credentials/{system}/{credential_id}",
    tag = "credentials",
    params(("tenant_id" = TenantId, Path), ("system" = Lender, Path), ("credential_id" = CredentialId, Path)),
    responses((status = 204, description = "They no longer work"), Problems))]
pub(super) async fn revoke(
    caller: Caller,
    State(app): State<App>,
    Ids((tenant, lender, id)): Ids<(TenantId, Lender, CredentialId)>,
) -> Result<StatusCode, Error> {
    let authority = caller.tenant(tenant, Scope::CredentialsWrite)?;
    app.credentials.revoke(&authority, lender.into(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}
