//! The calls to a Kubernetes API server, over reqwest; `kube`'s core makes the requests.
//!
//! Not `kube`'s own client: it repeats what was refused for load, reads answers of any size, and logs
//! an answer that it cannot read, which may hold a token.
//!
//! Knows nothing of tenants. Every call has a deadline, a bounded answer and a span that names the
//! operation and never an argument; no error carries the text of an answer. What an error means is
//! read from its status and its machine-readable reason alone (Kubernetes API conventions, "Response
//! Status Kind").

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use kube::Resource;
use kube::core::Status;
use kube::core::params::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::request::{Error as RequestError, Request as Make};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;
use zeroize::Zeroizing;

use super::token::Token;
use super::{ErrorClass, KubernetesConfig, System, SystemError};

/// The largest answer that is read. A page of bindings is the largest that is asked for; etcd keeps
/// no object above 1.5 MiB.
const ANSWER_MAX_BYTES: usize = 8 * 1024 * 1024;
/// What most answers fit into, tokens among them: a buffer that grows leaves copies behind.
const ANSWER_USUAL_BYTES: usize = 16 * 1024;
/// How many objects are asked for at a time.
const PAGE: u32 = 500;
/// The longest pause that is taken from an answer: API servers ask for seconds.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10 * 60);
/// Whose fields the platform's are, in every object that it writes.
pub(super) const FIELD_MANAGER: &str = "integraci";

/// A connection to one cluster under one identity. Cheap to clone; its `Debug` shows the address alone.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    token: Arc<Token>,
}

struct Shared {
    http: reqwest::Client,
    server: String,
    ca_pem: Option<String>,
    timeout: Duration,
}

/// Why a client cannot be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The CA file cannot be read.
    #[error("the CA certificate file of Kubernetes cannot be read")]
    CaUnreadable(#[source] std::io::Error),
    /// The CA file holds no certificates.
    #[error("the CA certificate file of Kubernetes holds no usable PEM certificate")]
    CaInvalid,
    /// There is no token, or it holds characters that no token has.
    #[error("the token for Kubernetes is missing or not one; has `integraci-server setup` been run?")]
    TokenInvalid,
    /// TLS could not be set up.
    #[error("the HTTPS client for Kubernetes cannot be set up; has this machine trusted CA certificates?")]
    Setup,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("server", &self.shared.server).finish_non_exhaustive()
    }
}

/// A request as `kube`'s core makes it: a path, no address and no credentials.
pub(super) type Made = Result<Request<Vec<u8>>, RequestError>;

/// The requests for one kind of object, in one namespace or in all.
pub(super) fn make<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Make {
    Make::new(K::url_path(&(), namespace))
}

/// A list, as far as it is read.
#[derive(Deserialize)]
#[serde(bound = "K: DeserializeOwned")]
struct Page<K> {
    #[serde(default)]
    metadata: PageMetadata,
    items: Vec<K>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue")]
    next: Option<String>,
}

impl Client {
    /// A client by its configuration. Reads the CA file; connects to nothing.
    ///
    /// # Errors
    /// The configuration cannot be used; says which part.
    pub fn new(config: &KubernetesConfig) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(config.timeout)
            .timeout(config.timeout);
        let mut ca_pem = None;
        if let Some(path) = &config.ca_certificate {
            let pem = std::fs::read_to_string(path).map_err(ClientError::CaUnreadable)?;
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
                .ok()
                .filter(|certificates| !certificates.is_empty())
                .ok_or(ClientError::CaInvalid)?;
            builder = builder.tls_certs_only(certificates);
            ca_pem = Some(pem);
        }
        Ok(Self {
            shared: Arc::new(Shared {
                http: builder.build().map_err(|_| ClientError::Setup)?,
                server: config.server.as_str().trim_end_matches('/').to_owned(),
                ca_pem,
                timeout: config.timeout,
            }),
            token: Arc::new(Token::fixed(&config.token).ok_or(ClientError::TokenInvalid)?),
        })
    }

    /// The same connections under another identity.
    pub(super) fn acting_by(&self, token: Token) -> Self {
        Self { shared: Arc::clone(&self.shared), token: Arc::new(token) }
    }

    /// The address of the API server, as tenants reach it.
    pub(super) fn server(&self) -> &str {
        &self.shared.server
    }

    /// The authorities to trust, where it is not the machine's own.
    pub(super) fn ca_pem(&self) -> Option<&str> {
        self.shared.ca_pem.as_deref()
    }

    /// Reads an object; that it is not there is `None`, said by the API server itself.
    pub(super) async fn get<K>(
        &self,
        operation: &'static str,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<K>, SystemError>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        found(self.call(operation, make::<K>(namespace).get(name, &GetParams::default())).await)
    }

    /// Reads every object of a kind.
    pub(super) async fn list<K>(
        &self,
        operation: &'static str,
        namespace: Option<&str>,
    ) -> Result<Vec<K>, SystemError>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let mut params = ListParams::default().limit(PAGE);
        let mut objects = Vec::new();
        loop {
            let page: Page<K> = self.call(operation, make::<K>(namespace).list(&params)).await?;
            objects.extend(page.items);
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(next) => params = params.continue_token(&next),
                None => return Ok(objects),
            }
        }
    }

    /// Makes an object that is not there yet; answers 409 where it is.
    pub(super) async fn create<K>(
        &self,
        operation: &'static str,
        namespace: Option<&str>,
        object: &K,
    ) -> Result<K, SystemError>
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), dry_run: false };
        self.call(operation, make::<K>(namespace).create(&params, json(operation, object)?)).await
    }

    /// Server-side apply: makes the object, or gives the fields that are told the values that are told.
    pub(super) async fn apply<K>(
        &self,
        operation: &'static str,
        namespace: Option<&str>,
        object: &K,
    ) -> Result<K, SystemError>
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + fmt::Debug,
    {
        let name = object.meta().name.as_deref().unwrap_or_default();
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.call(operation, make::<K>(namespace).patch(name, &params, &Patch::Apply(object))).await
    }

    /// Removes an object. That it is not there is success.
    pub(super) async fn delete<K>(
        &self,
        operation: &'static str,
        namespace: Option<&str>,
        name: &str,
        params: &DeleteParams,
    ) -> Result<(), SystemError>
    where
        K: Resource<DynamicType = ()>,
    {
        found(self.call::<IgnoredAny>(operation, make::<K>(namespace).delete(name, params)).await).map(drop)
    }

    /// Makes a call whose answer is JSON.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: Made,
    ) -> Result<T, SystemError> {
        let request =
            request.map_err(|_| failure(operation, ErrorClass::Refused, "it cannot be asked so"))?;
        let span = tracing::debug_span!("system_call", system = System::Kubernetes.as_str(), operation);
        // On the heap, since many calls are under way side by side in one future.
        let asking = Box::pin(self.ask(operation, request).instrument(span));
        // One deadline over all of it: a far side that drips its answer does not get longer.
        let answered = tokio::time::timeout(self.shared.timeout, asking).await;
        let body = answered.unwrap_or_else(|_| Err(broken(operation, "no answer in time")))?;
        serde_json::from_slice(&body)
            .map_err(|_| broken(operation, "the answer is not what Kubernetes sends"))
    }

    async fn ask(
        &self,
        operation: &'static str,
        request: Request<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, SystemError> {
        let (parts, body) = request.into_parts();
        let url = format!("{}{}", self.shared.server, parts.uri);
        let mut headers = parts.headers;
        headers.insert(AUTHORIZATION, self.token.header());
        let request = self.shared.http.request(parts.method, url).headers(headers).body(body);
        let response = request.send().await.map_err(|failed| broken(operation, why_unsent(&failed)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_bounded(response).await.map_err(|reason| broken(operation, reason))?;
        if status.is_success() {
            return Ok(body);
        }
        if status == StatusCode::UNAUTHORIZED {
            self.token.doubt();
        }
        Err(refusal(operation, status, &headers, serde_json::from_slice(&body).ok().as_ref()))
    }
}

/// That something is not there is no failure.
fn found<T>(answer: Result<T, SystemError>) -> Result<Option<T>, SystemError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(gone) if gone.class == ErrorClass::Gone => Ok(None),
        Err(failed) => Err(failed),
    }
}

/// The bytes of an object to send.
pub(super) fn json(operation: &'static str, object: &impl Serialize) -> Result<Vec<u8>, SystemError> {
    serde_json::to_vec(object)
        .map_err(|_| failure(operation, ErrorClass::Refused, "the object cannot be written as JSON"))
}

async fn read_bounded(mut response: Response) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let mut body = Zeroizing::new(Vec::with_capacity(ANSWER_USUAL_BYTES));
    while let Some(chunk) = response.chunk().await.map_err(|_| "the answer broke off")? {
        if body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err("the answer is larger than Kubernetes' answers are");
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

/// A failure that no status came with.
pub(super) const fn failure(operation: &'static str, class: ErrorClass, reason: &'static str) -> SystemError {
    SystemError { system: System::Kubernetes, operation, class, reason, status: None }
}

const fn broken(operation: &'static str, reason: &'static str) -> SystemError {
    failure(operation, ErrorClass::Broken, reason)
}

/// What a status that is no success means.
fn refusal(
    operation: &'static str,
    status: StatusCode,
    headers: &HeaderMap,
    said: Option<&Status>,
) -> SystemError {
    let reason = said.map_or("", |said| said.reason.as_str());
    let details = said.and_then(|said| said.details.as_ref());
    let is_terminating = details
        .is_some_and(|details| details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"));
    let retry_after = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .or_else(|| details.map(|details| u64::from(details.retry_after_seconds)).filter(|asked| *asked > 0))
        .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    let (class, why) = match status.as_u16() {
        401 => {
            (ErrorClass::Refused, "the platform's token is not accepted: it is expired, revoked or not one")
        }
        _ if is_terminating => (ErrorClass::Busy { retry_after }, "the namespace is being deleted"),
        403 => (ErrorClass::Refused, "the platform's token may not do this; run `integraci-server setup`"),
        404 if reason == "NotFound" => (ErrorClass::Gone, "it is not there"),
        404 => (ErrorClass::Broken, "something else than Kubernetes answers at its address"),
        409 => (ErrorClass::Busy { retry_after }, "somebody else changes it at the same time"),
        429 => (ErrorClass::Busy { retry_after }, "it has too much to do"),
        503 => (ErrorClass::Busy { retry_after }, "it is starting, stopping or overloaded"),
        300..=399 => (ErrorClass::Broken, "it redirects elsewhere; give the address of the API server"),
        500..=599 => (ErrorClass::Broken, "it failed on its side; see its own log"),
        _ => (ErrorClass::Refused, "the request was refused"),
    };
    SystemError { system: System::Kubernetes, operation, class, reason: why, status: Some(status.as_u16()) }
}

/// `Bearer …`, marked so that nothing prints it.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    if token.is_empty() {
        return None;
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use integraci_api::SecretText;
    use serde_json::{Value, json};

    use super::*;

    fn class(status: u16, said: &Value) -> ErrorClass {
        let said: Option<Status> = serde_json::from_value(said.clone()).ok();
        refusal("x", StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), said.as_ref()).class
    }

    #[test]
    fn debug_and_errors_show_no_token() {
        let config = |token: &str| KubernetesConfig {
            server: "https://kubernetes.example:6443/".parse().unwrap(),
            token: SecretText::new(token.to_owned()),
            ca_certificate: None,
            timeout: Duration::from_secs(1),
        };
        let client = Client::new(&config("canary")).unwrap();
        assert_eq!(format!("{client:?}"), r#"Client { server: "https://kubernetes.example:6443", .. }"#);
        let error = Client::new(&config("canary\n")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
        assert!(matches!(Client::new(&config("")), Err(ClientError::TokenInvalid)));
    }

    #[test]
    fn a_status_has_a_class() {
        assert_eq!(class(401, &Value::Null), ErrorClass::Refused);
        assert_eq!(class(403, &json!({ "reason": "Forbidden" })), ErrorClass::Refused);
        assert_eq!(class(422, &json!({ "reason": "Invalid" })), ErrorClass::Refused);
        assert_eq!(class(409, &json!({ "reason": "Conflict" })), ErrorClass::Busy { retry_after: None });
        assert_eq!(class(500, &Value::Null), ErrorClass::Broken);
        assert_eq!(class(302, &Value::Null), ErrorClass::Broken);
    }

    #[test]
    fn only_the_api_server_itself_says_that_something_is_not_there() {
        assert_eq!(class(404, &json!({ "reason": "NotFound" })), ErrorClass::Gone);
        assert_eq!(class(404, &Value::Null), ErrorClass::Broken);
        assert_eq!(class(404, &json!({})), ErrorClass::Broken);
    }

    #[test]
    fn a_namespace_that_is_going_refuses_for_now_only() {
        let details = json!({ "causes": [{ "reason": "NamespaceTerminating" }] });
        let said = json!({ "reason": "Forbidden", "details": details });
        assert_eq!(class(403, &said), ErrorClass::Busy { retry_after: None });
    }

    #[test]
    fn busy_tells_how_long_by_header_or_by_status() {
        let busy = |seconds| ErrorClass::Busy { retry_after: Some(Duration::from_secs(seconds)) };
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
        assert_eq!(refusal("x", StatusCode::TOO_MANY_REQUESTS, &headers, None).class, busy(7));
        assert_eq!(class(429, &json!({ "details": { "retryAfterSeconds": 3 } })), busy(3));
        assert_eq!(class(503, &json!({ "details": { "retryAfterSeconds": 86400 } })), busy(600));
    }
}
