//! `/v1/tenants/{tenant_id}/connectors`

use axum::Json;
use axum::extract::State;
use integraci_api::connectors::{
    Connector, ConnectorCreate, ConnectorUpdate, OldSecret, RotationCreate, SecretComparison,
    SecretDifference,
};
use integraci_api::operations::Operation;
use integraci_api::page::PageQuery;
use integraci_api::tokens::Scope;
use integraci_api::{ConnectorId, Page, TenantId};
use serde::Deserialize;

use super::body::Body;
use super::openapi::Problems;
use super::request::{Accepted, Ids, IfMatch, Key, Params, Tagged};
use crate::accounts::Caller;
use crate::app::App;
use crate::error::Error;
use crate::idempotency::{Answer, Once};
use crate::page::Slice;

/// Narrows a list of connectors.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only the connector of this name.
    name: Option<String>,
    /// Only connectors of this kind.
    kind: Option<String>,
}

/// Starts to install a connector; 202 with the operation to follow. The secret goes into the tenant's
/// OpenBao and is never read back.
#[utoipa::path(post, path = "/tenants/{tenant_id}/connectors", tag = "connectors", request_body = ConnectorCreate,
    params(("tenant_id" = TenantId, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent again, the request has its effect once")),
    responses((status = 202, body = Operation), Problems))]
pub(super) async fn create(
    caller: Caller,
    State(app): State<App>,
    Ids(tenant): Ids<TenantId>,
    Key(key): Key,
    Body(wanted): Body<ConnectorCreate>,
) -> Result<Accepted, Error> {
    let authority = caller.tenant(tenant, Scope::ConnectorsWrite)?;
    // The fingerprint holds the secrets' names and never their values.
    let names: Vec<_> = wanted.secrets.keys().collect();
    let asked =
        (tenant, &wanted.name, &wanted.kind, &wanted.config, names, wanted.verify, wanted.rotate_every_days);
    let once = Once::new(authority.token(), key, "POST /v1/tenants/{}/connectors", &asked);
    app.connectors.create(&authority, &once, &wanted).await.map(Accepted)
}

/// The tenant's connectors, oldest first.
#[utoipa::path(get, path = "/tenants/{tenant_id}/connectors", tag = "connectors",
    params(("tenant_id" = TenantId, Path), Filter, PageQuery),
    responses((status = 200, body = Page<Connector>), Problems))]
pub(super) async fn list(
    caller: Caller,
    State(app): State<App>,
    Ids(tenant): Ids<TenantId>,
    Params(filter): Params<Filter>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Connector>>, Error> {
    let authority = caller.tenant(tenant, Scope::ConnectorsRead)?;
    let slice = Slice::of(&page)?;
    app.connectors.list(&authority, filter.name.as_deref(), filter.kind.as_deref(), slice).await.map(Json)
}

/// A connector.
#[utoipa::path(get, path = "/tenants/{tenant_id}/connectors/{connector_id}", tag = "connectors",
    params(("tenant_id" = TenantId, Path), ("connector_id" = ConnectorId, Path)),
    responses((status = 200, body = Connector), Problems))]
pub(super) async fn get(
    caller: Caller,
    State(app): State<App>,
    Ids((tenant, id)): Ids<(TenantId, ConnectorId)>,
) -> Result<Tagged<Connector>, Error> {
    let connector = app.connectors.get(&caller.tenant(tenant, Scope::ConnectorsRead)?, id).await?;
    Ok(Tagged(connector.revision, connector))
}

/// Starts to change a connector; 202 with the operation to follow. Until the change is verified, what
/// was there stays in force.
#[utoipa::path(patch, path = "/tenants/{tenant_id}/connectors/{connector_id}", tag = "connectors",
    request_body = ConnectorUpdate,
    params(("tenant_id" = TenantId, Path), ("connector_id" = ConnectorId, Path),
        ("If-Match" = Option<String>, Header, description = "The ETag read before")),
    responses((status = 202, body = Operation), Problems))]
pub(super) async fn update(
    caller: Caller,
    State(app): State<App>,
    Ids((tenant, id)): Ids<(TenantId, ConnectorId)>,
    IfMatch(expected): IfMatch,
    Body(wanted): Body<ConnectorUpdate>,
) -> Result<Accepted, Error> {
    let authority = caller.tenant(tenant, Scope::ConnectorsWrite)?;
    app.connectors.update(&authority, id, expected, &wanted).await.map(Answer::first).map(Accepted)
}

/// What becomes of the secret of a connector that is removed.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Removal {
    /// `forget` (the default) leaves it good at the far side, `revoke` has it revoked there first, for
    /// kinds that can.
    #[serde(default)]
    #[param(inline)]
    old_secret: OldSecret,
}

/// Starts to remove a connector and destroy its secret; 202 with the operation to follow.
#[utoipa::path(delete, path = "/tenants/{tenant_id}/connectors/{connector_id}", tag = "connectors",
    params(("tenant_id" = TenantId, Path), ("connector_id" = ConnectorId, Path), Removal,
        ("If-Match" = Option<String>, Header, description = "The ETag read before")),
    responses((status = 202, body = Operation), Problems))]
pub(super) async fn delete(
    caller: Caller,
    State(app): State<App>,
    Ids((tenant, id)): Ids<(TenantId, ConnectorId)>,
    Params(removal): Params<Removal>,
    IfMatch(expected): IfMatch,
) -> Result<Accepted, Error> {
    let authority = caller.tenant(tenant, Scope::ConnectorsWrite)?;
    app.connectors.delete(&authority, id, expected, removal.old_secret).await.map(Answer::first).map(Accepted)
}

/// Starts to put a new secret in the place of the one in force; 202 with the operation to follow. The
/// new one is stored beside the old and verified; what fails leaves the old one in force. The old one is
/// kept for a while and then destroyed.
#[utoipa::path(post, path = "/tenants/{tenant_id}/connectors/{connector_id}/rotations", tag = "connectors",
    request_body = RotationCreate,
    params(("tenant_id" = TenantId, Path), ("connector_id" = ConnectorId, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent again, the request has its effect once")),
    responses((status = 202, body = Operation), Problems))]
pub(super) async fn rotate(
    caller: Caller,
    State(app): State<App>,
    Ids((tenant, id)): Ids<(TenantId, ConnectorId)>,
    Key(key): Key,
    Body(wanted): Body<RotationCreate>,
) -> Result<Accepted, Error> {
    let authority = caller.tenant(tenant, Scope::ConnectorsWrite)?;
    // The fingerprint holds the secrets' names and never their values.
    let names: Option<Vec<_>> = wanted.secrets.as_ref().map(|secrets| secrets.keys().collect());
    let asked = (tenant, id, names, wanted.overlap_s, wanted.old_secret);
    let once = Once::new(authority.token(), key, "POST /v1/tenants/{}/connectors/{}/rotations", &asked);
    app.connectors.rotate(&authority, &once, id, &wanted).await.map(Accepted)
}

/// Asks the far side now whether it takes the connector's configuration and secret, and answers with the
/// connector as it is then. Rate limited.
#[utoipa::path(post, path = "/tenants/{tenant_id}/connectors/{connector_id}/verifications", tag = "connectors",
    params(("tenant_id" = TenantId, Path), ("connector_id" = ConnectorId, Path)),
    responses((status = 200, body = Connector), Problems))]
pub(super) async fn verify(
    caller: Caller,
    State(app): State<App>,
    Ids((tenant, id)): Ids<(TenantId, ConnectorId)>,
) -> Result<Tagged<Connector>, Error> {
    let authority = caller.tenant(tenant, Scope::ConnectorsWrite)?;
    let connector = app.connectors.verify_now(&authority, id).await?;
    Ok(Tagged(connector.revision, connector))
}

/// Whether these secrets differ from those in force. Rate limited; the answer never holds a value.
#[utoipa::path(post, path = "/tenants/{tenant_id}/connectors/{connector_id}/secret-comparisons", tag = "connectors",
    request_body = SecretComparison,
    params(("tenant_id" = TenantId, Path), ("connector_id" = ConnectorId, Path)),
    responses((status = 200, body = SecretDifference), Problems))]
pub(super) async fn compare_secrets(
    caller: Caller,
    State(app): State<App>,
    Ids((tenant, id)): Ids<(TenantId, ConnectorId)>,
    Body(given): Body<SecretComparison>,
) -> Result<Json<SecretDifference>, Error> {
    app.connectors.compare(&caller.tenant(tenant, Scope::ConnectorsRead)?, id, &given).await.map(Json)
}
