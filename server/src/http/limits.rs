//! What holds for every request: an id, a span, a time limit, a body limit, and no way for a panic to
//! take more than its own request down.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, Response, header};
use axum::middleware::{self, Next};
use integraci_api::{Problem, ProblemCode};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::Instrument;
use uuid::Uuid;

use super::problem;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id taken from a caller, in bytes: a UUID with room to spare.
const REQUEST_ID_MAX_LEN: usize = 64;

/// The limits of every request.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// The longest a request may take, long polls included.
    pub timeout: Duration,
    /// The most requests of one token in a minute, at all replicas together.
    pub requests_per_minute_per_token: i64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            // The largest honest body is a connector with a few PEM secrets.
            body_bytes: 256 * 1024,
            // The longest poll is 30 s.
            timeout: Duration::from_secs(60),
            // An apply of some hundreds of connectors makes thousands, in minutes.
            requests_per_minute_per_token: 6_000,
        }
    }
}

pub(super) fn apply(router: Router, limits: HttpLimits) -> Router {
    router
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(middleware::from_fn(move |request, next| observed(request, next, limits.timeout)))
}

/// Gives the request an id and a span, and ends it when its time is up.
async fn observed(request: Request, next: Next, timeout: Duration) -> Response<Body> {
    let id = request
        .headers()
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|text| is_request_id(text))
        .map_or_else(|| Uuid::now_v7().simple().to_string(), str::to_owned);
    let span = tracing::info_span!("request", id, method = %request.method(), path = request.uri().path(), status = tracing::field::Empty);
    let answer = async {
        match tokio::time::timeout(timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_) => problem::response(
                &Problem::new(ProblemCode::Timeout, "the request took too long and was given up"),
                None,
            ),
        }
    };
    let mut response = problem::REQUEST_ID.scope(id.clone(), answer.instrument(span.clone())).await;
    span.record("status", response.status().as_u16());
    span.in_scope(|| tracing::info!("answered"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(&REQUEST_ID, value);
    }
    response
}

fn is_request_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= REQUEST_ID_MAX_LEN
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
