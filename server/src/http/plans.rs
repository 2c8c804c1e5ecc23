//! `/v1/plans`

use axum::Json;
use axum::extract::State;
use integraci_api::Page;
use integraci_api::plans::Plan;
use integraci_api::tokens::Scope;

use crate::accounts::Caller;
use crate::app::App;
use crate::error::Error;

/// The plans there are.
#[utoipa::path(get, path = "/plans", tag = "tenants", responses((status = 200, body = Page<Plan>)))]
pub(super) async fn list(caller: Caller, State(app): State<App>) -> Result<Json<Page<Plan>>, Error> {
    caller.allow_any(&[Scope::TenantsRead, Scope::QuotasRead])?;
    let items = app.plans.iter().map(|plan| plan.view()).collect();
    Ok(Json(Page { items, next_cursor: None }))
}
