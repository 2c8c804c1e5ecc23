//! `/.well-known/integraci-keys.json`: the public keys, for everybody.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::error::Error;

/// A key that is new is known everywhere within minutes; one that was there stays.
const CACHED: &str = "public, max-age=300";

/// The keys that the platform's documents are checked by, as a JWK Set (RFC 7517). Asks for no token.
pub(super) async fn keys(State(app): State<App>) -> Result<Response, Error> {
    let keys = app.attestations.keys().await?;
    let headers = [(header::CACHE_CONTROL, CACHED), (header::CONTENT_TYPE, "application/jwk-set+json")];
    Ok((headers, Json(keys)).into_response())
}
