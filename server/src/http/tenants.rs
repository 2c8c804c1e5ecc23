//! `/v1/tenants`

use axum::Json;
use axum::extract::State;
use integraci_api::operations::Operation;
use integraci_api::page::PageQuery;
use integraci_api::tenants::{Tenant, TenantCreate, TenantFilter, TenantUpdate};
use integraci_api::tokens::Scope;
use integraci_api::{Page, TenantId};

use super::body::Body;
use super::openapi::Problems;
use super::request::{Accepted, Ids, IfMatch, Key, Params, Tagged};
use crate::accounts::Caller;
use crate::app::App;
use crate::error::Error;
use crate::idempotency::{Answer, Once};
use crate::page::Slice;

/// Starts to make a tenant; 202 with the operation to follow.
#[utoipa::path(post, path = "/tenants", tag = "tenants", request_body = TenantCreate,
    params(("Idempotency-Key" = Option<String>, Header, description = "Sent again, the request has its effect once")),
    responses((status = 202, body = Operation), Problems))]
pub(super) async fn create(
    caller: Caller,
    State(app): State<App>,
    Key(key): Key,
    Body(wanted): Body<TenantCreate>,
) -> Result<Accepted, Error> {
    let authority = caller.platform(Scope::TenantsWrite)?;
    let once = Once::new(authority.token(), key, "POST /v1/tenants", &wanted);
    app.tenants.create(&authority, &once, wanted).await.map(Accepted)
}

/// The tenants that the token can see, oldest first.
#[utoipa::path(get, path = "/tenants", tag = "tenants", params(TenantFilter, PageQuery),
    responses((status = 200, body = Page<Tenant>), Problems))]
pub(super) async fn list(
    caller: Caller,
    State(app): State<App>,
    Params(filter): Params<TenantFilter>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Tenant>>, Error> {
    caller.allow(Scope::TenantsRead)?;
    app.tenants.list(&caller, &filter, Slice::of(&page)?).await.map(Json)
}

/// A tenant.
#[utoipa::path(get, path = "/tenants/{tenant_id}", tag = "tenants", params(("tenant_id" = TenantId, Path)),
    responses((status = 200, body = Tenant), Problems))]
pub(super) async fn get(
    caller: Caller,
    State(app): State<App>,
    Ids(id): Ids<TenantId>,
) -> Result<Tagged<Tenant>, Error> {
    let tenant = app.tenants.get(&caller.tenant(id, Scope::TenantsRead)?).await?;
    Ok(Tagged(tenant.revision, tenant))
}

/// Changes a tenant; what is absent stays.
#[utoipa::path(patch, path = "/tenants/{tenant_id}", tag = "tenants", request_body = TenantUpdate,
    params(("tenant_id" = TenantId, Path), ("If-Match" = Option<String>, Header, description = "The ETag read before")),
    responses((status = 200, body = Tenant), Problems))]
pub(super) async fn update(
    caller: Caller,
    State(app): State<App>,
    Ids(id): Ids<TenantId>,
    IfMatch(expected): IfMatch,
    Body(wanted): Body<TenantUpdate>,
) -> Result<Tagged<Tenant>, Error> {
    let tenant = app.tenants.update(&caller.tenant(id, Scope::TenantsWrite)?, expected, &wanted).await?;
    Ok(Tagged(tenant.revision, tenant))
}

/// Starts to remove a tenant with all that is in it; 202 with the operation to follow.
#[utoipa::path(delete, path = "/tenants/{tenant_id}", tag = "tenants",
    params(("tenant_id" = TenantId, Path), ("If-Match" = Option<String>, Header, description = "The ETag read before")),
    responses((status = 202, body = Operation), Problems))]
pub(super) async fn delete(
    caller: Caller,
    State(app): State<App>,
    Ids(id): Ids<TenantId>,
    IfMatch(expected): IfMatch,
) -> Result<Accepted, Error> {
    let authority = caller.tenant(id, Scope::TenantsWrite)?;
    app.tenants.delete(&authority, expected).await.map(Answer::first).map(Accepted)
}
