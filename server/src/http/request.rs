//! What routes read from a request beside its body: path ids, queries, `If-Match`, `Idempotency-Key`.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::HeaderMap;
use axum::http::header;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use integraci_api::operations::Operation;
use integraci_api::tenants::pointer_escape;
use integraci_api::{Problem, ProblemCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::error::Error;
use crate::idempotency::{Answer, KEY_MAX_LEN};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
static IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The ids of a path. A malformed id names nothing, so it is not found.
pub(super) struct Ids<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Ids<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(ids)| Self(ids)).map_err(|_| Error::not_found())
    }
}

/// A query of a type.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|rejection| {
            let pointer = parameter_of(&rejection)
                .map_or_else(String::new, |name| format!("/{}", pointer_escape(&name)));
            Error::invalid_at(&pointer, "this query parameter is not of its type; see /openapi.json")
        })
    }
}

/// Which parameter a query was rejected for. Axum keeps the way to it in the error from which it makes the
/// rejection.
fn parameter_of(rejection: &QueryRejection) -> Option<String> {
    let mut error: &(dyn std::error::Error + 'static) = rejection;
    loop {
        if let Some(error) = error.downcast_ref::<serde_path_to_error::Error<serde::de::value::Error>>() {
            return match error.path().iter().next() {
                Some(Segment::Map { key }) => Some(key.clone()),
                _ => None,
            };
        }
        error = error.source()?;
    }
}

/// `Idempotency-Key`, if there is one.
pub(super) struct Key(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let Some(value) = parts.headers.get(&IDEMPOTENCY_KEY) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default();
        if text.is_empty() || text.len() > KEY_MAX_LEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let detail = format!("an Idempotency-Key has 1 to {KEY_MAX_LEN} visible ASCII characters");
            return Err(Problem::new(ProblemCode::InvalidRequest, detail).into());
        }
        Ok(Self(Some(text.to_owned())))
    }
}

/// The revision that `If-Match` asks for; none when it is absent or `*`.
pub(super) struct IfMatch(pub(super) Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let revision = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .and_then(|digits| digits.parse().ok());
        match revision {
            Some(revision) => Ok(Self(Some(revision))),
            // An entity tag that we never gave out matches nothing.
            None => Err(precondition_failed()),
        }
    }
}

fn precondition_failed() -> Error {
    let detail = "If-Match is not the ETag of what is there now; read it again";
    Problem::new(ProblemCode::PreconditionFailed, detail).into()
}

/// An object with its revision as the ETag.
pub(super) struct Tagged<T>(pub(super) i64, pub(super) T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = axum::Json(self.1).into_response();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", self.0)) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// 202 with the operation to follow.
pub(super) struct Accepted(pub(super) Answer<Operation>);

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let location = format!("/v1/operations/{}", self.0.value.id);
        let mut response = (StatusCode::ACCEPTED, axum::Json(&self.0.value)).into_response();
        let headers = response.headers_mut();
        if let Ok(location) = HeaderValue::from_str(&location) {
            headers.insert(header::LOCATION, location);
        }
        mark_replayed(headers, self.0.replayed);
        response
    }
}

/// Says that the answer was given before.
pub(super) fn mark_replayed(headers: &mut HeaderMap, replayed: bool) {
    if replayed {
        headers.insert(&IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
}
