//! Errors as responses. The only place that turns a fault into a status, and the only place where one
//! is logged.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use integraci_api::{Problem, ProblemCode};

use crate::error::Error;

/// What a client is told to wait when the database is away: about as long as a failover takes.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(2);

tokio::task_local! {
    /// The id of the request that this task answers.
    pub(super) static REQUEST_ID: String;
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(problem) => response(&problem, None),
            Self::Later { problem, retry_after } => response(&problem, Some(retry_after)),
            Self::Store(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, source, "the database failed");
                if error.is_unavailable() {
                    let problem = Problem::new(
                        ProblemCode::Unavailable,
                        "the database does not answer, or is too busy for this; try again shortly",
                    );
                    response(&problem, Some(STORE_RETRY_AFTER))
                } else {
                    response(&internal(), None)
                }
            }
            Self::Internal(fault) => {
                tracing::error!(fault, "internal fault");
                response(&internal(), None)
            }
        }
    }
}

fn internal() -> Problem {
    Problem::new(
        ProblemCode::Internal,
        "the server met a fault of its own; it is logged under the request id",
    )
}

/// A problem as a response.
pub(super) fn response(problem: &Problem, retry_after: Option<Duration>) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let request_id = REQUEST_ID.try_with(Clone::clone).ok();
    let mut response = (status, Json(Problem { request_id, ..problem.clone() })).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if problem.code == ProblemCode::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"integraci\""));
    }
    if let Some(wait) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    response
}

/// A wait as `Retry-After` says it: rounded up, and never zero, which would invite the client back at once.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// The answer to a panic in a handler; the panic itself is logged by the panic hook.
pub(super) fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    response(&internal(), None)
}

pub(super) async fn no_such_address(uri: Uri) -> Response {
    tracing::debug!(path = uri.path(), "no such address");
    response(
        &Problem::new(ProblemCode::NotFound, "no such address; the API is described at /openapi.json"),
        None,
    )
}

pub(super) async fn no_such_method() -> Response {
    response(&Problem::new(ProblemCode::MethodNotAllowed, "this address does not have that method"), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_whole_seconds_that_are_not_too_few() {
        for (millis, told) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), told, "{millis}");
        }
    }
}
