//! What the client must be told, and whether it can be right.

use std::time::Duration;

use integraci_api::SecretText;
use reqwest::header::HeaderValue;
use url::{Host, Url};

/// The request timeout when none is configured. A request only reads or writes a few rows: the long
/// work is an operation, and its waits are added on top of this.
const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// The shortest and longest timeout taken: outside it is a wrong unit.
const REQUEST_TIMEOUT_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(600);

/// What the client is made from; every part is already checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of the server; its path ends with `/`.
    pub endpoint: Url,
    pub(super) authorization: HeaderValue,
    pub(super) authorities: Option<Vec<reqwest::Certificate>>,
    pub(super) request_timeout: Duration,
}

/// The certificate authorities that a server's certificate may come from.
#[derive(Debug, Clone)]
pub struct Authorities(Vec<reqwest::Certificate>);

/// Why a setting cannot be right. The text says what is expected and never quotes the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub(crate) &'static str);

impl Settings {
    /// Settings with the system's certificate authorities and the usual timeout.
    ///
    /// # Errors
    /// When the token has characters that cannot stand in a header.
    pub fn new(endpoint: Url, token: &SecretText) -> Result<Self, Invalid> {
        Ok(Self {
            endpoint,
            authorization: authorization(token)?,
            authorities: None,
            request_timeout: REQUEST_TIMEOUT_DEFAULT,
        })
    }

    /// The same, trusting these authorities (see [`authorities_parse`]) and no others.
    #[must_use]
    pub fn with_authorities(mut self, authorities: Authorities) -> Self {
        self.authorities = Some(authorities.0);
        self
    }

    /// The same with another timeout of a single request.
    #[must_use]
    pub const fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }
}

/// An endpoint such as `https://platform.example` or `https://example.org/integraci`.
///
/// # Errors
/// When it is not an absolute `http` or `https` URL, or holds more than an address.
pub fn endpoint_parse(text: &str) -> Result<Url, Invalid> {
    let mut url = Url::parse(text)
        .map_err(|_| Invalid("expected the address of the server, such as https://platform.example"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return Err(Invalid("expected an address that begins with https:// and names a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Invalid("the address must not carry credentials; give the token as `token`"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Invalid("expected an address without a query (`?…`) or a fragment (`#…`)"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if path.ends_with("/v1") {
        return Err(Invalid("expected the address without `/v1`, which the provider adds itself"));
    }
    url.set_path(&format!("{path}/"));
    Ok(url)
}

/// Whether what is sent to this endpoint can be read on the way.
#[must_use]
pub fn is_exposed(endpoint: &Url) -> bool {
    let loopback = match endpoint.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    endpoint.scheme() == "http" && !loopback
}

/// A timeout such as `30s`, `1m30s` or `500ms`, from one second to ten minutes.
///
/// # Errors
/// When it is no such duration.
pub fn timeout_parse(text: &str) -> Result<Duration, Invalid> {
    const EXPECTED: Invalid = Invalid("expected a duration from 1s to 10m, such as \"30s\" or \"1m30s\"");
    duration_parse(text).filter(|time| REQUEST_TIMEOUT_RANGE.contains(time)).ok_or(EXPECTED)
}

/// A duration as Go writes them: whole numbers with a unit, one after another.
#[must_use]
pub fn duration_parse(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: u32 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let one = match &rest[..unit] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(60 * 60),
            _ => return None,
        };
        total = one.checked_mul(count).and_then(|part| total.checked_add(part))?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(total)
}

/// Certificates in PEM, at least one.
///
/// # Errors
/// When the text holds none, or one that cannot be read.
pub fn authorities_parse(pem: &str) -> Result<Authorities, Invalid> {
    const EXPECTED: Invalid = Invalid(
        "expected one or more certificates in PEM (`-----BEGIN CERTIFICATE-----` …); to give a file, write file(\"ca.pem\")",
    );
    match reqwest::Certificate::from_pem_bundle(pem.as_bytes()) {
        Ok(certificates) if !certificates.is_empty() => Ok(Authorities(certificates)),
        _ => Err(EXPECTED),
    }
}

/// Whether a token can be sent at all.
///
/// # Errors
/// When it is empty or has characters that cannot stand in a header.
pub fn token_check(token: &SecretText) -> Result<(), Invalid> {
    authorization(token).map(drop)
}

fn authorization(token: &SecretText) -> Result<HeaderValue, Invalid> {
    let text = token.expose();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Invalid(
            "expected a token (`ici_…`) without spaces or line breaks; one read from a file may need trimspace()",
        ));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {text}"))
        .map_err(|_| Invalid("the token has characters that a token never has"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_keep_their_path_and_end_with_a_slash() {
        for (text, url) in [
            ("https://platform.example", "https://platform.example/"),
            ("https://example.org/integraci/", "https://example.org/integraci/"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
        ] {
            assert_eq!(endpoint_parse(text).unwrap().as_str(), url);
        }
        for bad in [
            "",
            "platform.example",
            "ftp://platform.example",
            "https://me:pw@platform.example",
            "https://platform.example/?a=b",
            "https://platform.example/v1",
            "https://platform.example/v1/",
        ] {
            assert!(endpoint_parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_http_is_private_on_this_machine_only() {
        for (text, exposed) in [
            ("http://platform.example", true),
            ("http://10.0.0.1", true),
            ("http://localhost:1", false),
            ("http://127.0.0.1", false),
            ("http://[::1]:80", false),
            ("https://platform.example", false),
        ] {
            assert_eq!(is_exposed(&endpoint_parse(text).unwrap()), exposed, "{text}");
        }
    }

    #[test]
    fn timeouts_have_units() {
        assert_eq!(timeout_parse("30s").unwrap(), Duration::from_secs(30));
        assert_eq!(timeout_parse("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(timeout_parse("1500ms").unwrap(), Duration::from_millis(1500));
        for bad in ["", "30", "s", "1h", "0s", "500ms", "11m", "-1s", "1.5s", "99999999999s", "5 s"] {
            assert!(timeout_parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_is_one_word_and_never_shown() {
        let token = |text: &str| SecretText::new(text.to_owned());
        let endpoint = endpoint_parse("https://platform.example").unwrap();
        let settings = Settings::new(endpoint, &token("ici_hunter2")).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
        for bad in ["", "ici_a\n", "ici_a b", "ici_é"] {
            assert!(token_check(&token(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn authorities_are_pem() {
        assert!(authorities_parse("").is_err());
        assert!(authorities_parse("ca.pem").is_err());
        assert!(authorities_parse("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").is_err());
    }
}
