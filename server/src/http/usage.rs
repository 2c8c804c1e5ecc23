//! `/v1/tenants/{tenant_id}/events` and `/v1/tenants/{tenant_id}/usage`

use axum::Json;
use axum::extract::State;
use integraci_api::TenantId;
use integraci_api::tokens::Scope;
use integraci_api::usage::{EventBatch, EventsTaken, Granularity, Usage};
use serde::Deserialize;
use time::OffsetDateTime;

use super::body::Body;
use super::openapi::Problems;
use super::request::{Ids, Params};
use crate::accounts::Caller;
use crate::app::App;
use crate::error::Error;
use crate::usage::Batch;

/// The largest batch, in bytes: a thousand events of the longest names that are written in ASCII, and room.
pub(super) const BODY_MAX_BYTES: usize = 1024 * 1024;

/// Counts events. Each is counted once, however often it is sent, so a batch whose answer was lost is simply
/// sent again. What is wrong with some of them is told, and the others are counted.
#[utoipa::path(post, path = "/tenants/{tenant_id}/events", tag = "usage", request_body = EventBatch,
    params(("tenant_id" = TenantId, Path)), responses((status = 200, body = EventsTaken), Problems))]
pub(super) async fn ingest(
    caller: Caller,
    State(app): State<App>,
    Ids(tenant): Ids<TenantId>,
    Body(batch): Body<Batch>,
) -> Result<Json<EventsTaken>, Error> {
    app.meter.ingest(&caller.tenant(tenant, Scope::UsageWrite)?, &batch).await.map(Json)
}

/// What is asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// What is counted: `pipeline_runs_per_month` or `deploys_per_month`.
    #[serde(default)]
    #[param(required)]
    dimension: String,
    /// Whether counts of hours or of months are told; hours if not said.
    #[serde(default)]
    #[param(inline)]
    granularity: Granularity,
    /// From the hour or month of this time (RFC 3339); a day before `to`, or its month, if not said.
    #[serde(default, with = "time::serde::rfc3339::option")]
    from: Option<OffsetDateTime>,
    /// Until before this time (RFC 3339): at most 31 days of hours, or 36 months; now if not said.
    #[serde(default, with = "time::serde::rfc3339::option")]
    to: Option<OffsetDateTime>,
}

/// How much was counted, by hour or month.
#[utoipa::path(get, path = "/tenants/{tenant_id}/usage", tag = "usage",
    params(("tenant_id" = TenantId, Path), Wanted), responses((status = 200, body = Usage), Problems))]
pub(super) async fn read(
    caller: Caller,
    State(app): State<App>,
    Ids(tenant): Ids<TenantId>,
    Params(Wanted { dimension, granularity, from, to }): Params<Wanted>,
) -> Result<Json<Usage>, Error> {
    let authority = caller.tenant(tenant, Scope::UsageRead)?;
    app.meter.usage(&authority, &dimension, granularity, from, to).await.map(Json)
}
