//! Request limits in HTTP: the fields `RateLimit-Policy` and `RateLimit` of
//! draft-ietf-httpapi-ratelimit-headers-11 (May 2026), lists of structured fields (RFC 9651), and the
//! 429 with `Retry-After`.
//!
//! `RateLimit-Policy: "token";q=6000;w=60, "tenant";q=600;w=60` says what is allowed in a window, and
//! `RateLimit: "token";r=5876;t=30, "tenant";r=476;t=30` what is left of it and when it ends.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use integraci_api::{Problem, ProblemCode};

use crate::error::Error;
use crate::request_limits::{Standing, Whose};

static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The largest Integer of a structured field (RFC 9651, section 3.3.1).
const INTEGER_MAX: i64 = 999_999_999_999_999;

/// The answer to a request for which a limit has no room.
pub(super) fn refusal(standings: &[Standing]) -> Option<Error> {
    // If both have none, the one that lasts longer.
    let full =
        standings.iter().filter(|standing| !standing.has_room).max_by_key(|standing| standing.ends_in)?;
    metrics::counter!("integraci_requests_limited_total", "limit" => name(full.whose)).increment(1);
    let limit = full.limit;
    let detail = match full.whose {
        Whose::Token => format!(
            "this token has made all of its {limit} requests of this minute; wait as `Retry-After` says, ask less \
             often, or have the platform's operator raise `http.requests_per_minute_per_token`"
        ),
        Whose::Tenant => format!(
            "the tokens of this tenant have together made all of its {limit} requests of this minute; wait as \
             `Retry-After` says, ask less often, or have the platform raise `api_requests_per_minute` in its quota"
        ),
    };
    let retry_after = Duration::from_secs(seconds(full.ends_in));
    Some(Error::Later { problem: Box::new(Problem::new(ProblemCode::RateLimited, detail)), retry_after })
}

/// Tells how the limits stand.
pub(super) fn tell(headers: &mut HeaderMap, standings: &[Standing]) {
    let list = |item: fn(&Standing) -> String| {
        let items: Vec<_> = standings.iter().map(item).collect();
        HeaderValue::try_from(items.join(", ")).ok()
    };
    let policy =
        list(|it| format!("\"{}\";q={};w={}", name(it.whose), integer(it.limit), it.window.as_secs()));
    let left =
        list(|it| format!("\"{}\";r={};t={}", name(it.whose), integer(it.remaining), seconds(it.ends_in)));
    headers.extend(policy.map(|value| (RATELIMIT_POLICY.clone(), value)));
    headers.extend(left.map(|value| (RATELIMIT.clone(), value)));
}

const fn name(whose: Whose) -> &'static str {
    match whose {
        Whose::Token => "token",
        Whose::Tenant => "tenant",
    }
}

fn integer(number: i64) -> i64 {
    number.clamp(0, INTEGER_MAX)
}

/// Whole seconds, rounded up: who comes back then finds a new window.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(whose: Whose, remaining: i64, ends_in_ms: u64, has_room: bool) -> Standing {
        let (window, ends_in) = (Duration::from_secs(60), Duration::from_millis(ends_in_ms));
        Standing { whose, limit: 600, window, remaining, ends_in, has_room }
    }

    #[test]
    fn both_limits_are_told_as_structured_fields() {
        let mut headers = HeaderMap::new();
        let token = Standing { limit: i64::MAX, ..standing(Whose::Token, i64::MAX, 29_001, true) };
        tell(&mut headers, &[token, standing(Whose::Tenant, 123, 30_000, true)]);
        assert_eq!(headers[&RATELIMIT_POLICY], r#""token";q=999999999999999;w=60, "tenant";q=600;w=60"#);
        assert_eq!(headers[&RATELIMIT], r#""token";r=999999999999999;t=30, "tenant";r=123;t=30"#);
    }

    #[test]
    fn a_refusal_names_the_limit_and_waits_until_its_window_is_over() {
        let (free, full) =
            (standing(Whose::Token, 9, 59_000, true), standing(Whose::Tenant, 0, 12_345, false));
        assert!(refusal(&[free]).is_none());
        match refusal(&[free, full]) {
            Some(Error::Later { problem, retry_after }) => {
                assert_eq!((problem.code, retry_after.as_secs()), (ProblemCode::RateLimited, 13));
                assert!(problem.detail.contains("api_requests_per_minute"), "{}", problem.detail);
            }
            other => panic!("{other:?}"),
        }
    }
}
