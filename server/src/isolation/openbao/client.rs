//! The calls to OpenBao, by hand over reqwest.
//!
//! Not `vaultrs`: it has no namespaces, reads answers of any size, drops `Retry-After`, puts the far
//! side's text into its errors, and its settings print the token. What is left is JSON over four
//! verbs, which is this file.
//!
//! Knows nothing of tenants. The token can be replaced while the client is in use. Every call has a deadline, a bounded answer and a span that names the
//! operation and never an argument; no error carries the text of an answer. Redirects are not
//! followed: a standby forwards by itself unless it is told not to.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use integraci_api::SecretText;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use subtle::ConstantTimeEq as _;
use tracing::Instrument as _;
use zeroize::Zeroizing;

use super::answer::{Answer, absence, broken, gone, is_conflict, parsed, read_bounded, refusal, why_unsent};
use super::call::{Call, Namespace};
use super::{ErrorClass, OpenBaoConfig, System, SystemError};

/// How often a call is made at most that lost to others, and how much longer it waits each time. Of those
/// that collide one wins each round, and there are never more than a handful.
const CONFLICT_ROUNDS_MAX: u32 = 10;
const CONFLICT_PAUSE: Duration = Duration::from_millis(5);
/// How often a call is made at most that was over the limit, and how long it waits: the limit is by the
/// second.
const LIMIT_ROUNDS_MAX: u32 = 5;
const LIMIT_PAUSE: Duration = Duration::from_millis(250);

const TOKEN_HEADER: &str = "x-vault-token";
const NAMESPACE_HEADER: &str = "x-vault-namespace";
const WRAP_TTL_HEADER: &str = "x-vault-wrap-ttl";

/// A connection to one OpenBao. Cheap to clone; its `Debug` shows the address alone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    base: String,
    token: RwLock<HeaderValue>,
    parent: Option<String>,
    timeout: Duration,
}

/// Why a client cannot be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The CA file cannot be read.
    #[error("the CA certificate file of OpenBao cannot be read")]
    CaUnreadable(#[source] std::io::Error),
    /// The CA file holds no certificates.
    #[error("the CA certificate file of OpenBao holds no usable PEM certificate")]
    CaInvalid,
    /// The token holds characters that no token has.
    #[error("the token for OpenBao holds characters that no token has, such as a line break")]
    TokenInvalid,
    /// The namespace is not a path.
    #[error("the namespace for OpenBao must be a path such as `platform` or `a/b`")]
    NamespaceInvalid,
    /// TLS could not be set up.
    #[error("the HTTP client for OpenBao cannot be set up; has this machine trusted CA certificates?")]
    Setup,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.0.base).finish_non_exhaustive()
    }
}

/// What OpenBao wraps an answer in. Other members hold nothing that is used.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

impl Client {
    /// A client by its configuration. Reads the CA file; connects to nothing.
    ///
    /// # Errors
    /// The configuration cannot be used; says which part.
    pub fn new(config: &OpenBaoConfig) -> Result<Self, ClientError> {
        let token = header(&config.token)?;
        let parent = config.namespace.as_deref().map(|path| path.trim_matches('/')).filter(|p| !p.is_empty());
        if !parent.is_none_or(is_path) {
            return Err(ClientError::NamespaceInvalid);
        }
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(config.timeout)
            .timeout(config.timeout);
        if let Some(path) = &config.ca_certificate {
            let pem = std::fs::read(path).map_err(ClientError::CaUnreadable)?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .ok()
                .filter(|certificates| !certificates.is_empty())
                .ok_or(ClientError::CaInvalid)?;
            builder = builder.tls_certs_only(certificates);
        }
        Ok(Self(Arc::new(Inner {
            http: builder.build().map_err(|_| ClientError::Setup)?,
            base: config.address.as_str().trim_end_matches('/').to_owned(),
            token: RwLock::new(token),
            parent: parent.map(str::to_owned),
            timeout: config.timeout,
        })))
    }

    /// The same, with another token.
    pub(super) fn with_token(&self, token: &SecretText) -> Result<Self, ClientError> {
        Ok(self.like(header(token)?, self.0.parent.clone()))
    }

    /// The same, in the root namespace.
    pub(super) fn at_root(&self) -> Self {
        self.like(self.token(), None)
    }

    /// The same, in a namespace below its own.
    pub(super) fn inside(&self, name: &str) -> Self {
        self.like(self.token(), Some(self.namespace_path(name)))
    }

    fn like(&self, token: HeaderValue, parent: Option<String>) -> Self {
        Self(Arc::new(Inner {
            http: self.0.http.clone(),
            base: self.0.base.clone(),
            token: RwLock::new(token),
            parent,
            timeout: self.0.timeout,
        }))
    }

    /// Whether this is the token that it uses.
    pub(super) fn has_token(&self, token: &SecretText) -> bool {
        self.token().as_bytes().ct_eq(token.expose().as_bytes()).into()
    }

    fn token(&self) -> HeaderValue {
        self.0.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes another token from the next call on, in every clone of this client.
    pub(super) fn replace_token(&self, token: &SecretText) -> Result<(), ClientError> {
        *self.0.token.write().unwrap_or_else(PoisonError::into_inner) = header(token)?;
        Ok(())
    }

    /// Its address, as tenants reach it.
    pub(crate) fn address(&self) -> &str {
        &self.0.base
    }

    /// The platform's own namespace, from the root; none when it is the root.
    pub(super) fn parent(&self) -> Option<&str> {
        self.0.parent.as_deref()
    }

    /// What OpenBao calls the rate limit of a namespace below the platform's own: all of them stand in
    /// the root namespace, so the path is in the name.
    pub(super) fn quota_name(&self, name: &str) -> String {
        format!("integraci.{}", self.namespace_path(name).replace('/', "."))
    }

    /// The path of a namespace below the platform's own, from the root.
    pub(crate) fn namespace_path(&self, name: &str) -> String {
        match &self.0.parent {
            Some(parent) => format!("{parent}/{name}"),
            None => name.to_owned(),
        }
    }

    /// Reads the data at a path; nothing there is `None`. That the namespace or the store is not there
    /// is an error, so that "nothing" is only ever said by the one who would know.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        namespace: Option<&str>,
        path: &str,
    ) -> Result<Option<T>, SystemError> {
        self.found(Call::get(operation, path).within(namespace)).await
    }

    /// Makes a call whose answer has data; nothing there is `None`, as for [`Client::read`].
    pub(crate) async fn found<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<Option<T>, SystemError> {
        let operation = call.operation;
        match self.ask(call).await? {
            Answer::Body(body) => parsed::<Envelope<T>>(operation, &body).map(|envelope| Some(envelope.data)),
            Answer::Nothing => Ok(None),
        }
    }

    /// Makes a call whose answer has data.
    pub(crate) async fn data<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, SystemError> {
        self.parsed::<Envelope<T>>(call).await.map(|envelope| envelope.data)
    }

    /// Makes a call whose answer is JSON without the usual envelope.
    pub(crate) async fn parsed<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, SystemError> {
        let operation = call.operation;
        parsed(operation, &self.send(call).await?)
    }

    /// Makes a call and returns the body of its answer.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Zeroizing<Vec<u8>>, SystemError> {
        let operation = call.operation;
        match self.ask(call).await? {
            Answer::Body(body) => Ok(body),
            Answer::Nothing => Err(gone(operation, "it is not there")),
        }
    }

    async fn ask(&self, call: Call<'_>) -> Result<Answer, SystemError> {
        let operation = call.operation;
        let span = tracing::debug_span!("system_call", system = System::OpenBao.as_str(), operation);
        // One deadline over all of it: a far side that drips its answer does not get longer.
        let answered = tokio::time::timeout(self.0.timeout, self.ask_again(call).instrument(span)).await;
        answered.unwrap_or_else(|_| Err(broken(operation, "no answer in time")))
    }

    /// Asks again where that is all there is to do: two calls wrote to one place at a time, of which one
    /// did nothing; or more calls came within a second than OpenBao's own limit lets through, which
    /// says nothing of when to come back.
    async fn ask_again(&self, mut call: Call<'_>) -> Result<Answer, SystemError> {
        const UNSAID: ErrorClass = ErrorClass::Busy { retry_after: None };
        let body = call.body.take().map(Bytes::from_owner);
        let mut round = 0;
        loop {
            round += 1;
            let pause = match self.ask_once(&call, body.clone()).await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) if round < CONFLICT_ROUNDS_MAX => CONFLICT_PAUSE * round,
                Ok(None) => {
                    let failed = broken(call.operation, "others are writing to the same place");
                    return Err(SystemError { class: UNSAID, ..failed });
                }
                Err(limited)
                    if round < LIMIT_ROUNDS_MAX && limited.status == Some(429) && limited.class == UNSAID =>
                {
                    LIMIT_PAUSE
                }
                Err(failed) => return Err(failed),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// The answer; nothing if the call lost to another and did nothing.
    async fn ask_once(&self, call: &Call<'_>, body: Option<Bytes>) -> Result<Option<Answer>, SystemError> {
        let operation = call.operation;
        let mut headers = HeaderMap::new();
        if call.authenticated {
            headers.insert(TOKEN_HEADER, self.token());
        }
        let namespace = match call.namespace {
            Namespace::Root => None,
            Namespace::Platform => self.0.parent.clone(),
            Namespace::Below(name) => Some(self.namespace_path(name)),
        };
        if let Some(path) = namespace {
            let path =
                HeaderValue::from_str(&path).map_err(|_| broken(operation, "the namespace is not a path"))?;
            headers.insert(NAMESPACE_HEADER, path);
        }
        if let Some(ttl) = call.wrap_ttl {
            headers.insert(WRAP_TTL_HEADER, ttl.as_secs().into());
        }
        let url = format!("{}/v1/{}", self.0.base, call.path);
        let mut request = self.0.http.request(call.method.clone(), url).headers(headers);
        if let Some(body) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await.map_err(|failed| broken(operation, why_unsent(&failed)))?;
        let status = response.status();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            let failed = refusal(operation, status, response.headers());
            let body = read_bounded(response).await.map_err(|reason| broken(operation, reason))?;
            return if is_conflict(&body) { Ok(None) } else { Err(failed) };
        }
        if !status.is_success() && status != StatusCode::NOT_FOUND {
            return Err(refusal(operation, status, response.headers()));
        }
        let body = read_bounded(response).await.map_err(|reason| broken(operation, reason))?;
        if status == StatusCode::NOT_FOUND {
            absence(operation, &body).map(Some)
        } else if !body.is_empty() && serde_json::from_slice::<IgnoredAny>(&body).is_err() {
            // Something between us and OpenBao says yes to anything.
            Err(broken(operation, "the answer is not what OpenBao sends"))
        } else {
            Ok(Some(Answer::Body(body)))
        }
    }
}

fn header(token: &SecretText) -> Result<HeaderValue, ClientError> {
    let mut token = HeaderValue::from_str(token.expose()).map_err(|_| ClientError::TokenInvalid)?;
    token.set_sensitive(true);
    Ok(token)
}

/// Whether it is a path of plain names, which means only itself in a policy and in a URL.
pub(super) fn is_path(text: &str) -> bool {
    let is_name = |name: &str| {
        !matches!(name, "" | "." | "..")
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    text.split('/').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(token: &str) -> Result<Client, ClientError> {
        Client::new(&OpenBaoConfig {
            address: "https://openbao.example:8200/".parse().unwrap(),
            token: SecretText::new(token.to_owned()),
            namespace: Some("/platform/".to_owned()),
            ca_certificate: None,
            timeout: Duration::from_secs(1),
        })
    }

    #[test]
    fn debug_shows_no_token() {
        let client = client("s.canary").unwrap();
        assert_eq!(format!("{client:?}"), r#"Client { address: "https://openbao.example:8200", .. }"#);
        assert_eq!(client.namespace_path("tenant-acme"), "platform/tenant-acme");
    }

    #[test]
    fn a_token_with_a_line_break_is_refused_without_being_quoted() {
        let error = client("s.canary\n").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }

    #[test]
    fn a_namespace_is_a_path_that_means_only_itself_in_a_policy() {
        assert!(is_path("platform") && is_path("a/b-1_c.d"));
        for wrong in ["a//b", "a/..", "+", "a/*", "a b", "a\"", "ä"] {
            assert!(!is_path(wrong), "{wrong}");
        }
    }
}
