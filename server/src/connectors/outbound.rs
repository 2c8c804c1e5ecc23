//! Calls to far sides: the one HTTP client for every address that a tenant gives us.
//!
//! It connects only to addresses that the configuration allows. A name is judged by what it resolved
//! to, and those very addresses are the ones connected to, so a name that changes its mind between
//! check and connection gains nothing; so is each redirect. Time, size and redirects are bounded, TLS
//! is verified, no proxy is taken from the environment, and no connection is kept for the next call.
//!
//! Knows nothing of connectors. No error carries the far side's text: it may echo a secret.

mod addresses;
mod lookup;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use integraci_api::SecretText;
use ipnet::IpNet;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tracing::Instrument as _;
use url::Url;
use zeroize::Zeroizing;

use self::addresses::Addresses;
use self::lookup::CheckedResolver;
pub use self::lookup::{Lookup, SystemLookup};

/// How many redirects are followed: one to another host, one to add a slash, and one to spare.
const REDIRECTS_MAX: usize = 3;

/// The longest pause that a far side is granted: more than that is as good as an outage, and a number
/// without bounds is an overflow in somebody's clock.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

const USER_AGENT: &str = concat!("integraci-server/", env!("CARGO_PKG_VERSION"));

/// What calls to far sides may do.
#[derive(Debug, Clone)]
pub struct OutboundConfig {
    /// Addresses that may be called although they are not public unicast.
    pub allow: Vec<IpNet>,
    /// Whether `http://` may be called as well as `https://`.
    pub allow_http: bool,
    /// The longest that one call may take, redirects and body included.
    pub timeout: Duration,
    /// The largest answer that is read.
    pub max_body_bytes: usize,
    /// A PEM file with certificate authorities to trust besides the machine's own.
    pub ca_certificate: Option<PathBuf>,
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Outbound(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    addresses: Addresses,
    allow_http: bool,
    timeout: Duration,
    max_body_bytes: usize,
    /// What another client like this one is made of.
    lookup: Arc<dyn Lookup>,
    trusted: Vec<reqwest::Certificate>,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("addresses", &self.0.addresses).finish_non_exhaustive()
    }
}

/// Why a client cannot be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum OutboundSetupError {
    /// The CA file cannot be read.
    #[error("the CA certificate file for outbound calls cannot be read")]
    CaUnreadable(#[source] std::io::Error),
    /// The CA file holds no certificates.
    #[error("the CA certificate file for outbound calls holds no usable PEM certificate")]
    CaInvalid,
    /// TLS could not be set up.
    #[error("the HTTP client for outbound calls cannot be set up; has this machine trusted CA certificates?")]
    Setup,
}

/// Why a call has no answer. Fixed words, for people too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// Neither `https` nor, where allowed, `http`.
    #[error("only https:// may be called")]
    SchemeNotAllowed,
    /// User name or password in the URL.
    #[error("a URL with credentials in it is not called")]
    CredentialsInUrl,
    /// Loopback, private, link-local and the like, and not allowed by the configuration.
    #[error("it has an address that this server may not call")]
    AddressNotAllowed,
    /// The name has no address that may be called. Whether it has others is not told: a tenant could
    /// find out by it which names there are in the platform's own network.
    #[error("its name cannot be resolved to an address that this server may call")]
    Unresolved,
    /// No connection.
    #[error("it cannot be connected to")]
    Unreachable,
    /// The certificate is not trusted, or TLS could not be agreed on.
    #[error("its TLS certificate is not trusted, or it does not speak TLS")]
    Tls,
    /// No whole answer in time.
    #[error("it did not answer in time")]
    Timeout,
    /// The connection ended early, or what came is not HTTP.
    #[error("its answer broke off or is not HTTP")]
    Broken,
    /// The answer is over the limit.
    #[error("its answer is too large")]
    TooLarge,
    /// Redirects without end.
    #[error("it redirects too often")]
    TooManyRedirects,
}

/// A call to make.
pub struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    /// Sent to the first origin alone.
    credentials: HeaderMap,
    body: Option<Bytes>,
    follows_redirects: bool,
}

impl Request {
    /// Reads; redirects are followed.
    #[must_use]
    pub fn get(url: Url) -> Self {
        let (headers, credentials) = (HeaderMap::new(), HeaderMap::new());
        Self { method: Method::GET, url, headers, credentials, body: None, follows_redirects: true }
    }

    /// Removes; a redirect is an answer.
    #[must_use]
    pub fn delete(url: Url) -> Self {
        Self { method: Method::DELETE, ..Self::get(url).redirect_is_answer() }
    }

    /// Sends a body; a redirect is an answer, since what was sent is meant for this address alone.
    #[must_use]
    pub fn post(url: Url, body: Bytes) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(url).redirect_is_answer() }
    }

    /// Follows no redirect: for a GET whose answer would say nothing of the credentials if it came from
    /// another origin, which gets none.
    #[must_use]
    pub const fn redirect_is_answer(mut self) -> Self {
        self.follows_redirects = false;
        self
    }

    /// With a header that is no secret.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sends a body that holds secrets, which is wiped when it was sent.
    #[must_use]
    pub fn post_secret(url: Url, body: Zeroizing<Vec<u8>>) -> Self {
        Self::post(url, Bytes::from_owner(body))
    }

    /// With credentials, which are sent to this origin alone and not to where it redirects.
    #[must_use]
    pub fn authorization(self, value: HeaderValue) -> Self {
        self.secret_header(AUTHORIZATION.as_str(), value)
    }

    /// The same in another header.
    #[must_use]
    pub fn secret_header(mut self, name: &'static str, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.credentials.insert(name, value);
        self
    }
}

/// What the far side answered, whatever its status. Body and headers may echo a secret: judge by them,
/// and pass nothing of them on. The `Debug` shows neither.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Zeroizing<Vec<u8>>,
    /// Where it came from, after redirects.
    pub url: Url,
    /// Whether a redirect led to another origin on the way: it then answers a call without credentials,
    /// also where the last redirect led back.
    pub left_origin: bool,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    /// How long the far side asks to be left alone: `Retry-After` in seconds or as a date, and at most
    /// [`RETRY_AFTER_MAX`].
    #[must_use]
    pub fn retry_after(&self, now: OffsetDateTime) -> Option<Duration> {
        retry_after(self.headers.get(RETRY_AFTER)?.to_str().ok()?, now)
    }
}

fn retry_after(value: &str, now: OffsetDateTime) -> Option<Duration> {
    let asked = match value.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        // A date that is past asks for nothing.
        Err(_) => {
            Duration::try_from(OffsetDateTime::parse(value.trim(), &Rfc2822).ok()? - now).unwrap_or_default()
        }
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

impl Outbound {
    /// A client by its configuration. Reads the CA file; connects to nothing.
    ///
    /// # Errors
    /// The configuration cannot be used; says which part.
    pub fn new(config: &OutboundConfig) -> Result<Self, OutboundSetupError> {
        Self::with_lookup(config, Arc::new(SystemLookup))
    }

    /// The same with another way to find a name's addresses, which are checked like any.
    ///
    /// # Errors
    /// The configuration cannot be used; says which part.
    pub fn with_lookup(config: &OutboundConfig, lookup: Arc<dyn Lookup>) -> Result<Self, OutboundSetupError> {
        let addresses = Addresses { allow: config.allow.clone() };
        let trusted = match &config.ca_certificate {
            None => Vec::new(),
            Some(path) => {
                let pem = std::fs::read(path).map_err(OutboundSetupError::CaUnreadable)?;
                certificates(&pem).ok_or(OutboundSetupError::CaInvalid)?
            }
        };
        let http = client(&lookup, &addresses, &trusted, None).ok_or(OutboundSetupError::Setup)?;
        Ok(Self(Arc::new(Inner {
            http,
            addresses,
            allow_http: config.allow_http,
            timeout: config.timeout,
            max_body_bytes: config.max_body_bytes,
            lookup,
            trusted,
        })))
    }

    /// The same for a far side that has certificate authorities of its own, or wants to see a client
    /// certificate (PEM, with its key). `None` where they are not usable.
    #[must_use]
    pub fn for_far_side(&self, authorities: Option<&str>, identity: Option<&SecretText>) -> Option<Self> {
        let mut trusted = self.0.trusted.clone();
        if let Some(pem) = authorities {
            trusted.extend(certificates(pem.as_bytes())?);
        }
        let identity = match identity {
            None => None,
            Some(pem) => Some(reqwest::Identity::from_pem(pem.expose().as_bytes()).ok()?),
        };
        let (lookup, addresses) = (Arc::clone(&self.0.lookup), self.0.addresses.clone());
        Some(Self(Arc::new(Inner {
            http: client(&lookup, &addresses, &trusted, identity)?,
            addresses,
            lookup,
            trusted,
            ..*self.0
        })))
    }

    /// Makes a call, following the redirects of a GET. An answer of any status is an answer.
    ///
    /// # Errors
    /// There is no answer; says why in fixed words.
    pub async fn send(&self, request: Request) -> Result<Answer, OutboundError> {
        let span = tracing::debug_span!("outbound_call", method = request.method.as_str());
        let answered = tokio::time::timeout(self.0.timeout, self.follow(request).instrument(span)).await;
        answered.unwrap_or(Err(OutboundError::Timeout))
    }

    async fn follow(&self, request: Request) -> Result<Answer, OutboundError> {
        let Request { method, mut url, headers, mut credentials, body, follows_redirects } = request;
        let mut left_origin = false;
        for _ in 0..=REDIRECTS_MAX {
            self.check(&url)?;
            let call = self.0.http.request(method.clone(), url.clone());
            let mut call = call.headers(headers.clone()).headers(credentials.clone());
            if let Some(body) = &body {
                call = call.body(body.clone());
            }
            let response = call.send().await.map_err(|failed| class_of(&failed))?;
            let next = if follows_redirects { redirect(&url, &response)? } else { None };
            match next {
                Some(next) => {
                    if next.origin() != url.origin() {
                        credentials.clear();
                        left_origin = true;
                    }
                    url = next;
                }
                None => return self.read(url, left_origin, response).await,
            }
        }
        Err(OutboundError::TooManyRedirects)
    }

    fn check(&self, url: &Url) -> Result<(), OutboundError> {
        match url.scheme() {
            "https" => {}
            "http" if self.0.allow_http => {}
            _ => return Err(OutboundError::SchemeNotAllowed),
        }
        // The client would send them as Basic credentials.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutboundError::CredentialsInUrl);
        }
        if self.0.addresses.host_allowed(url) { Ok(()) } else { Err(OutboundError::AddressNotAllowed) }
    }

    async fn read(
        &self,
        url: Url,
        left_origin: bool,
        mut response: Response,
    ) -> Result<Answer, OutboundError> {
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|failed| class_of(&failed))? {
            if body.len() + chunk.len() > self.0.max_body_bytes {
                return Err(OutboundError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let headers = std::mem::take(response.headers_mut());
        Ok(Answer { status: response.status(), headers, body, url, left_origin })
    }
}

fn certificates(pem: &[u8]) -> Option<Vec<reqwest::Certificate>> {
    reqwest::Certificate::from_pem_bundle(pem).ok().filter(|certificates| !certificates.is_empty())
}

fn client(
    lookup: &Arc<dyn Lookup>,
    addresses: &Addresses,
    trusted: &[reqwest::Certificate],
    identity: Option<reqwest::Identity>,
) -> Option<reqwest::Client> {
    let resolver = CheckedResolver { lookup: Arc::clone(lookup), addresses: addresses.clone() };
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .dns_resolver(resolver)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .pool_max_idle_per_host(0)
        .tls_certs_merge(trusted.iter().cloned());
    let builder = match identity {
        Some(identity) => builder.identity(identity),
        None => builder,
    };
    builder.build().ok()
}

/// Where an answer redirects to, if it is one to follow.
fn redirect(from: &Url, response: &Response) -> Result<Option<Url>, OutboundError> {
    let follows = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    match response.headers().get(LOCATION) {
        Some(location) if follows => location
            .to_str()
            .ok()
            .and_then(|location| from.join(location).ok())
            .map(Some)
            .ok_or(OutboundError::Broken),
        _ => Ok(None),
    }
}

/// Finds the class by the types in the chain of causes, never by text.
fn class_of(failed: &reqwest::Error) -> OutboundError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(failed);
    while let Some(error) = cause {
        if let Some(&known) = error.downcast_ref::<OutboundError>() {
            return known;
        }
        if error.is::<rustls::Error>() {
            return OutboundError::Tls;
        }
        // An I/O error's source is that of what it wraps, and leaves out what it wraps.
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    if failed.is_connect() { OutboundError::Unreachable } else { OutboundError::Broken }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_seconds_or_a_date_and_has_an_end() {
        let now = time::macros::datetime!(2026-11-24 07:00:00 UTC);
        let pause = |value: &str| retry_after(value, now).map(|pause| pause.as_secs());
        assert_eq!(pause("7"), Some(7));
        assert_eq!(pause(" 0 "), Some(0));
        assert_eq!(pause("Tue, 24 Nov 2026 07:01:30 GMT"), Some(90));
        assert_eq!(pause("Tue, 24 Nov 2026 06:00:00 GMT"), Some(0));
        assert_eq!(pause("Fri, 31 Dec 9999 23:59:59 GMT"), Some(3600));
        assert_eq!(pause("18446744073709551615"), Some(3600));
        for nonsense in ["", "soon", "-1", "1.5", "99999999999999999999"] {
            assert_eq!(pause(nonsense), None, "{nonsense}");
        }
    }
}
