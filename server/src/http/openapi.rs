//! The API's description, made from the routes themselves.

use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use integraci_api::Problem;
use integraci_api::credentials::Lender;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, ComponentsBuilder, Info, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_scalar::Scalar;

use crate::app::App;

/// Adds what no single route can say of the whole.
pub(super) fn describe(router: OpenApiRouter<App>) -> OpenApiRouter<App> {
    let mut info = Info::new("IntegraCI", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "The control plane of IntegraCI. Long work answers 202 with an operation to follow; errors are RFC 9457 \
         problems with a stable `code`; every POST takes an `Idempotency-Key`, every change an `If-Match`. Every \
         answer to a token tells its limits in `RateLimit-Policy` and `RateLimit`; 429 says in `Retry-After` when to \
         come back."
            .to_owned(),
    );
    // Of the types, those that stand in no body but only in a path.
    let mut components: Components = ComponentsBuilder::new().schema_from::<Lender>().build();
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
    );
    let base = OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new("token", Vec::<String>::new())]))
        .build();
    OpenApiRouter::with_openapi(base).merge(router)
}

/// `/openapi.json` and `/docs`.
pub(super) fn routes(description: &OpenApi) -> axum::Router<App> {
    let page = Scalar::new(description.clone()).to_html();
    let json = description.to_json().unwrap_or_default();
    axum::Router::new().route("/docs", get(move || async move { Html(page) })).route(
        "/openapi.json",
        get(move || async move { ([(header::CONTENT_TYPE, "application/json")], json).into_response() }),
    )
}

/// The responses that any route can give.
#[derive(utoipa::IntoResponses)]
pub(super) enum Problems {
    /// The request is not carried out; `code` says why.
    #[response(status = "4XX", content_type = "application/problem+json")]
    #[expect(dead_code, reason = "names a schema")]
    Refused(Problem),
    /// The server or a system behind it is at fault.
    #[response(status = "5XX", content_type = "application/problem+json")]
    #[expect(dead_code, reason = "names a schema")]
    Fault(Problem),
}
