//! `/v1/tokens`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use integraci_api::page::PageQuery;
use integraci_api::tokens::{Token, TokenCreate};
use integraci_api::{Page, SecretText, TokenId};

use super::body::Body;
use super::openapi::Problems;
use super::request::{Ids, Key, Params};
use crate::accounts::{Caller, Made};
use crate::app::App;
use crate::error::Error;
use crate::idempotency::Once;
use crate::page::Slice;

/// A token just made. Its value is in this answer and nowhere else.
#[derive(utoipa::ToSchema)]
#[expect(
    dead_code,
    reason = "names a schema; the answer itself is written by hand, the value having no Serialize"
)]
pub(super) struct TokenMade {
    /// Its record.
    token: Token,
    /// Its value.
    #[schema(value_type = String)]
    value: SecretText,
}

/// Makes a token. Its value is shown once: a request sent again with its `Idempotency-Key` is told
/// which token it made, and not the value.
#[utoipa::path(post, path = "/tokens", tag = "tokens", request_body = TokenCreate,
    params(("Idempotency-Key" = Option<String>, Header, description = "Sent again, the request has its effect once")),
    responses((status = 201, body = TokenMade), Problems))]
pub(super) async fn create(
    caller: Caller,
    State(app): State<App>,
    Key(key): Key,
    Body(wanted): Body<TokenCreate>,
) -> Result<Response, Error> {
    let once = Once::new(caller.token(), key, "POST /v1/tokens", &wanted);
    Ok(shown_once(&app.tokens.create(&caller, &once, wanted).await?))
}

fn shown_once(made: &Made) -> Response {
    let body = serde_json::json!({ "token": made.token, "value": made.secret.expose() });
    (StatusCode::CREATED, Json(body)).into_response()
}

/// The tokens that the caller can see, oldest first; never their values.
#[utoipa::path(get, path = "/tokens", tag = "tokens", params(PageQuery),
    responses((status = 200, body = Page<Token>), Problems))]
pub(super) async fn list(
    caller: Caller,
    State(app): State<App>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Token>>, Error> {
    app.tokens.list(&caller, Slice::of(&page)?).await.map(Json)
}

/// Revokes a token, from the next request on.
#[utoipa::path(delete, path = "/tokens/{token_id}", tag = "tokens", params(("token_id" = TokenId, Path)),
    responses((status = 204, description = "It no longer works"), Problems))]
pub(super) async fn revoke(
    caller: Caller,
    State(app): State<App>,
    Ids(id): Ids<TokenId>,
) -> Result<StatusCode, Error> {
    app.tokens.revoke(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
