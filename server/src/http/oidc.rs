//! The platform as an OIDC issuer: what far sides read, without a token, and what a tenant is told to have
//! them trust.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use integraci_api::TenantId;
use integraci_api::oidc::OidcTrust;
use integraci_api::tokens::Scope;
use serde::{Deserialize, Serialize};

use super::openapi::Problems;
use super::request::{Ids, Params};
use crate::accounts::Caller;
use crate::app::App;
use crate::error::Error;
use crate::oidc::PUBLISHED_MAX_AGE;

/// Whose trust is asked for. One that is missing is as bad as an empty one, and told at its field, to who may
/// ask at all.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The connector's name; there may be no connector of that name yet.
    #[serde(default)]
    #[param(required)]
    connector: String,
    /// Its kind: one that does without a secret.
    #[serde(default)]
    #[param(required)]
    kind: String,
}

/// What a far side must be told to trust before a connector without a secret can be used there. The
/// connector need not exist yet.
#[utoipa::path(get, path = "/tenants/{tenant_id}/oidc-trust", tag = "connectors",
    params(("tenant_id" = TenantId, Path), Wanted),
    responses((status = 200, body = OidcTrust), Problems))]
pub(super) async fn trust(
    caller: Caller,
    State(app): State<App>,
    Ids(tenant): Ids<TenantId>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<OidcTrust>, Error> {
    app.tenants.get(&caller.tenant(tenant, Scope::ConnectorsRead)?).await?;
    app.issuer.trust(tenant, &wanted.connector, &wanted.kind).map(Json)
}

/// `/oidc/{tenant_id}/.well-known/openid-configuration`: made of the address alone, so that nobody learns
/// by it which tenants there are.
pub(super) async fn discovery(State(app): State<App>, path: Path<String>) -> Result<Response, Error> {
    let discovery = app.issuer.discovery(tenant(&path)?).ok_or_else(Error::not_found)?;
    Ok(published("application/json", discovery))
}

/// `/oidc/{tenant_id}/jwks.json`: the same for every tenant.
pub(super) async fn keys(State(app): State<App>, path: Path<String>) -> Result<Response, Error> {
    tenant(&path)?;
    let keys = app.issuer.key_set().await?.ok_or_else(Error::not_found)?;
    Ok(published("application/jwk-set+json", keys))
}

/// The tenant of an issuer's address. Written in one way only: far sides compare issuers as texts.
fn tenant(text: &str) -> Result<TenantId, Error> {
    let tenant: Option<TenantId> = text.parse().ok();
    tenant.filter(|tenant| tenant.to_string() == text).ok_or_else(Error::not_found)
}

fn published(content: &'static str, document: impl Serialize) -> Response {
    let cached = format!("public, max-age={}", PUBLISHED_MAX_AGE.as_secs());
    let headers = [(header::CACHE_CONTROL, cached), (header::CONTENT_TYPE, content.to_owned())];
    (headers, Json(document)).into_response()
}
