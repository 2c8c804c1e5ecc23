//! Lets callers in.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

use crate::accounts::{Caller, TokenSecret, unauthenticated};
use crate::app::App;
use crate::error::Error;

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        // Taken out, so that nothing further in can log it.
        let header = parts.headers.remove(header::AUTHORIZATION).ok_or_else(unauthenticated)?;
        let secret =
            header.to_str().ok().and_then(bearer).and_then(TokenSecret::parse).ok_or_else(unauthenticated)?;
        app.tokens.caller(&secret).await
    }
}

/// The credentials of a bearer header; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, credentials) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credentials.trim())
}
