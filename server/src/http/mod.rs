//! HTTP: routes, one file a resource, and what they share. Knows no SQL and no far system; it turns
//! requests into calls of a capability, and what the capability answers into responses.

mod attestations;
mod auth;
mod billing;
mod body;
mod connectors;
mod credentials;
mod health;
mod hooks;
mod keys;
mod limits;
mod oidc;
mod openapi;
mod operations;
mod plans;
mod problem;
mod quotas;
mod rate_limit;
mod request;
mod tenants;
mod tokens;
mod usage;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use crate::app::App;

pub use limits::HttpLimits;

/// Every route under `/v1`, with its description. They stand behind [`auth::admit`], each handler takes a
/// `Caller`, and a test holds every one of them to refusing a request without a token.
fn v1() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(plans::list))
        .routes(routes!(tenants::create, tenants::list))
        .routes(routes!(tenants::get, tenants::update, tenants::delete))
        .routes(routes!(connectors::create, connectors::list))
        .routes(routes!(connectors::get, connectors::update, connectors::delete))
        .routes(routes!(connectors::compare_secrets))
        .routes(routes!(oidc::trust))
        .routes(routes!(connectors::rotate))
        .routes(routes!(hooks::events))
        .routes(routes!(connectors::verify))
        .routes(routes!(quotas::get, quotas::set, quotas::reset))
        .routes(routes!(quotas::usage))
        .routes(routes!(usage::ingest).layer(DefaultBodyLimit::max(usage::BODY_MAX_BYTES)))
        .routes(routes!(usage::read))
        .routes(routes!(attestations::create, attestations::list))
        .routes(routes!(attestations::get))
        .routes(routes!(billing::get))
        .routes(routes!(billing::statements))
        .routes(routes!(billing::statement))
        .routes(routes!(credentials::issue))
        .routes(routes!(credentials::revoke))
        .routes(routes!(credentials::renew))
        .routes(routes!(operations::get))
        .routes(routes!(tokens::create, tokens::list))
        .routes(routes!(tokens::revoke))
}

/// The whole server.
pub fn router(app: App, limits: HttpLimits) -> Router {
    let v1 = v1().route_layer(middleware::from_fn_with_state(app.clone(), auth::admit));
    let (api, description) = openapi::describe(OpenApiRouter::new().nest("/v1", v1)).split_for_parts();
    let router = api
        .route("/.well-known/integraci-keys.json", get(keys::keys))
        .route("/oidc/{tenant_id}/.well-known/openid-configuration", get(oidc::discovery))
        .route("/oidc/{tenant_id}/jwks.json", get(oidc::keys))
        .route("/hooks/{connector_id}", post(hooks::receive))
        .route("/billing/stripe", post(billing::receive))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .merge(openapi::routes(&description))
        .fallback(problem::no_such_address)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(app);
    limits::apply(router, limits)
}

/// The description of the API, as committed in `docs/openapi.json`.
#[must_use]
pub fn openapi_json() -> String {
    let (_, description) = openapi::describe(OpenApiRouter::<App>::new().nest("/v1", v1())).split_for_parts();
    let mut json = description.to_pretty_json().unwrap_or_default();
    json.push('\n');
    json
}
