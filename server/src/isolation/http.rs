//! What every client of a system over HTTP does alike: one deadline over a whole call, answers read up
//! to a bound into memory that is wiped, no redirects, a span that names the operation and never an
//! argument, and errors without the far side's text.
//!
//! Knows no system. What a status means is for each system's own client to say.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tracing::Instrument as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::{ErrorClass, System, SystemError};

/// The largest answer that is read: well above any that a system gives to what it is asked here.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// The longest pause that is taken from an answer: rate limits are by the second or minute.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10 * 60);

/// Why a client cannot be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum HttpSetupError {
    /// The CA file cannot be read.
    #[error("the CA certificate file of {} cannot be read", .0.title())]
    CaUnreadable(System, #[source] std::io::Error),
    /// The CA file holds no certificates.
    #[error("the CA certificate file of {} holds no usable PEM certificate", .0.title())]
    CaInvalid(System),
    /// TLS could not be set up.
    #[error("the HTTP client for {} cannot be set up; has this machine trusted CA certificates?", .0.title())]
    Setup(System),
}

/// A connection to one system.
pub(super) struct Http {
    system: System,
    client: Client,
    timeout: Duration,
}

/// An answer of whatever status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// How long the system asks to be left alone.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Http {
    /// Reads the CA file; connects to nothing.
    pub(super) fn new(
        system: System,
        ca_certificate: Option<&Path>,
        timeout: Duration,
    ) -> Result<Self, HttpSetupError> {
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(timeout)
            .timeout(timeout);
        if let Some(path) = ca_certificate {
            let pem = std::fs::read(path).map_err(|error| HttpSetupError::CaUnreadable(system, error))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .ok()
                .filter(|certificates| !certificates.is_empty())
                .ok_or(HttpSetupError::CaInvalid(system))?;
            builder = builder.tls_certs_only(certificates);
        }
        let client = builder.build().map_err(|_| HttpSetupError::Setup(system))?;
        Ok(Self { system, client, timeout })
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Makes a call. Any status is an answer.
    pub(super) async fn send(
        &self,
        operation: &'static str,
        request: RequestBuilder,
    ) -> Result<Answer, SystemError> {
        let span = tracing::debug_span!("system_call", system = self.system.as_str(), operation);
        let exchange = async {
            let response = request.send().await.map_err(|failed| why_unsent(&failed))?;
            let (status, retry_after) = (response.status(), retry_after(response.headers()));
            let body = match read_bounded(response).await {
                // What refuses or fails says so by its status, however badly it says the rest.
                Err(_) if !status.is_success() => Zeroizing::default(),
                read => read?,
            };
            Ok(Answer { status, retry_after, body })
        };
        // One deadline over all of it: a far side that drips its answer does not get longer.
        match tokio::time::timeout(self.timeout, exchange.instrument(span)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(reason)) => Err(self.broken(operation, reason)),
            Err(_) => Err(self.broken(operation, "no answer in time")),
        }
    }

    pub(super) const fn broken(&self, operation: &'static str, reason: &'static str) -> SystemError {
        SystemError { system: self.system, operation, class: ErrorClass::Broken, reason, status: None }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

async fn read_bounded(mut response: Response) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|_| "the answer broke off")? {
        let needed = body.len() + chunk.len();
        if needed > ANSWER_MAX_BYTES {
            return Err("the answer is larger than its answers are");
        }
        if needed > body.capacity() {
            // Grown by hand, so that the smaller buffer is wiped rather than given back as it is.
            let mut grown = Vec::with_capacity((body.capacity() * 2).max(needed));
            grown.extend_from_slice(&body);
            body.zeroize();
            *body = grown;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn why_unsent(failed: &reqwest::Error) -> &'static str {
    if failed.is_timeout() {
        "no answer in time"
    } else if failed.is_connect() {
        "it cannot be connected to; see whether it runs, and its address and certificate"
    } else {
        "the connection broke off"
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn a_pause_is_taken_in_seconds_and_not_for_ever() {
        let pause = |text: &'static str| {
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]))
        };
        assert_eq!(pause("7"), Some(Duration::from_secs(7)));
        assert_eq!(pause("999999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(pause("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
