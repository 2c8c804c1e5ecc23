//! JSON bodies; what is wrong with one is told by `json`.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use integraci_api::{Problem, ProblemCode};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::json;

/// A JSON body of a type.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !content_type.is_some_and(is_json) {
            let detail = "send the body as `Content-Type: application/json`";
            return Err(Problem::new(ProblemCode::UnsupportedMediaType, detail).into());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
                Error::from(
                    Problem::new(ProblemCode::BodyTooLarge, "the body is larger than the server takes")
                        .at(""),
                )
            } else {
                Problem::new(ProblemCode::MalformedJson, "the body ended before it was whole").into()
            }
        })?;
        Ok(Self(json::parse(&bytes)?))
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence.eq_ignore_ascii_case("application/merge-patch+json")
}
