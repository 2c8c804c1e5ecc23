//! Lets callers in.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::rate_limit;
use crate::accounts::{Caller, TokenSecret, unauthenticated};
use crate::app::App;
use crate::error::Error;

/// Lets in who has a token, and counts the request for it, before anything is looked at of what it asks:
/// so whatever is refused here says nothing of what is there.
pub(super) async fn admit(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let caller = match caller(&app, &mut request).await {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    let standings = match app.request_limits.count(&caller).await {
        Ok(standings) => standings,
        Err(error) => return Error::from(error).into_response(),
    };
    let mut response = match rate_limit::refusal(&standings) {
        Some(refusal) => refusal.into_response(),
        None => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    };
    rate_limit::tell(response.headers_mut(), &standings);
    response
}

async fn caller(app: &App, request: &mut Request) -> Result<Caller, Error> {
    // Taken out, so that nothing further in can log it.
    let header = request.headers_mut().remove(header::AUTHORIZATION).ok_or_else(unauthenticated)?;
    let secret =
        header.to_str().ok().and_then(bearer).and_then(TokenSecret::parse).ok_or_else(unauthenticated)?;
    app.tokens.caller(&secret).await
}

/// Only `admit` knows who calls: a route that does not stand behind it lets nobody in.
impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Error> {
        parts.extensions.get().cloned().ok_or(Error::Internal("a route takes a caller and lets nobody in"))
    }
}

/// The credentials of a bearer header; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, credentials) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credentials.trim())
}
