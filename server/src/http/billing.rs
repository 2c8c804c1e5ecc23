//! `/v1/tenants/{tenant_id}/billing` and `…/statements`, and `/billing/stripe`, where Stripe sends to.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use integraci_api::billing::{Billing, Statement, day};
use integraci_api::page::PageQuery;
use integraci_api::tokens::Scope;
use integraci_api::{Page, TenantId};

use super::openapi::Problems;
use super::request::{Ids, Params, mark_replayed};
use crate::accounts::Caller;
use crate::app::App;
use crate::billing;
use crate::error::Error;
use crate::page::Slice;

/// The largest event, in bytes: Stripe's are some kilobytes, an invoice's with many lines some hundred.
const BODY_MAX_BYTES: usize = 1024 * 1024;

/// `POST /billing/stripe`. Takes no token: the signature says who it is.
pub(super) async fn receive(State(app): State<App>, request: Request) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_MAX_BYTES).await else { return Err(billing::refused()) };
    let is_first = app.billing.receive(&parts.headers, &body).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    mark_replayed(response.headers_mut(), !is_first);
    Ok(response)
}

/// How the tenant stands with the payment provider.
#[utoipa::path(get, path = "/tenants/{tenant_id}/billing", tag = "billing", params(("tenant_id" = TenantId, Path)),
    responses((status = 200, body = Billing), Problems))]
pub(super) async fn get(
    caller: Caller,
    State(app): State<App>,
    Ids(tenant): Ids<TenantId>,
) -> Result<Json<Billing>, Error> {
    app.billing.get(&caller.tenant(tenant, Scope::UsageRead)?).await.map(Json)
}

/// The tenant's statements, newest first.
#[utoipa::path(get, path = "/tenants/{tenant_id}/statements", tag = "billing",
    params(("tenant_id" = TenantId, Path), PageQuery),
    responses((status = 200, body = Page<Statement>), Problems))]
pub(super) async fn statements(
    caller: Caller,
    State(app): State<App>,
    Ids(tenant): Ids<TenantId>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Statement>>, Error> {
    let authority = caller.tenant(tenant, Scope::UsageRead)?;
    app.billing.statements(&authority, Slice::of(&page)?).await.map(Json)
}

/// The statement of a day.
#[utoipa::path(get, path = "/tenants/{tenant_id}/statements/{day}", tag = "billing",
    params(("tenant_id" = TenantId, Path), ("day" = String, Path, description = "A day in UTC, such as `2026-01-31`")),
    responses((status = 200, body = Statement), Problems))]
pub(super) async fn statement(
    caller: Caller,
    State(app): State<App>,
    Ids((tenant, day)): Ids<(TenantId, String)>,
) -> Result<Json<Statement>, Error> {
    let authority = caller.tenant(tenant, Scope::UsageRead)?;
    let day = day::parse(&day).ok_or_else(Error::not_found)?;
    app.billing.statement(&authority, day).await.map(Json)
}
