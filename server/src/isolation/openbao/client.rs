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
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use subtle::ConstantTimeEq as _;
use tracing::Instrument as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::{ErrorClass, OpenBaoConfig, System, SystemError};

/// The largest answer that is read: a connector's secrets at their largest, with JSON's escapes, fit.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// The longest pause that is taken from an answer: its rate limits are by the second or minute.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10 * 60);

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

/// One call. Holds its body in memory that is wiped, since the body may be a secret.
pub(crate) struct Call<'a> {
    operation: &'static str,
    method: Method,
    path: &'a str,
    namespace: Namespace<'a>,
    authenticated: bool,
    wrap_ttl: Option<Duration>,
    body: Option<Zeroizing<Vec<u8>>>,
}

/// Where a call is made.
#[derive(Clone, Copy)]
enum Namespace<'a> {
    Root,
    Platform,
    /// Below the platform's own.
    Below(&'a str),
}

impl<'a> Call<'a> {
    const fn new(operation: &'static str, method: Method, path: &'a str) -> Self {
        let namespace = Namespace::Platform;
        Self { operation, method, path, namespace, authenticated: true, wrap_ttl: None, body: None }
    }

    /// Reads.
    pub(crate) const fn get(operation: &'static str, path: &'a str) -> Self {
        Self::new(operation, Method::GET, path)
    }

    /// Creates, changes or asks.
    pub(crate) const fn post(operation: &'static str, path: &'a str) -> Self {
        Self::new(operation, Method::POST, path)
    }

    /// Writes.
    pub(crate) const fn put(operation: &'static str, path: &'a str) -> Self {
        Self::new(operation, Method::PUT, path)
    }

    /// Deletes.
    pub(crate) const fn delete(operation: &'static str, path: &'a str) -> Self {
        Self::new(operation, Method::DELETE, path)
    }

    /// In a namespace below the platform's own.
    pub(crate) const fn namespace(mut self, name: &'a str) -> Self {
        self.namespace = Namespace::Below(name);
        self
    }

    /// In a namespace below the platform's own, or in that itself.
    pub(crate) const fn within(self, name: Option<&'a str>) -> Self {
        match name {
            Some(name) => self.namespace(name),
            None => self,
        }
    }

    /// In the root namespace.
    pub(crate) const fn root(mut self) -> Self {
        self.namespace = Namespace::Root;
        self
    }

    /// Without the token.
    pub(crate) const fn anonymous(mut self) -> Self {
        self.authenticated = false;
        self
    }

    /// With a body that is no secret.
    pub(crate) fn json(self, body: &serde_json::Value) -> Self {
        self.body(Zeroizing::new(body.to_string().into_bytes()))
    }

    /// With a body, which may be a secret.
    pub(crate) fn body(mut self, body: Zeroizing<Vec<u8>>) -> Self {
        self.body = Some(body);
        self
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
        let answered = tokio::time::timeout(self.0.timeout, self.ask_within(call).instrument(span)).await;
        answered.unwrap_or_else(|_| Err(broken(operation, "no answer in time")))
    }

    async fn ask_within(&self, call: Call<'_>) -> Result<Answer, SystemError> {
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
        let mut request = self.0.http.request(call.method, url).headers(headers);
        if let Some(body) = call.body {
            request = request
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(Bytes::from_owner(body));
        }
        let response = request.send().await.map_err(|failed| broken(operation, why_unsent(&failed)))?;
        let status = response.status();
        if !status.is_success() && status != StatusCode::NOT_FOUND {
            return Err(refusal(operation, status, response.headers()));
        }
        let body = read_bounded(response).await.map_err(|reason| broken(operation, reason))?;
        if status == StatusCode::NOT_FOUND { absence(operation, &body) } else { Ok(Answer::Body(body)) }
    }
}

fn header(token: &SecretText) -> Result<HeaderValue, ClientError> {
    let mut token = HeaderValue::from_str(token.expose()).map_err(|_| ClientError::TokenInvalid)?;
    token.set_sensitive(true);
    Ok(token)
}

/// Whether it can be the path of a namespace, and can stand as such in a policy.
fn is_path(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    text.split('/').all(is_name)
}

/// What OpenBao answers when it does what is asked, or has nothing at the path.
enum Answer {
    Body(Zeroizing<Vec<u8>>),
    Nothing,
}

/// What a 404 means. With no word of an error there is nothing at the path, or only the traces of it;
/// with one the namespace or the store is missing; and what is not OpenBao's has not said anything.
fn absence(operation: &'static str, body: &[u8]) -> Result<Answer, SystemError> {
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

fn parsed<T: DeserializeOwned>(operation: &'static str, body: &[u8]) -> Result<T, SystemError> {
    serde_json::from_slice(body).map_err(|_| broken(operation, "the answer is not what OpenBao sends"))
}

async fn read_bounded(mut response: Response) -> Result<Zeroizing<Vec<u8>>, &'static str> {
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

fn why_unsent(failed: &reqwest::Error) -> &'static str {
    if failed.is_timeout() {
        "no answer in time"
    } else if failed.is_connect() {
        "it cannot be connected to; see whether it runs, and its address and certificate"
    } else {
        "the connection broke off"
    }
}

const fn broken(operation: &'static str, reason: &'static str) -> SystemError {
    SystemError { system: System::OpenBao, operation, class: ErrorClass::Broken, reason, status: None }
}

const fn gone(operation: &'static str, reason: &'static str) -> SystemError {
    let status = Some(StatusCode::NOT_FOUND.as_u16());
    SystemError { system: System::OpenBao, operation, class: ErrorClass::Gone, reason, status }
}

/// What any other status means (OpenBao HTTP API, "HTTP status codes").
fn refusal(operation: &'static str, status: StatusCode, headers: &HeaderMap) -> SystemError {
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
        for wrong in ["a//b", "+", "a/*", "a b", "a\"", "ä"] {
            assert!(!is_path(wrong), "{wrong}");
        }
    }

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
    fn busy_tells_how_long() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
        let error = refusal("x", StatusCode::TOO_MANY_REQUESTS, &headers);
        assert_eq!(error.class, ErrorClass::Busy { retry_after: Some(Duration::from_secs(7)) });
    }
}
