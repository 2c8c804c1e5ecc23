//! `/v1/tenants/{tenant_id}/quota`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use integraci_api::TenantId;
use integraci_api::quotas::{Quota, QuotaSet, QuotaUsage};
use integraci_api::tokens::Scope;

use super::body::Body;
use super::openapi::Problems;
use super::request::{Ids, IfMatch, Tagged};
use crate::accounts::Caller;
use crate::app::App;
use crate::error::Error;

/// The tenant's limits and use.
#[utoipa::path(get, path = "/tenants/{tenant_id}/quota", tag = "quotas", params(("tenant_id" = TenantId, Path)),
    responses((status = 200, body = Quota), Problems))]
pub(super) async fn get(
    caller: Caller,
    State(app): State<App>,
    Ids(tenant): Ids<TenantId>,
) -> Result<Tagged<Quota>, Error> {
    let quota = app.quotas.get(&caller.tenant(tenant, Scope::QuotasRead)?).await?;
    Ok(Tagged(quota.revision, quota))
}

/// How much of every dimension is used, by asking whoever counts it. What a system does not tell is unknown.
#[utoipa::path(get, path = "/tenants/{tenant_id}/quota/usage", tag = "quotas", params(("tenant_id" = TenantId, Path)),
    responses((status = 200, body = QuotaUsage), Problems))]
pub(super) async fn usage(
    caller: Caller,
    State(app): State<App>,
    Ids(tenant): Ids<TenantId>,
) -> Result<Json<QuotaUsage>, Error> {
    app.quotas.usage(&caller.tenant(tenant, Scope::QuotasRead)?).await.map(Json)
}

/// Sets the tenant's own limits, all of them; a dimension not named has the plan's. Where systems have to be
/// brought to them, `operation_id` is the operation that does it.
#[utoipa::path(put, path = "/tenants/{tenant_id}/quota", tag = "quotas", request_body = QuotaSet,
    params(("tenant_id" = TenantId, Path), ("If-Match" = Option<String>, Header, description = "The ETag read before")),
    responses((status = 200, body = Quota), Problems))]
pub(super) async fn set(
    caller: Caller,
    State(app): State<App>,
    Ids(tenant): Ids<TenantId>,
    IfMatch(expected): IfMatch,
    Body(wanted): Body<QuotaSet>,
) -> Result<Tagged<Quota>, Error> {
    let quota = app.quotas.set(&caller.tenant(tenant, Scope::QuotasWrite)?, expected, &wanted).await?;
    Ok(Tagged(quota.revision, quota))
}

/// Goes back to the plan's limits. Where systems have to be brought to them, the quota has `operation_id` until
/// that is done.
#[utoipa::path(delete, path = "/tenants/{tenant_id}/quota", tag = "quotas", params(("tenant_id" = TenantId, Path)),
    responses((status = 204, description = "The plan's limits are in force"), Problems))]
pub(super) async fn reset(
    caller: Caller,
    State(app): State<App>,
    Ids(tenant): Ids<TenantId>,
) -> Result<StatusCode, Error> {
    app.quotas.reset(&caller.tenant(tenant, Scope::QuotasWrite)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
