//! What an answer of OpenBao means, and the errors made of it, which hold nothing of what it said.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use zeroize::{Zeroize as _, Zeroizing};

use super::{ErrorClass, System, SystemError};

/// The largest answer that is read: a connector's secrets at their largest, with JSON's escapes, fit.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// The longest pause that is taken from an answer: its rate limits are by the second or minute.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10 * 60);

/// What OpenBao answers when it does what is asked, or has nothing at the path.
pub(super) enum Answer {
    Body(Zeroizing<Vec<u8>>),
    Nothing,
}

/// Two calls that write to one mount at a time are two transactions, of which one fails, with a 500
/// that is told from others by its text alone (seen with OpenBao 2.7.2, on first use of an AppRole).
pub(super) fn is_conflict(body: &[u8]) -> bool {
    const WORDS: &[u8] = b"transaction commit failed";
    body.windows(WORDS.len()).any(|words| words == WORDS)
}

/// What a 404 means. With no word of an error there is nothing at the path, or only the traces of it;
/// with one the namespace or the store is missing; and what is not OpenBao's has not said anything.
pub(super) fn absence(operation: &'static str, body: &[u8]) -> Result<Answer, SystemError> {
    #[derive(Deserialize)]
    struct NotFound {
        errors: Option<Vec<IgnoredAny>>,
        request_id: Option<IgnoredAny>,
    }
    match serde_json::from_slice(body) {
        Ok(NotFound { errors: Some(errors), .. }) if !errors.is_empty() => {
            Err(gone(operation, "the namespace or the store is not there"))
        }
        Ok(NotFound { errors, request_id }) if errors.is_some() || request_id.is_some() => {
            Ok(Answer::Nothing)
        }
        _ => Err(broken(operation, "something else than OpenBao answers at its address")),
    }
}

pub(super) fn parsed<T: DeserializeOwned>(operation: &'static str, body: &[u8]) -> Result<T, SystemError> {
    serde_json::from_slice(body).map_err(|_| broken(operation, "the answer is not what OpenBao sends"))
}

pub(super) async fn read_bounded(mut response: Response) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|_| "the answer broke off")? {
        if body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err("the answer is larger than OpenBao's answers are");
        }
        if body.len() + chunk.len() > body.capacity() {
            // Grown by hand, so that the smaller buffer is wiped rather than given back as it is.
            let mut grown = Vec::with_capacity((body.capacity() * 2).max(body.len() + chunk.len()));
            grown.extend_from_slice(&body);
            body.zeroize();
            *body = grown;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

pub(super) fn why_unsent(failed: &reqwest::Error) -> &'static str {
    if failed.is_timeout() {
        "no answer in time"
    } else if failed.is_connect() {
        "it cannot be connected to; see whether it runs, and its address and certificate"
    } else {
        "the connection broke off"
    }
}

pub(super) const fn broken(operation: &'static str, reason: &'static str) -> SystemError {
    SystemError { system: System::OpenBao, operation, class: ErrorClass::Broken, reason, status: None }
}

pub(super) const fn gone(operation: &'static str, reason: &'static str) -> SystemError {
    let status = Some(StatusCode::NOT_FOUND.as_u16());
    SystemError { system: System::OpenBao, operation, class: ErrorClass::Gone, reason, status }
}

/// What any other status means (OpenBao HTTP API, "HTTP status codes").
pub(super) fn refusal(operation: &'static str, status: StatusCode, headers: &HeaderMap) -> SystemError {
    let retry_after = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    let (class, reason) = match status.as_u16() {
        400 => (ErrorClass::Refused, "the request was refused as invalid"),
        403 => (ErrorClass::Refused, "the platform's token may not do this, or is expired or revoked"),
        412 => (ErrorClass::Busy { retry_after }, "the node has not caught up yet"),
        429 => (ErrorClass::Busy { retry_after }, "its rate limit is reached"),
        473 | 503 => (ErrorClass::Busy { retry_after }, "it is sealed, standing by or under maintenance"),
        300..=399 => (ErrorClass::Broken, "it redirects elsewhere; give the address of the active node"),
        500..=599 => (ErrorClass::Broken, "it failed on its side; see its own log"),
        _ => (ErrorClass::Refused, "the request was refused"),
    };
    SystemError { system: System::OpenBao, operation, class, reason, status: Some(status.as_u16()) }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn a_status_has_a_class() {
        let class =
            |status: u16| refusal("x", StatusCode::from_u16(status).unwrap(), &HeaderMap::new()).class;
        assert_eq!(class(400), ErrorClass::Refused);
        assert_eq!(class(403), ErrorClass::Refused);
        assert_eq!(class(429), ErrorClass::Busy { retry_after: None });
        assert_eq!(class(503), ErrorClass::Busy { retry_after: None });
        assert_eq!(class(500), ErrorClass::Broken);
        assert_eq!(class(307), ErrorClass::Broken);
    }

    #[test]
    fn nothing_is_told_from_a_missing_namespace_and_from_somebody_elses_404() {
        let nothing = |body: &str| matches!(absence("x", body.as_bytes()), Ok(Answer::Nothing));
        let class = |body: &str| absence("x", body.as_bytes()).err().map(|error| error.class);
        assert!(nothing(r#"{"errors":[]}"#));
        assert!(nothing(r#"{"request_id":"1","data":{"data":null,"metadata":{"destroyed":true}}}"#));
        assert_eq!(class(r#"{"errors":["namespace not found"]}"#), Some(ErrorClass::Gone));
        for other in ["", "404 page not found", "{}", "[]", r#"{"errors":"none"}"#] {
            assert_eq!(class(other), Some(ErrorClass::Broken), "{other}");
        }
    }

    #[test]
    fn a_lost_transaction_is_told_from_other_failures() {
        assert!(is_conflict(br#"{"errors":["1 error occurred:\n\t* transaction commit failed\n\n"]}"#));
        assert!(!is_conflict(br#"{"errors":["1 error occurred:\n\t* disk full\n\n"]}"#));
        assert!(!is_conflict(b""));
    }

    #[test]
    fn busy_tells_how_long() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
        let error = refusal("x", StatusCode::TOO_MANY_REQUESTS, &headers);
        assert_eq!(error.class, ErrorClass::Busy { retry_after: Some(Duration::from_secs(7)) });
    }
}
