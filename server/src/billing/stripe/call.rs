//! One call to Stripe: one deadline, a bounded answer, no redirects, forms as Stripe takes them, and errors
//! in words of our own.
//!
//! Facts: Stripe's API reference, "Authentication", "Errors", "Idempotent requests", "Versioning", and
//! "Rate limits". What is read of an error's body decides what kind it is, and nothing of it is kept.

use std::time::Duration;

use integraci_api::SecretText;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;
use url::Url;
use url::form_urlencoded::Serializer;

/// The largest answer that is read: a page of a hundred subscriptions has some hundred kilobytes.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;
/// The longest pause that is taken from an answer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10 * 60);
/// So begins the message of the error that a meter event's identifier was used before. The error has a
/// code for that in some versions of the API and none in others.
const DUPLICATE: &str = "An event already exists with identifier";

/// How to reach Stripe.
#[derive(Debug, Clone)]
pub struct StripeConfig {
    /// `sk_…`, or better a restricted key `rk_…`.
    pub secret_key: SecretText,
    /// `whsec_…`: what Stripe signs webhooks with.
    pub webhook_secret: SecretText,
    /// `https://api.stripe.com`, but in tests.
    pub api_base: Url,
    /// The version of the API that answers are asked for in.
    pub api_version: String,
    /// The longest that one call may take.
    pub timeout: Duration,
}

/// Why Stripe did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Stripe did not {operation}: {why}")]
pub struct StripeError {
    /// Completes "Stripe did not …".
    pub operation: &'static str,
    /// What kind of failure it was.
    pub why: Why,
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// A definite no that stays one.
    #[error("{0}")]
    Refused(&'static str),
    /// There is nothing of that id.
    #[error("it has nothing of that id")]
    Missing,
    /// The meter event of this identifier is there already.
    #[error("it has that already")]
    Duplicate,
    /// Ask again later. Of a 5xx Stripe says that it may have been done all the same, so whoever asks
    /// again looks first or uses the same key.
    #[error("it asks to be asked again later")]
    Busy {
        /// How long to wait.
        retry_after: Option<Duration>,
    },
    /// No answer, or none that makes sense: it may have been done.
    #[error("it did not answer")]
    Gone,
}

/// The parameters of a call, in order: the same parameters are the same text.
pub(super) type Form = Vec<(String, String)>;

/// The one way to Stripe.
pub(super) struct Caller {
    config: StripeConfig,
    client: Client,
}

impl Caller {
    pub(super) fn new(config: StripeConfig) -> Option<Self> {
        let builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(config.timeout);
        Some(Self { client: builder.build().ok()?, config })
    }

    pub(super) const fn webhook_secret(&self) -> &SecretText {
        &self.config.webhook_secret
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &[&str],
        query: &Form,
    ) -> Result<T, StripeError> {
        self.call(operation, Method::GET, path, query, None).await
    }

    /// Of two calls with one key Stripe carries out the first, and answers both alike, for a day or more.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &[&str],
        form: &Form,
        key: Option<&str>,
    ) -> Result<T, StripeError> {
        self.call(operation, Method::POST, path, form, key).await
    }

    pub(super) async fn delete<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &[&str],
        query: &Form,
    ) -> Result<T, StripeError> {
        self.call(operation, Method::DELETE, path, query, None).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        method: Method,
        path: &[&str],
        parameters: &Form,
        key: Option<&str>,
    ) -> Result<T, StripeError> {
        let failed = |why| StripeError { operation, why };
        let span = tracing::debug_span!("stripe_call", operation);
        let exchange = self.exchange(method, path, parameters, key).instrument(span);
        // One deadline over all of it: an answer that drips does not get longer.
        let answered =
            tokio::time::timeout(self.config.timeout, exchange).await.map_err(|_| failed(Why::Gone))?;
        let (status, retry_after, body) = answered.map_err(failed)?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| failed(Why::Gone));
        }
        Err(failed(why(status, retry_after, &body)))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &[&str],
        parameters: &Form,
        key: Option<&str>,
    ) -> Result<(StatusCode, Option<Duration>, Vec<u8>), Why> {
        let mut url = self.config.api_base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let form = Serializer::new(String::new()).extend_pairs(parameters).finish();
        let is_post = method == Method::POST;
        if !is_post && !form.is_empty() {
            url.set_query(Some(&form));
        }
        let mut request = self
            .client
            .request(method, url)
            .bearer_auth(self.config.secret_key.expose())
            .header("Stripe-Version", &self.config.api_version);
        if is_post {
            request = request.header("Content-Type", "application/x-www-form-urlencoded").body(form);
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.send().await.map_err(|_| Why::Gone)?;
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let body = match read_bounded(response).await {
            // What refuses says so by its status, however badly it says the rest.
            None if !status.is_success() => Vec::new(),
            body => body.ok_or(Why::Gone)?,
        };
        Ok((status, retry_after, body))
    }
}

/// What of an error's body decides what kind it is.
#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    error: Fault,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fault {
    r#type: String,
    code: String,
    message: String,
    param: String,
}

fn why(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Why {
    let Body { error } = serde_json::from_slice(body).unwrap_or_default();
    match (status.as_u16(), error.code.as_str()) {
        (429 | 409 | 500..=599, _) | (_, "lock_timeout") => Why::Busy { retry_after },
        (404, _) => Why::Missing,
        (_, "resource_missing") if error.param == "customer" => Why::Missing,
        (400, "duplicate_meter_event") => Why::Duplicate,
        (400, _) if error.message.starts_with(DUPLICATE) => Why::Duplicate,
        (401, _) => Why::Refused("the key is not good; correct stripe.secret_key"),
        (403, _) => {
            Why::Refused("the key may not do this; give it the rights that the guide to billing lists")
        }
        (_, "resource_missing") => {
            Why::Refused("it has no such customer, price or meter; compare the plans' `stripe` with it")
        }
        (_, "timestamp_too_far_in_past") => Why::Refused("it takes nothing that old"),
        (_, "timestamp_in_future") => {
            Why::Refused("the time lies in its future; is this machine's clock right?")
        }
        _ if error.r#type == "idempotency_error" => Why::Refused("the key of the call was used for another"),
        _ => Why::Refused(
            "it does not take the request; compare the plans' `stripe` with its prices and meters",
        ),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

async fn read_bounded(mut response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Why {
        why(StatusCode::from_u16(status).unwrap(), None, body.as_bytes())
    }

    #[test]
    fn an_error_is_of_the_kind_that_its_status_and_code_say() {
        for (status, code) in [
            (429, "rate_limit"),
            (429, "lock_timeout"),
            (409, "idempotency_key_in_use"),
            (500, ""),
            (503, ""),
        ] {
            let body = format!(r#"{{"error":{{"type":"api_error","code":"{code}"}}}}"#);
            assert_eq!(of(status, &body), Why::Busy { retry_after: None }, "{status} {code}");
        }
        assert_eq!(of(404, "not even JSON"), Why::Missing);
        assert_eq!(of(400, r#"{"error":{"code":"duplicate_meter_event"}}"#), Why::Duplicate);
        let duplicate = r#"{"error":{"type":"invalid_request_error","message":"An event already exists with identifier x."}}"#;
        assert_eq!(of(400, duplicate), Why::Duplicate);
        for body in ["", "{}", r#"{"error":null}"#, r#"{"error":{"type":"idempotency_error"}}"#] {
            assert!(matches!(of(400, body), Why::Refused(_)), "{body}");
        }
    }

    #[test]
    fn nothing_of_an_answer_is_in_an_error() {
        let body = r#"{"error":{"type":"invalid_request_error","code":"resource_missing",
            "message":"No such price: 'price_secret'; key sk_live_x","param":"items[0][price]"}}"#;
        let error = StripeError { operation: "make the subscription", why: of(400, body) };
        let said = format!("{error} {error:?}");
        assert!(!said.contains("price_secret") && !said.contains("sk_live"), "{said}");
    }
}
