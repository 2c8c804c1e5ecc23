//! The rules that every call follows: what is tried again, when, and what an answer means.
//!
//! `429`, `503` and a connection that never came about mean that nothing was done: any request may
//! be sent again. A lost answer means that it may have been done: only a request that is safe to
//! repeat is sent again. That is one by an idempotent method (RFC 9110, section 9.2.2), a `POST` with
//! the `Idempotency-Key` it had before, a `PATCH` that sets values on no condition, or a question
//! that is asked by `POST`.

use std::time::Duration;

use bytes::Bytes;
use integraci_api::{Problem, ProblemCode};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use uuid::Uuid;

use super::pace::{pause_after, pause_asked};
use super::transport::Answer;
use super::{Api, Error, Patience};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// How often a request is sent in all when nothing answers, or the answer is lost. A restart behind
/// a load balancer takes under a second; more would only delay the news that the server is down.
const OUTAGE_TRIES: u32 = 3;
/// How long a request that makes something is sent again once its answer was lost: a restart or a
/// failover takes less. Given up, it may have made a thing whose id nobody knows.
const LOST_MAX: Duration = Duration::from_secs(60);
/// How often a request is sent in all when the server says that it is busy. Each pause is as long as
/// the server wants it, so this bounds nothing but a server that never means it.
const BUSY_TRIES: u32 = 10;
/// What a request gets at least, when the time for all of them is nearly over.
const LAST_REQUEST: Duration = Duration::from_secs(1);
/// The media type of a problem (RFC 9457).
const PROBLEM_JSON: &str = "application/problem+json";

/// Names one attempt to make something, so that asking twice makes it once.
#[derive(Debug, Clone)]
pub struct IdempotencyKey(HeaderValue);

impl IdempotencyKey {
    /// A key that was never used before.
    #[must_use]
    pub fn fresh() -> Self {
        let mut text = [0; uuid::fmt::Simple::LENGTH];
        Uuid::now_v7().simple().encode_lower(&mut text);
        // Hexadecimal digits are always a header value.
        Self(HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0")))
    }
}

/// A request as it may be sent several times.
#[derive(Debug)]
pub(super) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Bytes>,
    key: Option<IdempotencyKey>,
    if_match: Option<i64>,
    held: Duration,
    repeatable: bool,
}

impl Call {
    /// A call of `/v1/<path>`. The parts of a path are ids, which need no escaping.
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            key: None,
            if_match: None,
            held: Duration::ZERO,
            repeatable: false,
        }
    }

    pub(super) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// With a JSON body. Bytes that wipe themselves are kept as they are, not copied.
    pub(super) fn body(mut self, json: impl AsRef<[u8]> + Send + 'static) -> Self {
        self.body = Some(Bytes::from_owner(json));
        self
    }

    pub(super) fn key(mut self, key: &IdempotencyKey) -> Self {
        self.key = Some(key.clone());
        self
    }

    /// Only if the thing is still at this revision.
    pub(super) const fn if_match(mut self, revision: Option<i64>) -> Self {
        self.if_match = revision;
        self
    }

    /// The server may hold the line for this long.
    pub(super) const fn held(mut self, held: Duration) -> Self {
        self.held = held;
        self
    }

    /// For a `PATCH` or `POST` which, sent twice, does what it does sent once.
    pub(super) const fn repeatable_if(mut self, repeatable: bool) -> Self {
        self.repeatable = repeatable;
        self
    }

    fn is_repeatable(&self) -> bool {
        match self.method {
            Method::POST => self.key.is_some() || self.repeatable,
            Method::PATCH => self.repeatable,
            // What it did the first time would make the condition false the second time.
            _ => self.if_match.is_none(),
        }
    }
}

/// A failed attempt, and whether another makes sense.
struct Failure {
    error: Error,
    again: Again,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Nothing was done: after a pause of our own choice.
    NotReached,
    /// It may have been done.
    Unsure,
    /// The server said so, and when.
    Asked(Option<Duration>),
    Never,
}

impl Api {
    /// Sends the request, again where that is right, until there is an answer that says something.
    pub(super) async fn send(&self, call: &Call, patience: &Patience) -> Result<Answer, Error> {
        let mut failures = 0;
        let mut lost_at = None;
        loop {
            self.hold(patience).await?;
            let failure = match self.attempt(call, patience).await {
                Ok(answer) => {
                    self.pace.found_up();
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            failures += 1;
            if failure.again == Again::Unsure && call.key.is_some() {
                lost_at.get_or_insert_with(Instant::now);
            }
            let Some(pause) = self.pause(call, &failure, failures, lost_at) else {
                return Err(failure.error);
            };
            tracing::debug!(
                path = call.path,
                failures,
                pause_ms = pause.as_millis(),
                "trying again: {}",
                failure.error
            );
            if Instant::now() + pause >= patience.until {
                return Err(match failure.again {
                    Again::Asked(_) => Error::NoTimeLeft { pause },
                    _ => failure.error,
                });
            }
            if let Again::Asked(_) = failure.again {
                self.pace.hold_until(Instant::now() + pause);
            }
            patience.sleep(pause).await?;
        }
    }

    /// Sends the request and reads the JSON of a successful answer.
    pub(super) async fn fetch<T: DeserializeOwned>(
        &self,
        call: &Call,
        what: &'static str,
        patience: &Patience,
    ) -> Result<T, Error> {
        let answer = self.send(call, patience).await?;
        if answer.content != "application/json" {
            return Err(answer.foreign());
        }
        serde_json::from_slice(&answer.body).map_err(|_| Error::NotUnderstood { what })
    }

    /// Waits for as long as the server asked another call to wait.
    async fn hold(&self, patience: &Patience) -> Result<(), Error> {
        while let Some(at) = self.pace.not_before() {
            if at >= patience.until {
                return Err(Error::NoTimeLeft { pause: at - Instant::now() });
            }
            patience.sleep(at - Instant::now()).await?;
        }
        Ok(())
    }

    async fn attempt(&self, call: &Call, patience: &Patience) -> Result<Answer, Failure> {
        if patience.stopped.is_cancelled() {
            return Err(Failure { error: Error::Stopped, again: Again::Never });
        }
        let left = patience.until.saturating_duration_since(Instant::now()).max(LAST_REQUEST);
        let timeout = (self.settings.request_timeout + call.held).min(left);
        let started = Instant::now();
        let exchanged = self.exchange(self.request(call), timeout).await;
        let status = exchanged.as_ref().map_or(0, |answer| answer.status.as_u16());
        let took_ms = started.elapsed().as_millis();
        tracing::debug!(method = %call.method, path = call.path, status, took_ms, "request");
        match exchanged {
            Ok(answer) if answer.status.is_success() => Ok(answer),
            Ok(answer) => Err(refusal(answer)),
            Err(error) => {
                let again = match &error {
                    Error::Unreachable { .. } => Again::NotReached,
                    Error::Lost | Error::TimedOut { .. } => Again::Unsure,
                    _ => Again::Never,
                };
                Err(Failure { error, again })
            }
        }
    }

    fn request(&self, call: &Call) -> reqwest::Request {
        let mut url = self.settings.endpoint.clone();
        url.set_path(&format!("{}v1/{}", url.path(), call.path));
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request = reqwest::Request::new(call.method.clone(), url);
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.settings.authorization.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(key) = &call.key {
            headers.insert(IDEMPOTENCY_KEY, key.0.clone());
        }
        if let Some(Ok(etag)) = call.if_match.map(|revision| HeaderValue::try_from(format!("\"{revision}\"")))
        {
            headers.insert(IF_MATCH, etag);
        }
        if let Some(body) = &call.body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.clone().into());
        }
        request
    }

    /// How long to wait before the next attempt; none when there is to be none.
    fn pause(
        &self,
        call: &Call,
        failure: &Failure,
        failures: u32,
        lost_at: Option<Instant>,
    ) -> Option<Duration> {
        match failure.again {
            Again::Never => None,
            Again::NotReached | Again::Unsure if lost_at.is_some_and(|at| at.elapsed() < LOST_MAX) => {
                Some(pause_after(failures))
            }
            Again::Asked(asked) => {
                (failures < BUSY_TRIES).then(|| asked.map_or_else(|| pause_after(failures), pause_asked))
            }
            Again::NotReached if failures >= OUTAGE_TRIES || self.pace.is_down() => {
                self.pace.found_down();
                None
            }
            Again::NotReached => Some(pause_after(failures)),
            Again::Unsure => (call.is_repeatable() && failures < OUTAGE_TRIES).then(|| pause_after(failures)),
        }
    }
}

impl Patience {
    /// Sleeps, unless Terraform is interrupted meanwhile.
    pub(super) async fn sleep(&self, pause: Duration) -> Result<(), Error> {
        tokio::select! {
            () = self.stopped.cancelled() => Err(Error::Stopped),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

impl Answer {
    pub(super) fn foreign(self) -> Error {
        let content = if self.content.is_empty() { "no content type".to_owned() } else { self.content };
        Error::Foreign { status: self.status.as_u16(), content, location: self.location }
    }
}

/// What an answer that is no success means.
fn refusal(answer: Answer) -> Failure {
    let status = answer.status;
    let problem = (answer.content == PROBLEM_JSON)
        .then(|| serde_json::from_slice::<Problem>(&answer.body).ok())
        .flatten();
    let again = match (status, problem.as_ref().map(|problem| problem.code)) {
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _) => {
            Again::Asked(answer.retry_after)
        }
        (_, Some(ProblemCode::IdempotencyKeyInUse)) => Again::Unsure,
        (StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT, _) => Again::Unsure,
        _ => Again::Never,
    };
    let error = problem.map_or_else(|| answer.foreign(), |problem| Error::Problem(Box::new(problem)));
    Failure { error, again }
}

/// The JSON of a request that holds no secret.
pub(super) fn json(request: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(request).map_err(|_| Error::NotUnderstood { what: "request" })
}

/// Takes "not found" for an answer.
pub(super) fn none_if_not_found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::Problem(problem)) if problem.code == ProblemCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use integraci_api::SecretText;

    use super::*;
    use crate::api::{Settings, endpoint_parse};

    fn failure(again: Again) -> Failure {
        Failure { error: Error::Lost, again }
    }

    fn api() -> Api {
        let endpoint = endpoint_parse("https://platform.example").unwrap();
        Api::new(Settings::new(endpoint, &SecretText::new("ici_test".into())).unwrap())
    }

    #[test]
    fn one_call_finds_the_server_down_and_the_others_take_its_word() {
        let (api, call) = (api(), Call::new(Method::GET, "tenants"));
        let down = failure(Again::NotReached);
        assert!(api.pause(&call, &down, 1, None).is_some());
        assert!(api.pause(&call, &down, OUTAGE_TRIES - 1, None).is_some());
        assert!(api.pause(&call, &down, OUTAGE_TRIES, None).is_none());
        assert!(api.pause(&call, &down, 1, None).is_none(), "another call pauses as well");
        api.pace.found_up();
        assert!(api.pause(&call, &down, 1, None).is_some());
    }

    #[test]
    fn only_what_is_safe_is_sent_again_when_its_answer_is_lost() {
        let api = api();
        let lost = failure(Again::Unsure);
        for (method, key, again) in [
            (Method::GET, None, true),
            (Method::POST, Some(IdempotencyKey::fresh()), true),
            (Method::POST, None, false),
            (Method::PATCH, None, false),
            (Method::PUT, None, true),
            (Method::DELETE, None, true),
        ] {
            let mut call = Call::new(method.clone(), "tenants");
            call.key = key;
            assert_eq!(api.pause(&call, &lost, 1, None).is_some(), again, "{method}");
            assert!(api.pause(&call, &lost, OUTAGE_TRIES, None).is_none(), "{method}");
        }
    }

    #[test]
    fn a_create_whose_answer_was_lost_is_not_given_up_soon() {
        let (api, call) = (api(), Call::new(Method::POST, "tenants").key(&IdempotencyKey::fresh()));
        let now = Some(Instant::now());
        for again in [Again::Unsure, Again::NotReached] {
            assert!(api.pause(&call, &failure(again), 3 * OUTAGE_TRIES, now).is_some());
        }
    }

    #[test]
    fn a_server_that_is_always_busy_is_given_up() {
        let (api, call) = (api(), Call::new(Method::PATCH, "tenants"));
        let asked = Duration::from_secs(7);
        let busy = failure(Again::Asked(Some(asked)));
        assert!(api.pause(&call, &busy, 1, None).is_some_and(|pause| pause >= asked));
        assert!(api.pause(&call, &busy, BUSY_TRIES, None).is_none());
    }
}
