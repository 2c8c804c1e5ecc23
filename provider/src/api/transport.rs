//! One request on the wire: how the client is made, how much of an answer is read, and what a
//! broken connection means.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};

use super::settings::Settings;
use super::{Api, Certificate, Error};

/// The most that is read of an answer: a full page of tenants is under a megabyte.
pub(super) const ANSWER_MAX_BYTES: usize = 4 * 1024 * 1024;
/// A connection that is not there after this long never comes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("terraform-provider-integraci/", env!("CARGO_PKG_VERSION"));

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) location: Option<String>,
    /// Without its parameters, such as `application/json`.
    pub(super) content: String,
    pub(super) body: Bytes,
}

impl Api {
    /// The HTTP client, made when it is first needed.
    fn client(&self) -> Result<&reqwest::Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = client(&self.settings).map_err(|error| broken(&error, CONNECT_TIMEOUT))?;
        Ok(self.client.get_or_init(|| made))
    }

    /// Sends a request once, with this timeout for all of it.
    pub(super) async fn exchange(
        &self,
        request: reqwest::Request,
        timeout: Duration,
    ) -> Result<Answer, Error> {
        let client = self.client()?;
        let exchange = async {
            let response = client.execute(request).await.map_err(|error| broken(&error, timeout))?;
            read(response, timeout).await
        };
        tokio::time::timeout(timeout, exchange).await.map_err(|_| Error::TimedOut { after: timeout })?
    }
}

fn client(settings: &Settings) -> Result<reqwest::Client, reqwest::Error> {
    let mut client = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        // A redirect is a wrong endpoint, and following it would carry the request elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        // What may be sent again is decided in one place, and it is not there.
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true);
    if let Some(authorities) = &settings.authorities {
        client = client.tls_certs_only(authorities.clone());
    } else if settings.endpoint.scheme() == "http" {
        // Reading the system's authorities costs more memory than all the rest.
        client = client.tls_certs_only([]);
    }
    client.build()
}

async fn read(mut response: reqwest::Response, timeout: Duration) -> Result<Answer, Error> {
    let status = response.status();
    let headers = response.headers();
    let retry_after = retry_after(headers);
    let location = text(headers, &LOCATION);
    let content = text(headers, &CONTENT_TYPE)
        .map(|full| full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .unwrap_or_default();
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error, timeout))? {
        if body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err(Error::TooLong { limit_bytes: ANSWER_MAX_BYTES });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, retry_after, location, content, body: body.freeze() })
}

fn text(headers: &HeaderMap, name: &reqwest::header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// `Retry-After` in seconds. Its other form, a date, is not what IntegraCI sends, and depends on two
/// clocks agreeing.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// What a failure below HTTP means. The texts of the libraries are not passed on: they name
/// addresses and parts of their own, and say nothing that a person could do.
fn broken(error: &reqwest::Error, timeout: Duration) -> Error {
    if let Some(tls) = tls_fault(error) {
        return tls;
    }
    if error.is_builder() {
        return Error::NoAuthorities;
    }
    if error.is_connect() {
        return Error::Unreachable { reason: unreachable_reason(error) };
    }
    if error.is_timeout() {
        return Error::TimedOut { after: timeout };
    }
    Error::Lost
}

fn unreachable_reason(error: &reqwest::Error) -> &'static str {
    use std::io::ErrorKind;
    if error.is_dns() {
        return "the host's name cannot be resolved";
    }
    if error.is_timeout() {
        return "the connection was not answered in time";
    }
    let io = sources(error).filter_map(|source| source.downcast_ref::<std::io::Error>()).last();
    match io.map(std::io::Error::kind) {
        Some(ErrorKind::ConnectionRefused) => "the connection was refused: nothing listens there",
        Some(ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => "the connection was closed at once",
        Some(ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable) => "the network cannot be reached",
        _ => "the connection could not be made",
    }
}

/// The fault that rustls found, however deep it is wrapped.
fn tls_fault(error: &reqwest::Error) -> Option<Error> {
    let found = sources(error).find_map(|source| source.downcast_ref::<rustls::Error>())?;
    Some(match found {
        rustls::Error::InvalidCertificate(fault) => Error::Certificate(certificate_fault(fault)),
        rustls::Error::InvalidMessage(_) => {
            Error::Tls { reason: "what answers does not speak TLS; is it meant to be http://?" }
        }
        rustls::Error::AlertReceived(_) => Error::Tls { reason: "the server broke the handshake off" },
        _ => Error::Tls { reason: "the handshake failed" },
    })
}

const fn certificate_fault(fault: &rustls::CertificateError) -> Certificate {
    use rustls::CertificateError as Fault;
    match fault {
        Fault::Expired | Fault::ExpiredContext { .. } => Certificate::Expired,
        Fault::NotValidYet | Fault::NotValidYetContext { .. } => Certificate::NotYetValid,
        Fault::UnknownIssuer | Fault::BadSignature => Certificate::UnknownIssuer,
        Fault::NotValidForName | Fault::NotValidForNameContext { .. } => Certificate::WrongName,
        Fault::Revoked => Certificate::Revoked,
        _ => Certificate::Unusable,
    }
}

/// The error and all that it was made from.
fn sources<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| {
        // An `io::Error` gives the source of what it holds, and so passes over what it holds.
        match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(held) => Some(held as &(dyn StdError + 'static)),
            None => (*error).source(),
        }
    })
}
