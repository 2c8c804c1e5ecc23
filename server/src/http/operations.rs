//! `/v1/operations`

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use integraci_api::OperationId;
use integraci_api::operations::{Operation, OperationWait, WAIT_MAX_S};
use integraci_api::tokens::Scope;

use super::openapi::Problems;
use super::request::{Ids, Params};
use crate::accounts::Caller;
use crate::app::App;
use crate::error::Error;

/// An operation. With `wait_s` the answer comes when it changes or settles, or after that time.
#[utoipa::path(get, path = "/operations/{operation_id}", tag = "operations",
    params(("operation_id" = OperationId, Path), OperationWait),
    responses((status = 200, body = Operation), Problems))]
pub(super) async fn get(
    caller: Caller,
    State(app): State<App>,
    Ids(id): Ids<OperationId>,
    Params(wait): Params<OperationWait>,
) -> Result<Json<Operation>, Error> {
    caller.allow_any(&[Scope::TenantsRead, Scope::ConnectorsRead])?;
    let wait_s = wait.wait_s.unwrap_or(0);
    if wait_s > WAIT_MAX_S {
        return Err(Error::invalid_at("/wait_s", format!("at most {WAIT_MAX_S} seconds")));
    }
    let longest = Duration::from_secs(u64::from(wait_s));
    app.operations.wait(&caller, id, wait.seen, longest).await.map(Json)
}
