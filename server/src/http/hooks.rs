//! `/hooks/{connector_id}`, where far sides send to, and
//! `/v1/tenants/{tenant_id}/connectors/{connector_id}/inbound-events`, where it is read what came.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use integraci_api::inbound::InboundEvents;
use integraci_api::tokens::Scope;
use integraci_api::{ConnectorId, Problem, ProblemCode, TenantId};
use serde::Deserialize;
use time::OffsetDateTime;

use super::openapi::Problems;
use super::request::{Ids, Params, mark_replayed};
use crate::accounts::Caller;
use crate::app::App;
use crate::connectors::inbound::Taken;
use crate::error::Error;

/// The largest delivery, in bytes. GitHub sends up to 25 MB; what has more than this is a push of thousands
/// of commits, and anybody may have us hold as much.
const BODY_MAX_BYTES: usize = 1024 * 1024;

/// `POST /hooks/{connector_id}`. Takes no token: the far side's signature says who it is.
pub(super) async fn receive(
    State(app): State<App>,
    Path(address): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    app.inbound.admit(&address)?;
    let (parts, body) = request.into_parts();
    // One that breaks off gets this answer too, and does not hear it.
    let body = axum::body::to_bytes(body, BODY_MAX_BYTES).await.map_err(|_| {
        let detail = format!("a delivery has at most {BODY_MAX_BYTES} bytes");
        Problem::new(ProblemCode::BodyTooLarge, detail)
    })?;
    let taken = app.inbound.receive(&address, &parts.headers, &body).await?;
    Ok(match taken {
        Taken::Counted => StatusCode::NO_CONTENT.into_response(),
        Taken::Replayed => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            mark_replayed(response.headers_mut(), true);
            response
        }
        Taken::Challenge(text) => ([(header::CONTENT_TYPE, "text/plain")], text).into_response(),
    })
}

/// The span of time that is asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// From the hour of this time (RFC 3339); a day before `to` if not said.
    #[serde(default, with = "time::serde::rfc3339::option")]
    from: Option<OffsetDateTime>,
    /// Until before this time (RFC 3339), at most 7 days later; now if not said.
    #[serde(default, with = "time::serde::rfc3339::option")]
    to: Option<OffsetDateTime>,
}

/// How many events the far side sent, by hour and kind.
#[utoipa::path(get, path = "/tenants/{tenant_id}/connectors/{connector_id}/inbound-events", tag = "connectors",
    params(("tenant_id" = TenantId, Path), ("connector_id" = ConnectorId, Path), Span),
    responses((status = 200, body = InboundEvents), Problems))]
pub(super) async fn events(
    caller: Caller,
    State(app): State<App>,
    Ids((tenant, id)): Ids<(TenantId, ConnectorId)>,
    Params(Span { from, to }): Params<Span>,
) -> Result<Json<InboundEvents>, Error> {
    app.inbound.events(&caller.tenant(tenant, Scope::ConnectorsRead)?, id, from, to).await.map(Json)
}
