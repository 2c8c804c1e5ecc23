//! `/v1/tenants/{tenant_id}/attestations`

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use integraci_api::attestations::Attestation;
use integraci_api::page::PageQuery;
use integraci_api::tokens::Scope;
use integraci_api::{AttestationId, Page, TenantId};

use super::openapi::Problems;
use super::request::{Ids, Key, Params, mark_replayed};
use crate::accounts::Caller;
use crate::app::App;
use crate::error::Error;
use crate::idempotency::Once;
use crate::page::Slice;

/// Tries the tenant's isolation in every system, and answers, once all is tried (seconds), with what was
/// found, signed. That something failed is an answer as well: see `passed`.
#[utoipa::path(post, path = "/tenants/{tenant_id}/attestations", tag = "attestations",
    params(("tenant_id" = TenantId, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent again, the request has its effect once")),
    responses((status = 201, body = Attestation), Problems))]
pub(super) async fn create(
    caller: Caller,
    State(app): State<App>,
    Ids(tenant): Ids<TenantId>,
    Key(key): Key,
) -> Result<Response, Error> {
    let authority = caller.tenant(tenant, Scope::AttestationsWrite)?;
    let once = Once::new(authority.token(), key, "POST /v1/tenants/{}/attestations", &tenant);
    let made = app.attestations.make(&authority, once).await?;
    let location = format!("/v1/tenants/{tenant}/attestations/{}", made.value.statement.id);
    let mut response = (StatusCode::CREATED, Json(&made.value)).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    mark_replayed(response.headers_mut(), made.replayed);
    Ok(response)
}

/// The tenant's attestations, newest first.
#[utoipa::path(get, path = "/tenants/{tenant_id}/attestations", tag = "attestations",
    params(("tenant_id" = TenantId, Path), PageQuery),
    responses((status = 200, body = Page<Attestation>), Problems))]
pub(super) async fn list(
    caller: Caller,
    State(app): State<App>,
    Ids(tenant): Ids<TenantId>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Attestation>>, Error> {
    let authority = caller.tenant(tenant, Scope::TenantsRead)?;
    app.attestations.list(&authority, Slice::of(&page)?).await.map(Json)
}

/// An attestation, as it was signed.
#[utoipa::path(get, path = "/tenants/{tenant_id}/attestations/{attestation_id}", tag = "attestations",
    params(("tenant_id" = TenantId, Path), ("attestation_id" = AttestationId, Path)),
    responses((status = 200, body = Attestation), Problems))]
pub(super) async fn get(
    caller: Caller,
    State(app): State<App>,
    Ids((tenant, id)): Ids<(TenantId, AttestationId)>,
) -> Result<Json<Attestation>, Error> {
    app.attestations.get(&caller.tenant(tenant, Scope::TenantsRead)?, id).await.map(Json)
}
