//! `/v1/plans`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use integraci_api::Page;
use integraci_api::tokens::Scope;
use serde::Serialize;

use crate::accounts::Caller;
use crate::app::App;
use crate::error::Error;

/// A plan as the API shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PlanView {
    /// The word in requests.
    name: String,
    /// The limit of every dimension.
    limits: BTreeMap<String, i64>,
}

/// The plans there are.
#[utoipa::path(get, path = "/plans", tag = "tenants", responses((status = 200, body = Page<PlanView>)))]
pub(super) async fn list(caller: Caller, State(app): State<App>) -> Result<Json<Page<PlanView>>, Error> {
    caller.allow_any(&[Scope::TenantsRead, Scope::QuotasRead])?;
    let items = app
        .plans
        .iter()
        .map(|plan| PlanView { name: plan.name.clone(), limits: plan.limits.clone() })
        .collect();
    Ok(Json(Page { items, next_cursor: None }))
}
